# SPDX-License-Identifier: GPL-2.0-or-later
"""Tell a file system that the appliance cannot use from one that is damaged.

The kernel says why it does not mount a file system in its own log, with the bits of the features that it does not know;
the checking programs say it in their output.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from v2v_convert_guestfs.appliance import Handle, brief
from v2v_convert_guestfs.filesystems.features import (
    SUPERBLOCKS,
    Feature,
    Set,
    btrfs_devices,
    features_of,
    named,
    newer_than,
)

_EXT = r"EXT[234]-fs.*[Cc]ouldn't mount"
#: What the kernel says about features: kind of the file system, set, and the bits in hexadecimal.
_UNKNOWN_FEATURES = (
    ("ext4", Set.READ_ONLY, re.compile(rf"{_EXT} RDWR because of unsupported optional features \(([0-9a-f]+)\)")),
    ("ext4", Set.INCOMPATIBLE, re.compile(rf"{_EXT} because of unsupported optional features \(([0-9a-f]+)\)")),
    ("xfs", Set.INCOMPATIBLE, re.compile(r"XFS .*unknown incompatible features \(0x([0-9a-f]+)\)")),
    ("xfs", Set.READ_ONLY, re.compile(r"XFS .*unknown read-only compatible features \(0x([0-9a-f]+)\)")),
    (
        "btrfs",
        Set.READ_ONLY,
        re.compile(
            r"BTRFS.*(?:cannot|couldn't) mount (?:read-write|RDWR) because of "
            r"(?:unknown compat_ro|unsupported option(?:al)?) features \((?:0x)?([0-9a-f]+)\)"
        ),
    ),
    (
        "btrfs",
        Set.INCOMPATIBLE,
        re.compile(
            r"BTRFS.*(?:cannot|couldn't) mount because of (?:unknown incompat|unsupported option(?:al)?) features "
            r"\((?:0x)?([0-9a-f]+)\)"
        ),
    ),
    ("erofs", Set.INCOMPATIBLE, re.compile(r"erofs.*unidentified incompatible feature (?:0x)?([0-9a-f]+)")),
)
_NO_DRIVER = re.compile(r"unknown filesystem type '([\w.+-]{1,30})'")
#: Features that a kernel may be built without.
_BUILT_WITHOUT = (
    (re.compile(r"(?:EXT4|F2FS)-fs.*casefold.*CONFIG_UNICODE"), Feature("casefold", (5, 2))),
    (re.compile(r"F2FS-fs.*(?:compress\w* .*not supported|doesn't support.*compress)"), Feature("compression", (5, 6))),
)
#: What the checking programs say.
_OLD_E2FSCK = re.compile(r"has unsupported feature\(s\): *([^\n;]+)")
_E2FSCK_BIT = re.compile(r"FEATURE_([CRI])(\d+)")
_OLD_XFS_REPAIR = re.compile(r"unknown compat/rocompat/incompat features \(0x([0-9a-f]+)/0x([0-9a-f]+)/0x([0-9a-f]+)\)")
_OLD_BTRFS = re.compile(
    r"unsupported (?:optional|option|ro|compat_ro) features|unsupported RO features|unsupported features"
)
_E2FSCK_SETS = {"C": Set.COMPATIBLE, "R": Set.READ_ONLY, "I": Set.INCOMPATIBLE}

#: libguestfs's name of a subvolume, on a partition, a logical volume or a mapped device.
_SUBVOLUME = re.compile(r"btrfsvol:(/dev/(?:mapper/[^/]+|(?:sd|hd|vd)[^/]*|md[^/]*|[^/]+/[^/]+))/.*", re.DOTALL)

_OTHER_KERNEL = (
    "run the conversion on a host with such a kernel, or let libguestfs build its appliance from one: SUPERMIN_KERNEL "
    "is the path of the kernel, SUPERMIN_MODULES that of its modules, and LIBGUESTFS_CACHEDIR a new, empty directory"
)
#: What else the kernel says that is no damage: the rest of a sentence about the file system, and what helps.
_OTHER_LIMITS = (
    (
        re.compile(r"XFS .*V4 .*not supported by kernel"),
        "has version 4 of XFS, and {kernel} is built without it",
        f"use a kernel that has it, such as that of Red Hat Enterprise Linux 9: {_OTHER_KERNEL}",
    ),
    (
        # XFS says blocksize, btrfs sectorsize. Older kernels handle blocks up to the size of their memory pages.
        re.compile(
            r"(?:XFS|BTRFS|EXT4-fs).*(?:blocksize|block size|sectorsize) (\d{4,6})\b.*(?:page|not (?:yet )?sup)"
        ),
        "has blocks of {0} bytes, and {kernel} can only handle smaller ones",
        f"use a kernel that can (Linux 6.12 or later for XFS): {_OTHER_KERNEL}",
    ),
    (
        re.compile(r"JBD2: Unrecognised features on journal"),
        "has a journal with features that {kernel} does not know",
        f"use a newer kernel: {_OTHER_KERNEL}",
    ),
    (
        re.compile(r"BTRFS.*devid \d+ uuid [0-9a-f-]+ is missing"),
        "is one of {count} devices of a btrfs file system, and not all of them are among the disks that were given",
        "give all disks of the guest",
    ),
)


@dataclass(frozen=True)
class Limit:
    """Why the appliance cannot use a file system that need not be damaged, and what helps."""

    reason: str
    hint: str


def base_device(device: str) -> str:
    """Return the device of a file system: /dev/sda1 of the subvolume btrfsvol:/dev/sda1/@."""
    match = _SUBVOLUME.fullmatch(device)
    return match[1] if match else device


def read_start(handle: Handle, device: str) -> bytes:
    """Return the beginning of a device, as far as superblocks go; nothing if it cannot be read."""
    try:
        return bytes(handle.pread_device(device, SUPERBLOCKS, 0))
    except RuntimeError:
        return b""


def why_not_mounted(handle: Handle, device: str, kind: str, options: str) -> Limit | None:
    """Mount a file system again that could not be mounted; return the limit of the appliance, or None if it is none.

    :param options: mount options. Nothing must be mounted.
    """
    known = set(_kernel_log(handle))
    try:
        handle.mount_options(options, device, "/")
    except RuntimeError as err:
        new = [line for line in _kernel_log(handle) if line not in known]
        start = read_start(handle, base_device(device))
        return limit_of(device, kind, str(err), new, start, kernel_release(handle))
    handle.umount_all()
    return None


def limit_of(device: str, kind: str, error: str, log: Sequence[str], start: bytes, release: str) -> Limit | None:
    """Return why the appliance's kernel does not mount a file system; None if it may as well be damaged.

    :param error: of the mount program. :param log: what the kernel has said. :param start: see ``features_of``.
    :param release: of the appliance's kernel.
    """
    said = "\n".join(log)
    file_system, kernel = f"the file system on {device} ({kind})", f"the appliance's kernel ({release})"
    if match := _NO_DRIVER.search(error):
        return Limit(
            f"{kernel} has no driver for file systems of the type {match[1]}, which {device} has",
            f"use a kernel that has one: {_OTHER_KERNEL}",
        )
    found = _unknown_in(said)
    if found is not None:
        return _unknown_features(file_system, kernel, *found)
    for pattern, reason, hint in _OTHER_LIMITS:
        if match := pattern.search(said):
            count = btrfs_devices(start) or "several"
            text = reason.format(match[1] if match.re.groups else "", kernel=kernel, count=count)
            return Limit(f"{file_system} {text}", hint)
    newer = newer_than(kind, start, release)
    return _unknown_features(file_system, kernel, Set.INCOMPATIBLE, newer) if newer else None


def _unknown_in(said: str) -> tuple[Set, tuple[Feature, ...]] | None:
    """Return the features that the kernel's log names as unknown, and their set."""
    for family, which, pattern in _UNKNOWN_FEATURES:
        if found := pattern.findall(said):
            return which, named(family, which, int(found[-1][:16], 16))
    for pattern, feature in _BUILT_WITHOUT:
        if pattern.search(said):
            return Set.INCOMPATIBLE, (feature,)
    return None


