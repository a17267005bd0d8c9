# SPDX-License-Identifier: GPL-2.0-or-later
"""The editors of configuration files: pure functions from bytes to bytes.

What an editor does not understand it leaves byte for byte. Bytes are read as Latin-1, which no byte sequence breaks and
which gives back the same bytes; everything that is looked for is ASCII.
"""
