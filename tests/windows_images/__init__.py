# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks of Windows guests for the tests: real hives, or hives by their example, on file systems that are made here.

Nothing of Windows is in them but the real hives: the programs and drivers are small ones of mingw-w64, and nothing
boots. What a conversion reads is there, where Windows has it.
"""
