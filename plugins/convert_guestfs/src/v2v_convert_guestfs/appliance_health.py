# SPDX-License-Identifier: GPL-2.0-or-later
"""Judges from what qemu says whether the appliance still works (QMP: docs/interop/qmp-spec in qemu).

qemu pauses a virtual machine when a write finds no space, and lets it wait for ever; libguestfs waits with it. It also
pauses one after an internal error of KVM. A process that was stopped says nothing at all, and a source that no longer
answers leaves the appliance waiting for its disk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from v2v_convert_guestfs.time_limits import duration
from v2v_core.api import ConversionError, drive_number

#: Seconds that qemu may leave a question unanswered: where its process was stopped, and where it was not. On a busy
#: machine an answer may take a few.
STOPPED_LIMIT = 15
SILENCE_LIMIT = 300
#: Seconds for which the virtual machine may be paused.
PAUSE_LIMIT = 10
#: Seconds without any data from or to a disk, after the appliance's kernel has said that a program waits for one.
STALL_LIMIT = 300
#: Bytes that must be free for the overlays, and seconds for which there may be fewer. The next write would fail anyway.
LEAST_FREE = 1024 * 1024
FULL_LIMIT = 10

_HINT_STOPPED = "find out what has stopped it (kill -STOP, a debugger), and run the conversion again"
_HINT_SILENT = "look at the load, the memory and the storage of this host, and run the conversion again"
_HINT_PAUSED = "see the log of this step; with LIBGUESTFS_BACKEND_SETTINGS=force_tcg the conversion does without KVM"
_HINT_STALLED = (
    "check that the storage or the server of the source still answers; its messages are in the logs of the servers "
    "in1, in2 … and base1, base2 …"
)
_HINT_WRITE = "look for the reason in the logs of the disk's servers and in the log of this host's kernel"
#: The kernel's watch over programs that wait and cannot be interrupted, which means for a disk (kernel/hung_task.c).
_HUNG = re.compile(r"INFO: task .* blocked for more than [0-9]+ seconds")
#: A request that failed (block/blk-mq.c). Older kernels do not name the operation.
_LOST = re.compile(
    r"(?:blk_update_request: )?(?:I/O|critical space allocation|critical target) error, dev (sd[a-z]+), .*\(WRITE\)"
)
_COUNTS = ("rd_operations", "wr_operations", "flush_operations", "unmap_operations")
_FAILED_WRITES = ("failed_wr_operations", "failed_flush_operations")

#: Why disk i, counted from 1, has no space, and what helps.
Shortage = Callable[[int], tuple[str, str]]


@dataclass
class Health:
    """What is known about a running appliance. The methods are called with each message of qemu, and each second.

    :param shortage: explains why a disk has no space. :param log: takes what is worth knowing for the log.
    :param free: returns the bytes that are free for the overlays; None if there are none.
    :param failure: why the appliance must be ended, once that is so.
    """

    shortage: Shortage
    log: Callable[[str], None]
    free: Callable[[], int | None] = lambda: None
    failure: ConversionError | None = None
    _unanswered: int = 0
    _paused: int = 0
    _full: int = 0
    _status: str = "running"
    _write_error: tuple[str, str] | None = None
    _operations: int = -1
    _idle: int = 0
    _waiting: bool = False
    _seen: set[tuple[str, str, str]] = field(default_factory=set)

    def hear(self, message: Mapping[str, Any]) -> None:
        """Take a message of qemu: an event, or the answer to a question."""
        self._unanswered = 0
        event, data, answer = message.get("event"), message.get("data"), message.get("return")
        if event == "BLOCK_IO_ERROR" and isinstance(data, dict):
            self._hear_error(data)
        elif isinstance(answer, dict) and isinstance(answer.get("status"), str):
            self._hear_status(answer["status"])
        elif isinstance(answer, list):
            self._hear_counts([disk for disk in answer if isinstance(disk, dict)])

    def hear_kernel(self, line: str) -> None:
        """Take a line that the appliance's kernel has printed, without its timestamp."""
        if _HUNG.match(line):
            self._waiting = True
        elif found := _LOST.match(line):
            # What was not written would be missing from the guest without a word: nothing waits for the page cache.
            self._fail(f"{_disk(found[1])} cannot be written: {found[0]}", _HINT_WRITE)

    def tick(self, *, stopped: bool) -> None:
        """Take note that a second has passed in which this process was running.

        The seconds are counted, and no clock is read: if the whole machine was suspended, nothing is wrong.

        :param stopped: the process of qemu was stopped by a signal or a debugger.
        """
        self._unanswered += 1
        self._idle += 1
        if self._unanswered >= STOPPED_LIMIT and stopped:
            self._fail("the appliance does not go on: the process of its qemu was stopped", _HINT_STOPPED)
        elif self._unanswered >= SILENCE_LIMIT:
            self._fail(f"the appliance's qemu has not answered for {duration(SILENCE_LIMIT)}", _HINT_SILENT)
        if self._status == "running":
            self._paused = 0
        else:
            self._paused += 1
            if self._paused >= PAUSE_LIMIT:
                self._fail(f"the appliance does not go on: qemu has paused it ({self._status})", _HINT_PAUSED)
        free = self.free()
        self._full = self._full + 1 if free is not None and free < LEAST_FREE else 0
        if self._full >= FULL_LIMIT:
            self._fail_full(1)
        if self._waiting and self._idle >= STALL_LIMIT:
            self._fail(f"a disk of the guest has not answered for {duration(STALL_LIMIT)}", _HINT_STALLED)

    def _hear_error(self, data: Mapping[str, Any]) -> None:
        device, operation = str(data.get("device") or data.get("qom-path") or "?"), str(data.get("operation"))
        reason = str(data.get("reason") or "an I/O error")
        if (device, operation, reason) not in self._seen:
            self._seen.add((device, operation, reason))
            self.log(f"qemu: {operation} error of {device}: {reason}")
        if data.get("nospace"):
            self._fail_full(_number(device))
        elif operation == "write":
            # The guest may go on without what was not written. Whether it was data or a discard, the next count says.
            self._write_error = (device, reason)

    def _hear_status(self, status: str) -> None:
        if status != self._status:
            self.log(f"qemu: the appliance is {status}")
        self._status = status

    def _hear_counts(self, disks: list[dict[str, Any]]) -> None:
        counts = [disk["stats"] for disk in disks if isinstance(disk.get("stats"), dict)]
        operations = sum(_sum(count, _COUNTS) for count in counts)
        if operations != self._operations:
            self._operations, self._idle, self._waiting = operations, 0, False
        if self._write_error is not None and any(_sum(count, _FAILED_WRITES) for count in counts):
            device, reason = self._write_error
            self._fail(
                f"{_name(_number(device))} cannot be written: {reason}",
                _HINT_WRITE,
            )
        self._write_error = None

    def _fail_full(self, disk: int) -> None:
        why, hint = self.shortage(disk)
        self._fail(f"{_name(disk)} cannot be written: {why}", hint)

    def _fail(self, message: str, hint: str) -> None:
        if self.failure is None:
            self.failure = ConversionError(message, hint=hint)


def _sum(counts: Mapping[str, Any], names: tuple[str, ...]) -> int:
    return sum(value for name in names if isinstance(value := counts.get(name), int))


def _number(device: str) -> int:
    """Return the number of a disk, from 1; 0 for the appliance's own. libguestfs calls them hd0, hd1 …"""
    digits = device.removeprefix("hd")
    return int(digits) + 1 if device.startswith("hd") and digits.isdecimal() else 0


def _disk(device: str) -> str:
    return f"disk {drive_number(device.removeprefix('sd')) + 1}"


def _name(number: int) -> str:
    return f"disk {number}" if number else "the appliance's own disk"
