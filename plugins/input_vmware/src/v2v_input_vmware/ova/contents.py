# SPDX-License-Identifier: GPL-2.0-or-later
"""Read a package: find its descriptor, verify its manifests, describe its disks."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
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
from v2v_input_vmware.ova.chunks import chunks_of, join, numbered_files
from v2v_input_vmware.ova.drives import OvfDisk
from v2v_input_vmware.ova.ovf import parse_ovf
from v2v_input_vmware.ova.package import Package, Part, names_of_reference, open_package, room_in, unpack_gzip

#: A changed descriptor has another checksum than its manifest says.
_CORRECT_HREF = (
    "put the disk beside the OVF descriptor (an archive must be unpacked for that), correct its href there, and name "
    "the directory with -io skip-manifest"
)
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
    verified: frozenset[str] = frozenset()
    if not request.options.flag("skip-manifest"):
        request.report.message("Verifying the checksums of the OVA")
        verified = manifest.verify(package, request.report.warning)
    reader = _Reader(package, posixpath.dirname(name), scratch, verified, request.report.warning)
    services = tuple(reader.service(disk, number) for number, disk in enumerate(descriptor.disks, 1))
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


@dataclass(frozen=True)
class _Reader:
    """Describes the disks of a package.

    :param folder: of the descriptor. :param scratch: for what must be unpacked or joined.
    :param verified: the files whose checksums the manifests confirm.
    """

    package: Package
    folder: str
    scratch: Path
    verified: frozenset[str]
    warn: Callable[[str], None]

    def service(self, disk: OvfDisk, number: int) -> DiskService:
        """Return how a disk is opened.

        :raises SourceError: it is missing or damaged, or names files outside the package.
        """
        if disk.href is None:
            # zeros, which take no space; what the conversion writes is in the overlay
            return NbdkitPlugin(name="null", parameters=(("size", str(disk.capacity)),))
        return self._image(disk, disk.href, number)

    def _image(self, disk: OvfDisk, href: str, number: int) -> QemuImage:
        chunks = chunks_of(self.package, self.folder, disk)
        if chunks:
            what = f"disk {number} of the OVA ({href[:80]})"
            part = join(self.package, chunks, self.scratch / f"chunks{number}", what=what)
        else:
            name, part = _file_of(self.package, self.folder, href)
            what = f"disk {number} of the OVA ({name})"
        self._check_size(what, disk, part, intact=self.verified.issuperset(chunks or (name,)))
        if disk.gzip:
            limit = room_in(self.scratch)
            if disk.capacity is not None:
                # a VMDK of random data is larger than its disk: its tables and failed compression add to it
                limit = min(limit, disk.capacity + disk.capacity // 16 + 16 * 1024 * 1024)
            part = unpack_gzip(part, self.scratch / f"disk{number}", limit=limit, what=what)
        # a disk that was unpacked or joined does not lie in the package any more, and may not name files
        within = None if disk.gzip or chunks else self.package.directory
        window = None if part.offset is None else (part.offset, part.size)
        try:
            return describe_image(part.path, None, within=within, window=window)
        except SourceError as err:
            raise SourceError(f"{what} is refused: {err.message}", hint=_hint(err)) from err

    def _check_size(self, what: str, disk: OvfDisk, part: Part, *, intact: bool) -> None:
        """Check the size of a file against the descriptor, in which some programs write another number.

        :param intact: its checksum was right, so it is as it was when the guest was exported.
        """
        if disk.size is None or disk.size == part.size:
            return
        different = f"{what} has {part.size} bytes, but the OVF descriptor says {disk.size}"
        if intact:
            self.warn(f"{different}: the file counts, because its checksum is the one in the manifest")
            return
        raise SourceError(
            different,
            hint="the OVA is truncated or was changed: export or download it again; if the disk is right, unpack the "
            "OVA, correct ovf:size in the OVF descriptor, and name the directory with -io skip-manifest",
        )


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
            hint=_CORRECT_HREF,
        )
    if any(name in package.outside for name in names):
        raise SourceError(
            f"the disk {href[:80]!r} of the OVA is a link out of its directory",
            hint="put the disk itself beside the OVF descriptor",
        )
    found = package.find(folder, href)
    if found is None:
        found = next((name for _, name in reversed(numbered_files(package, folder, href))), None)
    if found is None:
        raise SourceError(
            f"the disk {href[:80]!r}, which the OVF descriptor names, is not in {package.origin}",
            hint=f"download it; {_CORRECT_HREF}"
            if _URL.match(href)
            else "the OVA is incomplete: export or download it again",
        )
    return found, package.files[found]
