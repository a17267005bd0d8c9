# SPDX-License-Identifier: GPL-2.0-or-later
"""Describe how a local image is opened: its format, and the one file that it consists of.

The format comes from ``-if`` or from the magic number. A guest can write the header of another format to the start of
its raw disk, and the disk is then opened in that format. No header can make qemu open a second file, though: an image
that names one is refused unless the user allows it.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import stat
import struct
from pathlib import Path

from v2v_core.errors import CommandError, SourceError
from v2v_core.images.parents import check_has_no_parent
from v2v_core.images.references import References, read_references
from v2v_core.model import QemuImage
from v2v_core.programs import require_program, run_program
from v2v_core.serving.qemu_nbd import block_node, json_name

#: Magic numbers: qemu docs/interop/qcow2.txt, VMware's "Virtual Disk Format 5.0", MS-VHDX, VirtualBox VDICore.h,
#: Microsoft's "Virtual Hard Disk Image Format Specification" (dynamic disks begin with a copy of the footer).
_MAGIC: tuple[tuple[str, int, bytes], ...] = (
    ("qcow2", 0, b"QFI\xfb"),
    ("vmdk", 0, b"KDMV"),
    ("vmdk", 0, b"COWD"),
    ("vmdk", 0, b"# Disk DescriptorFile"),
    ("vhdx", 0, b"vhdxfile"),
    ("vdi", 64, b"\x7f\x10\xda\xbe"),
    ("vpc", 0, b"conectix"),
)
FORMATS = ("raw", "qcow2", "vmdk", "vhdx", "vdi", "vpc")
#: The formats whose tables ``qemu-img check`` can follow: a file that was cut short is noticed.
_CHECKED = frozenset({"qcow2", "vmdk", "vdi", "vhdx"})
# as qemu tells an address from a file name (path_has_protocol in block.c)
_PROTOCOL = re.compile(r"[^/:]*:")
_UNTRUSTED = (
    "a package must not open files of this machine: create it again so that each disk is one self-contained image"
)
#: How deep a chain of backing files may be.
_DEEPEST = 64


def describe_image(
    path: Path,
    image_format: str | None,
    *,
    external: bool = False,
    within: Path | None = None,
    window: tuple[int, int] | None = None,
    depth: int = 0,
) -> QemuImage:
    """Describe an image or block device after checking it.

    :param image_format: its format, or None to detect it by its magic number.
    :param external: the user trusts the image, so the files that its header names may be opened.
    :param within: the directory of an untrusted package. The image and the files that its header names must lie in
        this directory, with links resolved. Without ``within`` and ``external``, the header may not name any file.
    :param window: the part of the file that holds the image: offset and length in bytes.
    :param depth: how many images of the backing chain lie above this one.
    :raises SourceError: the image is unreadable, damaged, or names a file that may not be opened.
    """
    if depth > _DEEPEST:
        raise SourceError(
            f"{path}: the chain of backing files is deeper than {_DEEPEST}",
            hint="commit some of them into their backing files",
        )
    if external:
        within = None
    size = _check_file(path)
    if within is not None:
        _check_lies_in(path, path, within)
    start, size = window or (0, size)
    image_format = image_format or detect_format(path, start)
    references = read_references(path, image_format, size, start=start)
    if external:
        _check_data_file(path, references)
    else:
        _check_references(path, image_format, references, within)
    backing = None
    if references.backing is not None:
        backing = describe_image(
            _backing_path(path, references),
            references.backing_format,
            external=external,
            within=within,
            depth=depth + 1,
        )
    image = QemuImage(
        path=path,
        format=image_format,
        backing=backing,
        offset=start if window else None,
        size=size if window else None,
    )
    check_has_no_parent(path, image_format, start)
    if image_format == "vdi":
        _check_vdi_length(path, size)
    if image_format in _CHECKED:
        _check_image(image)
    return image


def _check_data_file(path: Path, references: References) -> None:
    """Check the external data file of an image that the user trusts.

    :raises SourceError: its name is not absolute, so that it depends on qemu's current directory.
    """
    if references.data_file is not None and not references.data_file.startswith("/"):
        raise SourceError(
            f"{path} keeps its data in {references.data_file!r}, which is not an absolute path: qemu looks for it "
            "in the current directory instead of the directory of the image",
            # qemu-img looks for it in the current directory, too
            hint="store the absolute path: "
            f"cd {shlex.quote(str(path.parent))} && qemu-img amend -f qcow2 -o "
            f"data_file={shlex.quote(str(path.parent / references.data_file).replace(',', ',,'))} "
            f"{shlex.quote(path.name)}",
        )


def _check_references(path: Path, image_format: str, references: References, within: Path | None) -> None:
    """Check the files that an untrusted image names.

    :raises SourceError: it names one that must not be opened.
    """
    if not references.any:
        return
    if within is None:
        raise SourceError(
            f"{path}: this {image_format} image refers to another file: {references.describe()}",
            hint="if you trust the image, add: -io allow-external-files; or copy it into one self-contained image with "
            "qemu-img convert",
        )
    if references.data_file is not None:
        # qemu resolves the name against its current directory, which never is the package
        raise SourceError(
            f"{path}: this {image_format} image refers to an external data file, {references.data_file!r}",
            hint=_UNTRUSTED,
        )
    for name in references.beside():
        _check_lies_in(path, path.parent / name, within)
    for extent in references.extents:
        if extent.sparse:
            _check_extent(path, path.parent / extent.name)


def _check_lies_in(path: Path, named: Path, within: Path) -> None:
    """Check that a path, with all links resolved, leads to a regular file in a directory. The file may be missing.

    :raises SourceError: the path leads out of the directory, or to a device.
    """
    try:
        inside = named.resolve().is_relative_to(within.resolve())
        ordinary = named.is_file() or not named.exists()
    except (OSError, RuntimeError, ValueError):
        # a loop of links, or a name that is not valid for a file
        inside = ordinary = False
    if not inside:
        what = f"this image refers to a file outside {within}: {str(named)!r}"
        raise SourceError(
            f"{path} is a link that leads out of {within}" if named == path else f"{path}: {what}", hint=_UNTRUSTED
        )
    if not ordinary:
        raise SourceError(f"{named} is a device or another special file, not a disk image", hint=_UNTRUSTED)


def _check_extent(path: Path, extent: Path) -> None:
    """Check that a sparse extent is not a descriptor in disguise, whose files qemu would open.

    :raises SourceError: it names other files.
    """
    if not extent.exists():
        return  # qemu-img check reports it
    nested = read_references(extent, "vmdk", extent.stat().st_size)
    if nested.any:
        raise SourceError(
            f"{path}: its extent {extent.name!r} refers to another file: {nested.describe()}", hint=_UNTRUSTED
        )


def detect_format(path: Path, start: int = 0) -> str:
    """Return the format of an image by its magic number, or ``raw`` if it has none.

    :param start: offset of the image in the file, in bytes.
    :raises SourceError: the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            stream.seek(start)
            head = stream.read(512)
    except OSError as err:
        raise _unreadable(path, err) from err
    return next((name for name, offset, magic in _MAGIC if head[offset : offset + len(magic)] == magic), "raw")


