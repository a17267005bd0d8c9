# SPDX-License-Identifier: GPL-2.0-or-later
"""The command lines: they read options, call core, and turn errors into exit codes. How to convert is core's business.

This file imports nothing: ``virt-v2v --version`` goes through it, and must start fast.
"""
