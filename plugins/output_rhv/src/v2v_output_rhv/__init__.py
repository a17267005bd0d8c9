# SPDX-License-Identifier: GPL-2.0-or-later
"""Outputs to oVirt and RHV: ``-o rhv-upload``, ``-o rhv`` and ``-o vdsm``, each also under its oVirt spelling."""