def _check_file(path: Path) -> int:
    """Return the size of a file in bytes, or 0 for a block device.

    :raises SourceError: it is not a readable, non-empty file.
    """
    try:
        status = path.stat()
    except OSError as err:
        raise _unreadable(path, err) from err
    except ValueError as err:
        raise SourceError(f"{str(path)!r} is not the name of a file: {err}", hint="check the name") from err
    if stat.S_ISBLK(status.st_mode):
        return 0
    if not stat.S_ISREG(status.st_mode):
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "neither a file nor a block device"
        raise SourceError(f"{path} is {kind}, not a disk image", hint="name the disk image itself")
    if not os.access(path, os.R_OK):
        raise SourceError(
            f"{path}: permission denied", hint="make it readable for this user, or run as a user who may read it"
        )
    if status.st_size == 0:
        raise SourceError(f"{path} is empty", hint="check that the image was downloaded or exported completely")
    return status.st_size


def _backing_path(path: Path, references: References) -> Path:
    """Return the path of the backing file. A relative name belongs to the directory of the image that has it.

    :raises SourceError: the name is not that of a file, or the format is missing or unsupported.
    """
    name, image_format = references.backing or "", references.backing_format
    if _PROTOCOL.match(name) and references.backing_format != "vmdk":
        raise SourceError(
            f"{path}: its backing file {name!r} is an address for qemu, not the name of a file",
            hint="copy it into one self-contained image with qemu-img convert",
        )
    if image_format is None:
        raise SourceError(
            f"{path}: its header names the backing file {name!r} without its format",
            hint="write it down, with raw or qcow2 for FORMAT: "
            f"qemu-img rebase -u -F FORMAT -b {shlex.quote(name)} {shlex.quote(str(path))}",
        )
    if image_format not in FORMATS:
        raise SourceError(
            f"{path}: its backing file {name!r} has the format {image_format!r}, which is not supported",
            hint="copy it into one self-contained image with qemu-img convert",
        )
    return path.parent / name


def _check_image(image: QemuImage) -> None:
    """Let qemu check the tables of an image, because the missing end of a truncated file would read as zeros.

    :raises SourceError: the image is damaged.
    """
    require_program("qemu-img")
    # the backing file has been checked on its own
    node = block_node(dataclasses.replace(image, backing=None))
    try:
        run_program(["qemu-img", "check", "-q", "-U", json_name(node)])
    except CommandError as err:
        if err.status == 3:  # qemu-img(1): leaked clusters are harmless
            return
        if err.status == 63:  # qemu-img(1): this kind of image cannot be checked
            return
        lines = (line.strip().removeprefix("qemu-img: ") for line in err.stderr_tail.splitlines())
        reasons = [line for line in lines if line]
        raise SourceError(
            f"{image.path} is not a complete {image.format} image: {reasons[0] if reasons else err.message}",
            hint="the file is truncated or damaged: export or download it again; 'qemu-img check' says more",
        ) from err


def _check_vdi_length(path: Path, size: int) -> None:
    """Check that a VDI file is as long as its header says; ``qemu-img check`` does not.

    :raises SourceError: the file is shorter.
    """
    with path.open("rb") as stream:
        head = stream.read(512)
    # VDICore.h: offset of the data at 0x158, bytes of a block at 0x178, number of allocated blocks at 0x184
    if len(head) == 512:
        (data,), (block,), (allocated,) = (struct.unpack_from("<I", head, at) for at in (0x158, 0x178, 0x184))
        if size == 0 or size >= data + block * allocated:
            return
    raise SourceError(
        f"{path} is not a complete vdi image: it is shorter than its header says",
        hint="the file is truncated: export or download it again",
    )


def _unreadable(path: Path, err: OSError) -> SourceError:
    hints = {
        FileNotFoundError: "check the path; a relative path starts at the current directory",
        PermissionError: "make it readable for this user, or run as a user who may read it",
    }
    return SourceError(f"{path}: {err.strerror}", hint=hints.get(type(err)))
