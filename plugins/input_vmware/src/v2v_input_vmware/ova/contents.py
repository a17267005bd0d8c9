# SPDX-License-Identifier: GPL-2.0-or-later
"""Read a package: find its descriptor, verify its manifests, describe its disks."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from pathlib import Path

from v2v_core.api import (
    DiskService,
    InputResult,
    InputSetupRequest,
    NbdkitPlugin,
    QemuImage,
    SourceError,
    describe_image,
)
from v2v_input_vmware.ova import manifest
from v2v_input_vmware.ova.drives import OvfDisk
from v2v_input_vmware.ova.ovf import parse_ovf
from v2v_input_vmware.ova.package import Package, Part, names_of_reference, open_package, room_in, unpack_gzip

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def describe_guest(request: InputSetupRequest, path: Path) -> InputResult:
    """Describe the guest of a package and how its disks are opened.

    :raises SourceError: the package or one of its disks is damaged, or refers to files outside the package.
    """
    scratch = (request.temporary or request.directory) / "ova"
    scratch.mkdir(mode=0o700, exist_ok=True)
    for leftover in scratch.iterdir():
        # an earlier attempt of this step left it
        leftover.unlink()
    package = open_package(path, scratch)
    name = _descriptor(package)
    descriptor = parse_ovf(package.files[name].read_small(), path.stem or "unknown", request.report.warning)
    for disk in descriptor.disks if package.descriptor is not None else ():
        for named in names_of_reference("", disk.href or ""):
            package.include(posixpath.dirname(named))
    if not request.options.flag("skip-manifest"):
        request.report.message("Verifying the checksums of the OVA")
        manifest.verify(package, request.report.warning)
    folder = posixpath.dirname(name)
    services = tuple(
        _service(package, folder, disk, number, scratch) for number, disk in enumerate(descriptor.disks, 1)
    )
    return InputResult(guest=descriptor.guest, disks=services, assumed=descriptor.assumed)


def _descriptor(package: Package) -> str:
    if package.descriptor is not None:
        descriptors = [package.descriptor] if package.descriptor in package.files else []
        linked = [package.descriptor]
    else:
        descriptors = _descriptors(package.files)
        linked = _descriptors(package.outside)
    if not descriptors and linked:
        raise SourceError(
            f"{package.origin}: the OVF descriptor {linked[0]!r} is a link out of the directory",
            hint="put the descriptor itself into the directory",
        )
    if len(descriptors) != 1:
        listed = ", ".join(repr(name[:60]) for name in descriptors[:3])
        raise SourceError(
            f"{package.origin} has {len(descriptors)} OVF descriptors ({listed}), but exactly one is expected"
            if descriptors
            else f"{package.origin} has no OVF descriptor (a file *.ovf)",
            hint="name the one to convert: -i ova DIRECTORY/FILE.ovf; an archive must be unpacked for that"
            if descriptors
            else "name the OVA file, the directory that it was unpacked into, or the .ovf file",
        )
    return descriptors[0]


def _descriptors(names: Iterable[str]) -> list[str]:
    # programs for the Macintosh put a file ._NAME beside each file
    return sorted(n for n in names if n.lower().endswith(".ovf") and not posixpath.basename(n).startswith("._"))


def _service(package: Package, folder: str, disk: OvfDisk, number: int, scratch: Path) -> DiskService:
    if disk.href is None:
        # zeros, which take no space; what the conversion writes is in the overlay
        return NbdkitPlugin(name="null", parameters=(("size", str(disk.capacity)),))
    return _image(package, folder, disk, disk.href, number, scratch)


def _image(package: Package, folder: str, disk: OvfDisk, href: str, number: int, scratch: Path) -> QemuImage:
    name, part = _file_of(package, folder, href)
    what = f"disk {number} of the OVA ({name})"
    _check_size(package, what, disk, part)
    if disk.gzip:
        limit = room_in(scratch)
        if disk.capacity is not None:
            # a VMDK of random data is larger than its disk: its tables and failed compression add to it
            limit = min(limit, disk.capacity + disk.capacity // 16 + 16 * 1024 * 1024)
        part = unpack_gzip(part, scratch / f"disk{number}", limit=limit, what=what)
    # an unpacked disk does not lie in the package any more, and may not name files
    within = None if disk.gzip else package.directory
    window = None if part.offset is None else (part.offset, part.size)
    try:
        return describe_image(part.path, None, within=within, window=window)
    except SourceError as err:
        raise SourceError(f"{what} is refused: {err.message}", hint=_hint(err)) from err


def _hint(err: SourceError) -> str | None:
    if "refers to" in err.message:
        return "export the guest again, so that each disk is one self-contained file"
    return err.hint


def _file_of(package: Package, folder: str, href: str) -> tuple[str, Part]:
    """Return the name and the file of a disk. Without such a file, the latest snapshot beside it is taken.

    Snapshots are called ``disk.vmdk.000000001``.

    :raises SourceError: there is no such file, or it lies outside the package.
    """
    names = names_of_reference(folder, href)
    if any(posixpath.isabs(name) or name == ".." or name.startswith("../") for name in names):
        raise SourceError(
            f"the OVF descriptor names a disk outside the OVA, {href[:80]!r}",
            hint="put the disk beside the OVF descriptor, and correct its href there",
        )
    if any(name in package.outside for name in names):
        raise SourceError(
            f"the disk {href[:80]!r} of the OVA is a link out of its directory",
            hint="put the disk itself beside the OVF descriptor",
        )
    found = package.find(folder, href)
    if found is None:
        snapshot = re.compile("(?:" + "|".join(map(re.escape, names)) + r")\.([0-9]{1,18})")
        numbered = [(int(match[1]), other) for other in package.files if (match := snapshot.fullmatch(other))]
        found = max(numbered)[1] if numbered else None
    if found is None:
        raise SourceError(
            f"the disk {href[:80]!r}, which the OVF descriptor names, is not in {package.origin}",
            hint="download it, put it beside the OVF descriptor, and correct its href there"
            if _URL.match(href)
            else "the OVA is incomplete: export or download it again",
        )
    return found, package.files[found]


def _check_size(package: Package, what: str, disk: OvfDisk, part: Part) -> None:
    if disk.size is not None and disk.size != part.size:
        raise SourceError(
            f"{what} has {part.size} bytes, but the OVF descriptor says {disk.size}",
            hint="the OVA is truncated or was changed: export or download it again; if the disk is right, correct "
            f"ovf:size in the descriptor of {package.origin}",
        )
