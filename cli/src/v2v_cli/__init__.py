# SPDX-License-Identifier: GPL-2.0-or-later
"""The command lines: words in, one request out, the pipeline is called, errors become exit codes. No logic.

Nothing is imported here: ``virt-v2v --version`` starts through this package.
"""
