# SPDX-License-Identifier: GPL-2.0-or-later
"""Resource limits for code that reads untrusted data, enforced by the kernel (setrlimit(2))."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Iterator
from pathlib import Path

_MIB = 1024 * 1024


@contextlib.contextmanager
def bounded(*, seconds: float = 5.0, memory: int = 512 * _MIB, file: int = 64 * _MIB) -> Iterator[None]:
    """Limit what the block may use, in this process and in the programs that it starts.

    Memory beyond the limit raises MemoryError, a file beyond the limit raises OSError. CPU time is measured when the
    block ends without an exception, and only that of this process.

    :param seconds: of CPU time. :param memory: bytes of address space, in addition to what the process has now.
    :param file: the size, in bytes, of the largest file that may be written.
    :raises AssertionError: the block used more CPU time.
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
    used = time.process_time() - start
    assert used < seconds, f"{used:.1f} s of CPU time, more than {seconds:.1f} s"
