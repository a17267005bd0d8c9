# SPDX-License-Identifier: GPL-2.0-or-later
"""The process that copies one disk: ``python -m v2v_core.copying.worker FD``, with a ``CopyTask`` as JSON on stdin.

It writes messages as JSON lines to the file descriptor (``messages``), and ends with status 0 when the disk is copied
and flushed. The copy step stops it by killing it.
"""
