# SPDX-License-Identifier: GPL-2.0-or-later
"""Warn about names of disks that stay in the guest's configuration, with the file and the line."""

from __future__ import annotations

import re
from collections.abc import Iterator

from v2v_convert_guestfs.devices import DeviceNames, links_in
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.session import Session
from v2v_core.api import visible

#: Files that name disks in too many ways to be edited. The user is warned about them.
_LOOKED_AT = (
    *("/etc/smartd.conf", "/etc/default/smartmontools", "/etc/hdparm.conf", "/etc/multipath.conf"),
    *("/etc/udev/rules.d/*.rules", "/etc/sysconfig/rawdevices", "/etc/auto.*", "/etc/rc.local", "/etc/rc.d/rc.local"),
    *("/etc/sysconfig/oracleasm", "/etc/sysconfig/oracleasm-_dev_oracleasm", "/etc/default/oracleasm"),
    *("/etc/drbd.conf", "/etc/drbd.d/*.res", "/etc/sysconfig/docker-storage-setup", "/etc/zfs/vdev_id.conf"),
)
#: A disk in a udev rule, without /dev/, and perhaps with a pattern: KERNEL=="sd[b-d]1".
_KERNEL_NAME = re.compile(
    r"(?:KERNELS?|NAME|ENV\{DEVNAME\})\s*[!=]=\s*\"(?P<name>(?:/dev/)?(?:sd|hd|xvd|nvme)[^\"]{0,100})\"", re.ASCII
)
#: Rules that recognize a disk by its hardware.
_HARDWARE = re.compile(
    r"(?P<name>(?:ENV\{(?:ID_SERIAL|ID_SERIAL_SHORT|ID_PATH|ID_WWN|SCSI_IDENT_\w+)\}|ATTRS?\{(?:wwid|serial|model|vendor)\}|"
    r"PROGRAM[^,]{0,100}scsi_id[^,]{0,200}RESULT)\s*==\s*\"[^\"]{1,200}\")",
    re.ASCII,
)
#: The beginnings of the names of disks that Oracle's ASMLib looks at.
_SCAN_ORDER = re.compile(r"^[ \t]*ORACLEASM_SCANORDER=[\"']?(?P<words>[^\"'#\n]*)", re.ASCII)
_OLD_BEGINNINGS = ("sd", "hd", "xvd", "nvme", "emcpower", "mpath", "dm")
_ANY_DISK = re.compile(r"(?<![\w./-])/dev/(?:sd|hd|xvd|nvme\d)[*\[?][^\s\"']{0,100}", re.ASCII)
_LINKS = re.compile(r"/dev/disk/by-(?:id|path)/(?!dm-|lvm-|md-)[^\s\"',]+", re.ASCII)
#: The most lines of one file that get a warning each.
_WARNINGS = 10
#: Characters of a line in a warning.
_LONGEST = 120


def warn_of_left(session: Session, path: str, content: bytes, names: DeviceNames) -> None:
    """Warn about each line with a disk that has kept its name because it cannot be told which disk it is.

    :param content: of the file, after disks have been renamed.
    """
    new = tuple(f"/dev/{disk}" for disk in names.disks.values())
    found = []
    for number, line in _lines(content):
        where = f"{path} in the guest, line {number} ({_shown(line)})"
        for link in dict.fromkeys((*links_in(line), *_LINKS.findall(line))):
            found.append(
                f"{where}: it cannot be told which of the disks {visible(link)} is, so it stays as it is and may not "
                "exist on KVM: write UUID= instead"
            )
        for name in dict.fromkeys(name for name in names.unknown_in(line) if not name.startswith(new)):
            found.append(f"{where}: {name} is not one of the guest's disks, so it stays as it is")
    _report(session, path, found)


def warn_of_untold(session: Session, path: str, content: bytes, names: DeviceNames) -> None:
    """Warn about each line of a boot loader's file with a disk that has kept its name because nothing says which it is.

    :param content: of the file, after disks have been renamed.
    """
    new = tuple(f"/dev/{disk}" for disk in names.disks.values())
    found = []
    for number, line in _lines(content):
        for name in dict.fromkeys(name for name in names.unknown_in(line) if not name.startswith(new)):
            found.append(
                f"{path} in the guest, line {number} ({_shown(line)}): {name} is not one of the guest's disks, so it "
                "stays as it is"
            )
        for name in names.untold_in(line):
            found.append(
                f"{path} in the guest, line {number} ({_shown(line)}): it cannot be told which of the disks {name} is, "
                "so it stays as it is: write UUID= instead"
            )
    _report(session, path, found)


def warn_of_looked_at(session: Session, files: GuestFiles, names: DeviceNames) -> None:
    """Warn about each line in other files that names disks by their old names."""
    for path in dict.fromkeys(path for pattern in _LOOKED_AT for path in files.glob(pattern)):
        found = []
        for number, line in _lines(files.read(path) or b""):
            named = list(dict.fromkeys((*names.stale_in(line), *_other_names(path, line))))
            if named:
                found.append(
                    f"{path} in the guest, line {number} ({_shown(line)}): {visible(', '.join(named))} means the disks "
                    "of the source, and is not edited: check it by hand"
                )
        _report(session, path, found)


def _other_names(path: str, line: str) -> Iterator[str]:
    yield from _ANY_DISK.findall(line)
    yield from (link for link in links_in(line))
    if path.endswith(".rules"):
        yield from (match["name"] for pattern in (_KERNEL_NAME, _HARDWARE) for match in pattern.finditer(line))
    if "oracleasm" in path and (match := _SCAN_ORDER.match(line)):
        words = match["words"].split()
        if any(word.removeprefix("/dev/").startswith(_OLD_BEGINNINGS) for word in words):
            yield f"ORACLEASM_SCANORDER={' '.join(words)}"


def _lines(content: bytes) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(content.decode("latin-1").split("\n"), 1):
        if not line.lstrip().startswith("#"):
            yield number, line


def _shown(line: str) -> str:
    text = visible(" ".join(line.split()))
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def _report(session: Session, path: str, found: list[str]) -> None:
    for text in found[:_WARNINGS]:
        session.report.warning(text)
    if len(found) > _WARNINGS:
        session.report.warning(f"{path} in the guest names {len(found) - _WARNINGS} more devices that were not renamed")
