# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o rhv`` (also ``-o ovirt``, ``-o rhev``): an export storage domain, over NFS or in a directory."""
