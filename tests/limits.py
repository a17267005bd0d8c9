# SPDX-License-Identifier: GPL-2.0-or-later
"""Limits for what reads untrusted data: the kernel refuses memory and files beyond them, and CPU time is measured."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Iterator
from pathlib import Path

MIB = 1024 * 1024


@contextlib.contextmanager
def bounded(*, seconds: float = 5.0, memory: int = 512 * MIB, file: int = 64 * MIB) -> Iterator[None]:
    """Run something with so many bytes of memory more than now, files of so many bytes, and so much CPU time.

    Too much memory is a MemoryError, too long a file an OSError, in this process and in those that it starts.
    """
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limits = {resource.RLIMIT_AS: pages * resource.getpagesize() + memory, resource.RLIMIT_FSIZE: file}
    before = {which: resource.getrlimit(which) for which in limits}
    for which, limit in limits.items():
        resource.setrlimit(which, (limit, before[which][1]))
    start = time.process_time()
    try:
        yield
    finally:
        for which, pair in before.items():
            resource.setrlimit(which, pair)
    taken = time.process_time() - start
    assert taken < seconds, f"{taken:.1f} s of CPU time"
