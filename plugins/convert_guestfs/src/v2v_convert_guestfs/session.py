# SPDX-License-Identifier: GPL-2.0-or-later
"""The state of one conversion: the request, the appliance, the changes so far, and the time that each stage took."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from v2v_convert_guestfs import time_limits
from v2v_convert_guestfs.appliance import Handle, brief, is_emulated, kill_child_emulators
from v2v_convert_guestfs.filesystems.limits import Limit
from v2v_convert_guestfs.findings import Findings
from v2v_core.api import Change, ChangeKind, ConversionError, ConvertRequest, Firmware, Inspection, Obstacle, Reporter

_TIMEOUTS = ("/usr/bin/timeout", "/bin/timeout")


@dataclass
class Session:
    """One conversion.

    :param filesystems: type by device, as ``disks.list_filesystems`` returns them.
    :param opened: the device inside each encrypted device that was opened.
    :param library_names: libguestfs's own names of root file systems, by the names that are used here.
    :param limits: why the appliance cannot use a file system, by its device.
    :param unchecked: file systems that the appliance's programs cannot check.
    :param read_only_root: the root is a read-only subvolume, and writable for now.
    :param found: the inspection, set once an operating system was chosen. :param firmware: set once it is known.
    :param nic_order: the positions of the source's NICs in the order for the target; () for the source's order.
    :param nic_macs: MAC addresses that the guest remembers of NICs for which the source states none, by position.
    :param created: files, links and directories that are new or were replaced, in the order of time.
    :param seconds: the time that each stage took. :param current: the stage.
    :param out_of_time: why the appliance was killed, if it was.
    :param findings: for a user who wants to know what is in the guest. :param wants_sizes: of the file systems, too.
    """

    request: ConvertRequest
    handle: Handle
    filesystems: dict[str, str] = field(default_factory=dict)
    opened: dict[str, str] = field(default_factory=dict)
    library_names: dict[str, str] = field(default_factory=dict)
    limits: dict[str, Limit] = field(default_factory=dict)
    unchecked: set[str] = field(default_factory=set)
    read_only_root: bool = False
    found: Inspection | None = None
    firmware: Firmware = Firmware.UNKNOWN
    nic_order: tuple[int, ...] = ()
    nic_macs: Mapping[int, str] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    current: str = "start"
    out_of_time: time_limits.OutOfTimeError | None = None
    findings: Findings = field(default_factory=Findings)
    wants_sizes: bool = False
    _timeout: str | None = None
    started: float = field(default_factory=time.monotonic)

    @property
    def report(self) -> Reporter:
        """Return the reporter of the request."""
        return self.request.report

    @property
    def inspection(self) -> Inspection:
        """Return the result of the inspection.

        :raises ConversionError: the guest was not inspected yet.
        """
        if self.found is None:
            raise ConversionError("internal error: the guest has not been inspected yet")
        return self.found

    @contextmanager
    def stage(self, name: str, message: str | None = None) -> Iterator[None]:
        """Announce a stage and record how long it took, in the log and in ``seconds``."""
        if message is not None:
            self.report.message(message)
        started, outer = time.monotonic(), self.current
        self.current = name
        try:
            yield
            self.current = outer
        finally:
            elapsed = time.monotonic() - started
            self.seconds[name] = self.seconds.get(name, 0.0) + elapsed
            self.report.debug(f"stage {name}: {elapsed:.1f} s")

    def changed(
        self, path: str, what: str, why: str, *, kind: ChangeKind = ChangeKind.FILE, value: str | None = None
    ) -> None:
        """Record a change to the guest; ``value`` names a value of a registry key, "" its default one."""
        self.changes.append(Change(path=path, what=what, why=why, kind=kind, value=value))
        self.report.changed(path if value is None else f"{path}: {value or '(default)'}", what, why)

    def run(self, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
        """Run one of the guest's programs in the appliance, by argument list; log its output and return it.

        :raises RuntimeError: the program is missing, failed, or took too long.
        :raises OutOfTimeError: it took too long, and the appliance had to be killed.
        """
        words = [f"{name}={value}" for name, value in {"LC_ALL": "C", **(environment or {})}.items()]
        limit = time_limits.program_limit(emulation=is_emulated(self.request.settings))
        hint = f"run {argv[0]} in the guest at its hypervisor and see what it waits for"
        started = time.monotonic()
        try:
            with self.limited(f"{argv[0]} of the guest", limit + time_limits.GRACE, hint=hint):
                output = str(self.handle.command(["/usr/bin/env", *words, *self._ended_after(limit), *argv]))
        except RuntimeError as err:
            if time.monotonic() - started >= limit:
                took = time_limits.duration(limit)
                raise RuntimeError(f"{argv[0]} of the guest was ended, it ran for {took}") from err
            raise
        except UnicodeDecodeError as err:
            # The program succeeded; its output is not UTF-8.
            output = err.object.decode("utf-8", "backslashreplace")
        for line in output.splitlines():
            self.report.debug(f"{argv[0]}: {line}")
        return output

    @contextmanager
    def limited(self, what: str, seconds: float, *, hint: str) -> Iterator[None]:
        """Kill the appliance if the block takes longer than ``seconds``.

        :raises OutOfTimeError: the appliance was killed.
        """
        try:
            with time_limits.limited(what, seconds, kill_child_emulators, hint=hint):
                yield
        except time_limits.OutOfTimeError as err:
            self.out_of_time = err
            raise

    def _ended_after(self, seconds: int) -> tuple[str, ...]:
        """Return the arguments that end a program in time, if the guest has timeout(1).

        That of busybox does not count: it leaves a process behind that keeps the output open, and libguestfs waits for
        the end of the output.
        """
        if self._timeout is None:
            there = [path for path in _TIMEOUTS if self.handle.is_file(path, followsymlinks=True)]
            good = [path for path in there if "busybox" not in str(self.handle.realpath(path))]
            self._timeout = next(iter(good), "")
        return (self._timeout, str(seconds)) if self._timeout else ()

    def warn(self, what: str, error: BaseException) -> None:
        """Warn that a step failed that the guest can do without."""
        self.report.warning(f"{what}: {brief(error)}")


@dataclass
class Blockers:
    """The reasons why the guest cannot be converted, collected before anything is changed."""

    reasons: list[tuple[str, str]] = field(default_factory=list)

    def add(self, reason: str, hint: str) -> None:
        """Add a reason, and what the user can do about it."""
        self.reasons.append((reason, hint))

    def stop(self) -> None:
        """Stop the conversion if there is any reason.

        :raises ConversionError: there is; it names all of them.
        """
        if self.reasons:
            raise ConversionError.for_obstacles([Obstacle(reason=reason, remedy=hint) for reason, hint in self.reasons])
