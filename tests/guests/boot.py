# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot a guest under emulation until its serial console shows what a test waits for; the images are not written.

From the tests directory, ``python3 -m guests.boot IMAGE…`` boots the guest with virtio and prints the console's end.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NoReturn, get_args

from guests.console import Console
from guests.host import HostError, image_format, tethered
from guests.networks import NETWORK_MARKER
from guests.recipe import MARKER
from guests.storage import LUKS_PASSPHRASE

Firmware = Literal["bios", "uefi"]
Controller = Literal["virtio", "virtio-scsi", "mptsas1068", "pvscsi", "lsi53c895a", "ide"]

LOGIN = r"\S+ login: "

# What the initramfs of a guest with an encrypted root asks for, and systemd for any other one.
PASSPHRASE = {r"(?i:please (?:unlock disk|enter passphrase))[^\n]*:": LUKS_PASSPHRASE}

# What a console shows that will not show a login prompt any more: the guest waits for an answer that never comes.
_HOPELESS = (
    r"ALERT!",
    r"Kernel panic",
    r"\(initramfs\)",
    r"(?i:grub rescue)",
    r"grub> ",
    r"You are in emergency mode",
    r"Cannot open access to console, the root account is locked",
    r"No bootable device",
    r"Boot failed: not a bootable disk",
    r"BdsDxe: No bootable option",
)
# The kernel's panic where the machine's timer did not tick ten times while it looked.
_NO_TIMER = "IO-APIC + timer doesn't work"
_ATTEMPTS = 3
_HOPELESS_PATTERN = re.compile("|".join(_HOPELESS))

_OVMF = (
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
)


@dataclasses.dataclass(frozen=True)
class BootResult:
    """What came of a boot: the whole console, whether it showed what was awaited, and why the waiting ended."""

    log: str
    reached: bool
    seconds: float
    reason: str

    @property
    def facts(self) -> dict[str, str]:
        """Return what the guest said about itself (root, failed, units, swap, mounts), or nothing if it did not."""
        return self._words(MARKER)

    @property
    def network(self) -> dict[str, str]:
        """Return what the guest said about its network: addresses (name=address) and links."""
        return self._words(NETWORK_MARKER)

    @property
    def mounts(self) -> dict[str, str]:
        """Return the device of every mount point, as the guest said."""
        return dict(pair.split("=", 1) for pair in self.facts.get("mounts", "").split(",") if "=" in pair)

    def _words(self, marker: str) -> dict[str, str]:
        found = re.findall(rf"^{marker} (.*)$", self.log, re.MULTILINE)
        return dict(word.split("=", 1) for word in found[-1].split() if "=" in word) if found else {}

    def tail(self, lines: int = 40) -> str:
        """Return the end of the console, for a failed test's message."""
        return "\n".join(self.log.splitlines()[-lines:])


def boot(
    disks: Sequence[Path],
    *,
    until: str = LOGIN,
    timeout: float = 300.0,
    firmware: Firmware = "bios",
    machine: str = "q35",
    controller: Controller = "virtio",
    memory: int = 1024,
    nics: Sequence[str] = (),
    kernel: Sequence[str | Path] = (),
    answers: Mapping[str, str] = PASSPHRASE,
) -> BootResult:
    """Boot the disks and wait until the console matches the expression, or shows that it never will.

    Where the emulator was so slow that the kernel found no timer, that says nothing of the guest: it is booted again.

    :param nics: the MAC addresses of virtio NICs, each on a network without any other machine.
    :param kernel: the kernel, its initramfs and its arguments, in place of the disk's boot loader.
    :param answers: what to type on the console by the expression of the question.

    A machine that got there is switched off as if by the plug. Call it from a thread that lives on: the machine dies
    with the thread that started it.
    """
    for _ in range(_ATTEMPTS):
        result = _boot(
            disks,
            until=until,
            timeout=timeout,
            firmware=firmware,
            machine=machine,
            controller=controller,
            memory=memory,
            nics=nics,
            kernel=kernel,
            answers=answers,
        )
        if _NO_TIMER not in result.log:
            break
    return result


