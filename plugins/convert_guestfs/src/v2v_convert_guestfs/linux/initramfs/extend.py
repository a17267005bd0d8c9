# SPDX-License-Identifier: GPL-2.0-or-later
"""Add missing modules to an initramfs, and keep everything else in it as the guest's own tool made it.

Rebuilding it in the appliance takes a minute and a half without hardware virtualization, and with MODULES=dep the
result suits the appliance's hardware. Extending takes about three seconds: the modules come from the guest's
/lib/modules, the guest's depmod makes their tables, and the host writes the archive.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from v2v_convert_guestfs.files import read_content
from v2v_convert_guestfs.linux.editors.lines import ended
from v2v_convert_guestfs.linux.initramfs import compression
from v2v_convert_guestfs.linux.initramfs.cpio import ArchiveError
from v2v_convert_guestfs.linux.initramfs.examine import Examination
from v2v_convert_guestfs.linux.initramfs.image import Image, write_image
from v2v_convert_guestfs.linux.initramfs.kinds import Kind
from v2v_convert_guestfs.linux.kernels import is_module, module_name, parse_modules
from v2v_convert_guestfs.session import Session
from v2v_core.api import ConversionError

#: Bytes. A module has a few hundred kilobytes, all modules of an initramfs together a few dozen megabytes.
_MODULE_LIMIT = 32 * 1024 * 1024
_MODULES_LIMIT = 64 * 1024 * 1024
_TREE_LIMIT = 256 * 1024 * 1024
_TABLES_LIMIT = 32 * 1024 * 1024
#: How many modules a message names.
_NAMED = 3
_TO_LOAD = "conf/modules"
#: The settings in an image of mkinitcpio, which its init reads as a shell script.
_SETTINGS = "config"
_COMPRESSED = {".xz": "xz", ".gz": "gzip", ".zst": "zstd"}


def extend(session: Session, examined: Examination, target: Path) -> None:
    """Write a new image on the host, with the missing modules and the new disk names.

    :param target: the file on the host to write.
    :raises ArchiveError: the image cannot be extended; the guest's own tool must rebuild it.
    :raises RuntimeError: from libguestfs: the guest has no depmod, or it failed.
    """
    image = examined.image
    if image is None:
        raise ArchiveError(examined.unreadable)
    if not examined.extendable:
        raise ArchiveError(f"{examined.kind} made it: modules added to it would not be loaded")
    files: dict[str, bytes] = {**examined.stale.contents, **examined.carried}
    if examined.lacking:
        base = _base(image, examined.kernel.version)
        files.update(_lacking_modules(session, examined, image, base))
        files.update(_tables(session, image, files, base, examined.kernel.version))
        # initramfs-tools copies the names in /etc/initramfs-tools/modules to this file. udev would load them, too.
        to_load = image.read(_TO_LOAD)
        if to_load is not None:
            listed = {line.split()[0] for line in to_load.decode("utf-8", "replace").splitlines() if line.split()}
            more = [name for name in examined.lacking if name not in listed]
            text = ended(to_load.decode("latin-1")) + "".join(f"{name}\n" for name in more)
            files[_TO_LOAD] = text.encode("latin-1")
        # mkinitcpio's init loads these, also without udev. An image with systemd has udev and may lack the file.
        config = image.read(_SETTINGS) if examined.kind is Kind.MKINITCPIO else None
        if config is not None:
            files[_SETTINGS] = with_modules(config, examined.lacking)
    write_image(image, target, files, examined.stale.moved)


def with_modules(config: bytes, names: Sequence[str]) -> bytes:
    """Add modules to MODULES in a shell script. A later line with the old value in it works whatever the old one is."""
    text = ended(config.decode("latin-1")) + f'MODULES="$MODULES {" ".join(names)}"\n'
    return text.encode("latin-1")


def _base(image: Image, version: str) -> str:
    entries = image.entries()
    for base in (f"usr/lib/modules/{version}", f"lib/modules/{version}"):
        if f"{base}/modules.dep" in entries:
            return base
    raise ArchiveError("it has no modules")


def _lacking_modules(session: Session, examined: Examination, image: Image, base: str) -> dict[str, bytes]:
    """Return the missing modules from the guest, by their names in the image.

    They are expanded if the modules in the image are not compressed in the same way.
    """
    compressed = {Path(name).suffix for name in image.entries() if name.startswith(f"{base}/") and ".ko" in name}
    files = {}
    for path in examined.kernel.modules.closure(examined.lacking):
        if module_name(path) in examined.present:
            continue
        source = f"{examined.kernel.modules_directory}/{path}"
        if path.startswith("/") or ".." in path.split("/"):
            raise ArchiveError(f"modules.dep names {path}")
        size = session.handle.filesize(source) if session.handle.is_file(source, followsymlinks=True) else -1
        if not 0 <= size <= _MODULE_LIMIT:
            raise ArchiveError(f"{source} is missing in the guest, or too large")
        data = read_content(session.handle, source, size)
        if compressed and Path(path).suffix not in compressed:
            path, data = _expanded_module(session, path, data)  # noqa: PLW2901 - from here on, both are those for the archive
        files[f"{base}/{path}"] = data
        if sum(map(len, files.values())) > _MODULES_LIMIT:
            raise ArchiveError("the modules to add are too large")
    return files


def _expanded_module(session: Session, path: str, data: bytes) -> tuple[str, bytes]:
    suffix = Path(path).suffix
    kind = _COMPRESSED.get(suffix)
    if kind is None:
        return path, data
    with _host_file(session, data) as source:
        expanded = source.with_suffix(".expanded")
        try:
            with source.open("rb") as file:
                compression.expand(kind, file, 0, expanded, _MODULE_LIMIT)
            return path.removesuffix(suffix), expanded.read_bytes()
        finally:
            expanded.unlink(missing_ok=True)


def _tables(session: Session, image: Image, files: Mapping[str, bytes], base: str, version: str) -> dict[str, bytes]:
    """Return the tables (modules.dep.bin and so on) that the guest's depmod makes for the modules of the new image.

    Modules of driver updates are links into the directory of another kernel. depmod gets the files that they lead to.

    :raises ArchiveError: the new tables lack a module of the old ones.
    """
    new = {name: data for name, data in files.items() if name.startswith(f"{base}/kernel/") or ".ko" in name}
    old = {
        name: file
        for name, (_, entry) in image.entries().items()
        if name.startswith(f"{base}/")
        and name not in new
        and (entry.is_regular or (entry.is_symlink and is_module(name)))
        and (file := image.resolve(name)) is not None
    }
    if sum(image.entries()[file][1].size for file in old.values()) + sum(map(len, new.values())) > _TREE_LIMIT:
        raise ArchiveError("it has too many modules")
    with _directory_in_guest(session) as place:
        session.report.debug(f"running depmod in {place} for {len(old)} old and {len(new)} new files")
        with _host_file(session, b"") as path:
            with tarfile.open(path, mode="w") as tar:
                # kmod looks in /lib or in /usr/lib, depending on how it was built.
                _add_link(tar, "lib", "usr/lib")
                for name in (*old, *new):
                    data = new[name] if name in new else image.read(old[name]) or b""
                    member = tarfile.TarInfo(f"usr/lib/modules/{version}/{name.removeprefix(base + '/')}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
            session.handle.tar_in(str(path), place)
        session.run(["depmod", "-b", place, version])
        tables = _tables_in(session, image, f"{place}/usr/lib/modules/{version}", base)
    binary = f"{base}/modules.dep.bin"
    # The depmod of busybox makes modules.dep alone. Programs that use kmod read the old table then.
    if binary in image.entries() and tables.get(binary) == image.read(image.resolve(binary) or binary):
        raise ArchiveError("the guest's depmod is not kmod's: it makes no modules.dep.bin, which the image needs")
    loadable = {module_name(name) for name in old if is_module(name)}
    listed = parse_modules(image.read(f"{base}/modules.dep") or b"", b"").paths.keys() & loadable
    lost = listed - parse_modules(tables.get(f"{base}/modules.dep", b""), b"").paths.keys()
    if lost:
        raise ArchiveError(f"the guest's depmod leaves out {', '.join(sorted(lost)[:_NAMED])}")
    return tables


def _tables_in(session: Session, image: Image, directory: str, base: str) -> dict[str, bytes]:
    """Return those tables of the guest's depmod that the image has, too, by their names in the image.

    :raises ArchiveError: they are too large.
    """
    handle, tables, total = session.handle, {}, 0
    for name in sorted(name for name in image.entries() if re.fullmatch(rf"{re.escape(base)}/modules\.[a-z.]+", name)):
        path = f"{directory}/{name.removeprefix(base + '/')}"
        if handle.is_file(path, followsymlinks=False):
            size = int(handle.filesize(path))
            total += size
            if total > _TABLES_LIMIT:
                raise ArchiveError("the tables of the modules are too large")
            tables[name] = read_content(handle, path, size)
    return tables


def _add_link(tar: tarfile.TarFile, name: str, target: str) -> None:
    link = tarfile.TarInfo(name)
    link.type, link.linkname = tarfile.SYMTYPE, target
    tar.addfile(link)


@contextmanager
def _directory_in_guest(session: Session) -> Iterator[str]:
    place = str(session.handle.mkdtemp("/var/tmp/v2v-XXXXXX"))  # noqa: S108 - a directory in the guest, new and root's own
    try:
        yield place
    finally:
        try:
            session.handle.rm_rf(place)
        except RuntimeError as err:
            session.warn(f"{place} in the guest cannot be removed", err)


@contextmanager
def _host_file(session: Session, data: bytes) -> Iterator[Path]:
    path = session.request.temporary / "initramfs-modules.tar"
    try:
        path.write_bytes(data)
        yield path
    except OSError as err:
        raise ConversionError(f"{path} cannot be written: {err}", hint="free some space for temporary files") from err
    finally:
        path.unlink(missing_ok=True)
