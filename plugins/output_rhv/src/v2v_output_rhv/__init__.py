# SPDX-License-Identifier: GPL-2.0-or-later
"""Outputs to oVirt and RHV: ``-o rhv-upload``, ``-o rhv`` and ``-o vdsm``, each under its oVirt spelling too."""
