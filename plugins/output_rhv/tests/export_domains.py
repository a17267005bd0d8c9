# SPDX-License-Identifier: GPL-2.0-or-later
"""Export domains for tests, and runs of the outputs as core calls them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from v2v_core.api import (
    AbortResult,
    Bus,
    Capabilities,
    Firmware,
    Guest,
    Inspection,
    Nic,
    OptionValues,
    OutputAbortRequest,
    OutputCheckRequest,
    OutputFinalizeRequest,
    OutputResult,
    OutputSettings,
    OutputSetup,
    OutputSetupRequest,
    OwnedObject,
    SourceDisk,
    TargetDisk,
    TargetGuest,
)
from v2v_core.testing import FakeLedger, FakeReporter

MIB = 1024 * 1024
DOMAIN_ID = "12345678-1234-1234-1234-123456789abc"
FOREIGN_IMAGE = "99999999-9999-4999-8999-999999999999"
#: The name of the export of the simulated file server.
SERVER = "files.example.com:/exports/domain"
#: Capabilities that root does not have on a file server with root_squash.
SQUASHED = "chown,dac_override,dac_read_search,fowner"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount, and make files of others")


def make_domain(place: Path, *, owner: int | None = 36) -> Path:
    """Make an export domain that contains the guest of another user, and return the directory of the domain."""
    domain = place / DOMAIN_ID
    for name in ("dom_md", "images", "master/vms", f"images/{FOREIGN_IMAGE}", f"master/vms/{FOREIGN_IMAGE}"):
        (domain / name).mkdir(parents=True)
    (domain / "images" / FOREIGN_IMAGE / "volume").write_bytes(b"another user's")
    (domain / "images" / FOREIGN_IMAGE / "volume.meta").write_bytes(b"EOF\n")
    (domain / "master" / "vms" / FOREIGN_IMAGE / f"{FOREIGN_IMAGE}.ovf").write_bytes(b"<x/>")
    (place / "lost+found").mkdir(exist_ok=True)
    (place / "__DIRECT_IO_TEST__").touch()
    if owner is not None and os.geteuid() == 0:
        for path in (domain, *domain.rglob("*")):
            os.chown(path, owner, owner)
    return domain


def tree(place: Path) -> dict[str, object]:
    """Return everything below a place: names, contents, owners and modes."""
    entries: dict[str, object] = {}
    for path in sorted(place.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else None
        entries[str(path.relative_to(place))] = (status.st_mode, status.st_uid, status.st_gid, content)
    return entries


def target_of(sizes: tuple[int, ...], name: str = "guest") -> TargetGuest:
    """Return a small Linux guest with disks of these sizes."""
    return TargetGuest(
        source=Guest(name=name, disks=tuple(SourceDisk(index=i, size=size) for i, size in enumerate(sizes, 1))),
        inspection=Inspection(root="/dev/sda1", os_type="linux", distro="debian", arch="x86_64", major_version=12),
        capabilities=Capabilities(),
        firmware=Firmware.BIOS,
        disks=tuple(
            TargetDisk(index=i, bus=Bus.VIRTIO_BLK, device=f"vd{chr(96 + i)}", boot_order=i, size=size)
            for i, size in enumerate(sizes, 1)
        ),
        nics=(Nic(network="ovirtmgmt", mac="52:54:00:12:34:56"),),
    )


class Run:
    """One conversion, as an output plugin sees it."""

    def __init__(self, plugin: Any, private: Path, sizes: tuple[int, ...] = (MIB, MIB), **settings: Any) -> None:
        self.plugin = plugin
        self.directory = private
        self.directory.mkdir(mode=0o700, exist_ok=True)
        given = settings.pop("options", {})
        options = {key: (value,) if isinstance(value, str) else value for key, value in given.items()}
        self.settings = OutputSettings(**{"name": "guest", **settings}, options=OptionValues(values=options))
        self.ledger = FakeLedger()
        self.report = FakeReporter()
        self.target = target_of(sizes)
        self.source_files: tuple[Path, ...] = ()
        self.state: dict[str, Any] = {}

    def check(self) -> None:
        self.plugin.v2v_output_check(
            OutputCheckRequest(
                directory=self.directory,
                settings=self.settings,
                guest=self.target.source,
                report=self.report,
                source_files=self.source_files,
            )
        )

    def setup(self) -> OutputSetup:
        made: OutputSetup = self.plugin.v2v_output_setup(
            OutputSetupRequest(
                directory=self.directory,
                settings=self.settings,
                guest=self.target.source,
                disks=self.target.source.disks,
                ledger=self.ledger,
                report=self.report,
            )
        )
        self.state = json.loads(json.dumps(dict(made.state)))
        return made

    def write(self, setup: OutputSetup, word: bytes = b"new") -> None:
        """Write into raw disks."""
        for service in setup.disks:
            with Path(dict(service.parameters)["file"]).open("r+b") as file:  # type: ignore[union-attr]
                file.write(word)

    def finalize(self) -> OutputResult:
        result: OutputResult = self.plugin.v2v_output_finalize(
            OutputFinalizeRequest(
                directory=self.directory,
                settings=self.settings,
                target=self.target,
                state=self.state,
                # no output of this distribution reads it: they make an OVF
                metadata=Path("/nonexistent"),
                ledger=self.ledger,
                report=self.report,
            )
        )
        return result

    def abort(self, *, state: bool = True, owned: tuple[OwnedObject, ...] | None = None) -> tuple[OwnedObject, ...]:
        """Abort, and return what is left.

        :param owned: what an earlier abort has left; None for all that was recorded.
        """
        result: AbortResult = self.plugin.v2v_output_abort(
            OutputAbortRequest(
                directory=self.directory,
                settings=self.settings,
                owned=self.ledger.owned() if owned is None else owned,
                state=self.state if state else {},
                report=self.report,
            )
        )
        return result.left


def as_user(number: int, function: Callable[[], None], *, drop: str = "") -> int:
    """Call a function in a process of another user, or of root without capabilities. Return 0 if it did not raise.

    :param drop: capabilities to take away, as in setpriv(1).
    """
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            if drop:
                _drop_capabilities(drop.split(","))
            if number != os.geteuid():
                os.setgroups([])
                os.setgid(number)
                os.setuid(number)
            function()
            status = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


_CAPABILITIES = {"chown": 0, "dac_override": 1, "dac_read_search": 2, "fowner": 3}


def _drop_capabilities(names: list[str]) -> None:
    """Remove capabilities from this process: capset(2), version 3."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, data) == 0
    mask = ~sum(1 << _CAPABILITIES[name] for name in names) & 0xFFFFFFFF
    data[0] &= mask
    data[1] &= mask
    assert libc.capset(header, data) == 0, os.strerror(ctypes.get_errno())