def why_not_checked(kind: str, output: str, start: bytes) -> str | None:
    """Return the features that keep a checking program from checking a file system, as part of a sentence.

    None means that it has checked it.

    :param output: of the program.
    """
    if match := _OLD_E2FSCK.search(output):
        names = [_name_of_bit(word) for word in match[1].split()]
        return f"e2fsck of the appliance is too old for {_listed(names)}"
    if match := _OLD_XFS_REPAIR.search(output):
        masks = zip((Set.COMPATIBLE, Set.READ_ONLY, Set.INCOMPATIBLE), match.groups(), strict=True)
        names = [feature.name for which, mask in masks for feature in named("xfs", which, int(mask[:16], 16))]
        return f"xfs_repair of the appliance is too old for {_listed(names)}"
    if kind == "btrfs" and _OLD_BTRFS.search(output):
        present = features_of(kind, start)
        late = [
            feature.name
            for which in (Set.INCOMPATIBLE, Set.READ_ONLY)
            for feature in named(kind, which, present.get(which, 0))
            if feature.since is None or feature.since >= (5, 12)
        ]
        return f"btrfs check of the appliance is too old for {_listed(late)}"
    return None


def kernel_release(handle: Handle) -> str:
    """Return the release of the appliance's kernel, such as 6.1.0-9-amd64."""
    try:
        return str(handle.utsname()["uts_release"])
    except (RuntimeError, KeyError):
        return "of an unknown version"


def _kernel_log(handle: Handle) -> list[str]:
    try:
        return str(handle.dmesg()).splitlines()
    except (RuntimeError, UnicodeDecodeError) as err:
        return [] if isinstance(err, RuntimeError) else err.object.decode("utf-8", "replace").splitlines()


def _unknown_features(file_system: str, kernel: str, which: Set, features: Sequence[Feature]) -> Limit:
    cannot = "cannot write it" if which is Set.READ_ONLY else "cannot mount it"
    what = f"feature{'s' if len(features) > 1 else ''} {_listed([feature.name for feature in features])}"
    versions = [feature.since for feature in features if feature.since is not None]
    since = ""
    if len(versions) == len(features) and versions:
        since = f", Linux {'.'.join(map(str, max(versions)))} or later"
    return Limit(
        f"{kernel} does not know the {what} of {file_system} and {cannot}",
        f"use a kernel that knows {'them' if len(features) > 1 else 'it'}{since}: {_OTHER_KERNEL}",
    )


def _name_of_bit(word: str) -> str:
    match = _E2FSCK_BIT.fullmatch(word)
    return named("ext4", _E2FSCK_SETS[match[1]], 1 << (int(match[2]) % 64))[0].name if match else word[:40]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "one of its features"


def short(err: BaseException) -> str:
    """Return the message of an error, without mount's hints at its own log and manual."""
    text = brief(err)
    text = re.sub(r";? *dmesg\(1\) may have more information after failed mount system call\.?", "", text)
    return re.sub(r"^mount exited with status \d+: mount: /sysroot\S*: ", "", text)