def _boot(
    disks: Sequence[Path],
    *,
    until: str,
    timeout: float,
    firmware: Firmware,
    machine: str,
    controller: Controller,
    memory: int,
    nics: Sequence[str],
    kernel: Sequence[str | Path],
    answers: Mapping[str, str],
) -> BootResult:
    """Boot the disks once."""
    wanted = re.compile(until)
    with tempfile.TemporaryDirectory(prefix="v2v-boot.") as name:
        console = Console(Path(name), answers)
        command = _command(disks, Path(name), firmware, machine, controller, memory, nics) + console.options
        for option, value in zip(("-kernel", "-initrd", "-append"), kernel, strict=False):
            command += [option, str(value)]
        started = time.monotonic()
        with (
            Path(name, "stderr").open("wb") as errors,
            contextlib.closing(console),
            _running(command, errors.fileno()) as process,
        ):
            reason = ""
            while not reason:
                ended = process.poll()
                log = console.read()
                if wanted.search(log):
                    reason = "reached"
                elif hopeless := _HOPELESS_PATTERN.search(log):
                    reason = f"the console shows {hopeless[0]!r}"
                    # What follows the alarm is what a person wants to read about it.
                    time.sleep(1.5)
                    log = console.read()
                elif ended is not None:
                    reason = f"the machine ended with exit code {ended}"
                elif time.monotonic() - started > timeout:
                    reason = f"not reached in {timeout:.0f} s"
                else:
                    time.sleep(0.25)
            seconds = time.monotonic() - started
        if reason.startswith("the machine ended") and not log:
            complaint = Path(name, "stderr").read_text(errors="replace").strip()
            raise HostError(f"qemu did not start the machine: {complaint}")
    return BootResult(log=log, reached=reason == "reached", seconds=seconds, reason=reason)


def _command(
    disks: Sequence[Path],
    work: Path,
    firmware: Firmware,
    machine: str,
    controller: Controller,
    memory: int,
    nics: Sequence[str],
) -> list[str]:
    """Return qemu's command line."""
    command = ["qemu-system-x86_64", "-nodefaults", "-accel", "tcg,thread=multi", "-cpu", "max"]
    command += ["-m", str(memory), "-smp", "2", "-display", "none", "-no-reboot"]
    for mac in nics:
        command += ["-nic", f"user,model=virtio-net-pci,mac={mac},restrict=on"]
    if not nics:
        command += ["-nic", "none"]
    # Without graphics the BIOS and GRUB's first stages complain on the serial line too.
    command += ["-machine", f"{machine},graphics=off" if firmware == "bios" else machine]
    if firmware == "uefi":
        command += _ovmf(work)
    if controller not in {"virtio", "ide"}:
        command += ["-device", f"{'virtio-scsi-pci' if controller == 'virtio-scsi' else controller},id=hba"]
    for index, disk in enumerate(disks):
        path = str(disk.resolve()).replace(",", ",,")
        command += ["-drive", f"file={path},format={image_format(disk)},if=none,id=disk{index},snapshot=on"]
        bus = {
            "virtio": "virtio-blk-pci",
            "ide": f"ide-hd,bus=ide.{index}",
            "virtio-scsi": f"scsi-hd,bus=hba.0,scsi-id={index}",
        }.get(controller, f"scsi-hd,bus=hba.0,scsi-id={index}")
        command += ["-device", f"{bus},drive=disk{index},bootindex={index + 1}"]
    return command


def _ovmf(work: Path) -> list[str]:
    """Return the options for UEFI firmware with variables of its own."""
    for code, variables in _OVMF:
        if Path(code).exists():
            shutil.copyfile(variables, work / "variables.fd")
            return [
                "-drive",
                f"if=pflash,format=raw,unit=0,readonly=on,file={code}",
                "-drive",
                f"if=pflash,format=raw,unit=1,file={work / 'variables.fd'}",
            ]
    raise HostError(f"no UEFI firmware in any of {', '.join(code for code, _ in _OVMF)}")


@contextlib.contextmanager
def _running(command: Sequence[str], errors: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run the machine while the block runs, in a session of its own: a Ctrl-C is the test's, not the machine's."""
    process = subprocess.Popen(
        tethered(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _terminate(number: int, frame: object) -> NoReturn:
    """Turn SIGTERM into an exception, so that the temporary directory goes away."""
    raise SystemExit(128 + number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Boot the images of the command line as one machine and print the end of its console."""
    parser = argparse.ArgumentParser(prog="guests.boot", description="Boot the images as one machine, without writing.")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="a disk: raw, or qcow2 if it is named so")
    parser.add_argument("--controller", choices=get_args(Controller), default="virtio")
    parser.add_argument("--firmware", choices=get_args(Firmware), default="bios")
    parser.add_argument("--machine", default="q35")
    parser.add_argument("--until", default=LOGIN, metavar="REGEX")
    parser.add_argument("--timeout", type=float, default=300.0, metavar="SECONDS")
    parser.add_argument("--lines", type=int, default=25, help="how much of the console to print")
    chosen = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _terminate)
    result = boot(
        chosen.images,
        until=chosen.until,
        timeout=chosen.timeout,
        firmware=chosen.firmware,
        machine=chosen.machine,
        controller=chosen.controller,
    )
    print(result.tail(chosen.lines))
    print(f"--- {result.reason} after {result.seconds:.0f} s; {result.facts or 'the guest said nothing of itself'}")
    return 0 if result.reached else 1


if __name__ == "__main__":
    sys.exit(main())