@contextmanager
def ext4(place: Path, size: str = "24M") -> Iterator[Path]:
    """Mount a small file system on a directory, through a loop device."""
    image = place.with_name(f"{place.name}.ext4")
    subprocess.run(["truncate", "-s", size, image], check=True)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-m", "0", "-F", image], check=True)
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


#: Replaces mount(8), because the kernel may have no NFS client. It records its arguments and binds a directory instead.
_MOUNT_SIMULATOR = """#!/bin/sh
printf '%s\\n' "$@" > '{log}'
for last; do :; done
[ -d '{export}' ] || {{ echo "mount.nfs: access denied by server while mounting" >&2; exit 32; }}
exec /usr/bin/mount --bind '{export}' "$last"
"""


def simulate_mount(bin_directory: Path, export: Path) -> Path:
    """Write the simulator of ``mount -t nfs`` into a directory for ``PATH``. Return the file with its arguments."""
    bin_directory.mkdir(exist_ok=True)
    log = bin_directory / "mount.arguments"
    program = bin_directory / "mount"
    program.write_text(_MOUNT_SIMULATOR.format(log=log, export=export))
    program.chmod(0o755)
    return log


def record_to(run: Run) -> None:
    """Write the ledger of a run to a file, so that it outlives the process."""
    records = run.directory / "records"
    records.unlink(missing_ok=True)

    def write(thing: OwnedObject) -> None:
        with records.open("a") as stream:
            stream.write(f"{thing.kind} {thing.identity}\n")

    run.ledger.on_record = write


def recorded(run: Run) -> None:
    """Restore the ledger of a run from the file."""
    run.ledger.on_record = None
    run.ledger.objects.clear()
    records = run.directory / "records"
    for line in records.read_text().splitlines() if records.exists() else ():
        run.ledger.record(*line.split(" ", 1))


def killed_before(number: int, function: Callable[[], object]) -> bool:
    """Call a function in a process that is killed after some changes to the file system. Return whether it was killed.

    :param number: the number of changes that it may make.
    """
    pid = os.fork()
    if pid == 0:
        left = number

        def counted(call: Callable[..., Any]) -> Callable[..., Any]:
            def perhaps(*arguments: Any, **options: Any) -> Any:
                nonlocal left
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*arguments, **options)

            return perhaps

        for name in ("mkdir", "rename", "fchmod", "ftruncate", "fsync", "fchown"):
            setattr(os, name, counted(getattr(os, name)))
        for module in ("disk_files", "publication"):
            imported = __import__(f"v2v_core.output_files.{module}", fromlist=["x"])
            if hasattr(imported, "run_program"):
                imported.run_program = counted(imported.run_program)
        open_file = os.open
        os.open = lambda path, flags, *more, **options: (  # type: ignore[assignment]
            counted(open_file) if flags & os.O_CREAT and "records" not in str(path) else open_file
        )(path, flags, *more, **options)
        status = 1
        try:
            function()
            status = 0
        finally:
            os._exit(status)
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert ended in {0, -signal.SIGKILL}, ended
    return ended != 0
