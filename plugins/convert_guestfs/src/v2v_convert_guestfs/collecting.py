# SPDX-License-Identifier: GPL-2.0-or-later
"""Copy files out of the guest before it is changed (``--collect``), into one archive.

They go from the appliance's tar through this process into the archive, member by member: none of them is unpacked on
the host.
"""

from __future__ import annotations

import copy
import lzma
import os
import posixpath
import tarfile
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from v2v_convert_guestfs.session import Session
from v2v_convert_guestfs.settings import Collect
from v2v_core.api import ConversionError


def collect(session: Session, wanted: Collect) -> None:
    """Write the archive. What the guest does not have is left out, with a warning.

    :raises ConversionError: the archive cannot be written.
    """
    path = wanted.archive
    partial = ""
    try:
        descriptor, partial = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
        with os.fdopen(descriptor, "wb") as stream, tarfile.open(fileobj=stream, mode="w:xz") as archive:
            for place, name in wanted.places:
                _add(session, archive, place, name)
        Path(partial).replace(path)
    except (OSError, tarfile.TarError, lzma.LZMAError) as err:
        raise ConversionError(
            f"the files collected from the guest cannot be written to {path}: {err}",
            hint="look at the directory of --collect-output: free space, permissions",
        ) from err
    finally:
        if partial:
            with suppress(FileNotFoundError):
                Path(partial).unlink()
    session.report.info(f"The files collected from the guest are in {path}")


def member_name(name: str, inside: str) -> str | None:
    """Return a member's name in the archive, or None if it would lead out of it.

    :param name: the directory in the archive, "" or "." for the top. :param inside: the name in the guest's directory.
    """
    joined = posixpath.normpath(posixpath.join(name or ".", inside.lstrip("/")))
    return None if joined == ".." or joined.startswith(("../", "/")) else joined


def _add(session: Session, archive: tarfile.TarFile, place: str, name: str) -> None:
    handle = session.handle
    try:
        real = str(handle.case_sensitive_path(place)) if session.inspection.os_type == "windows" else place
        if handle.is_dir(real, followsymlinks=True):
            _add_directory(handle, archive, str(handle.realpath(real)), name)
        elif handle.is_file(real, followsymlinks=True):
            _add_file(handle, archive, str(handle.realpath(real)), name)
        else:
            session.report.warning(f"{place} does not exist in the guest: it is not collected")
    except (RuntimeError, UnicodeDecodeError) as err:
        session.warn(f"{place} in the guest is not collected, or not all of it", err)


def _add_file(handle: Any, archive: tarfile.TarFile, real: str, name: str) -> None:
    with tempfile.TemporaryFile() as stream:
        handle.download(real, f"/dev/fd/{stream.fileno()}")
        member = tarfile.TarInfo(member_name(name, real.rpartition("/")[2]) or "file")
        member.size, member.mode = stream.seek(0, os.SEEK_END), 0o600
        stream.seek(0)
        archive.addfile(member, stream)


def _add_directory(handle: Any, archive: tarfile.TarFile, real: str, name: str) -> None:
    """Add a directory: the appliance's tar writes into a pipe, from which another thread reads.

    :raises RuntimeError: libguestfs's. :raises OSError: the archive cannot be written.
    """
    reader, writer = os.pipe()
    failures: list[BaseException] = []

    def read() -> None:
        with os.fdopen(reader, "rb") as stream:
            try:
                with tarfile.open(fileobj=stream, mode="r|") as source:
                    _copy(source, archive, name)
            except (OSError, tarfile.TarError, lzma.LZMAError) as err:
                failures.append(err)
            # Let the appliance's tar write to its end.
            while stream.read(1024 * 1024):
                pass

    thread = threading.Thread(target=read, name="collecting")
    thread.start()
    try:
        handle.tar_out(real, f"/dev/fd/{writer}")
    finally:
        os.close(writer)
        thread.join()
    if failures:
        raise failures[0]


def _copy(source: tarfile.TarFile, archive: tarfile.TarFile, name: str) -> None:
    for found in source:
        path = member_name(name, found.name)
        if path is None or not (found.isfile() or found.isdir() or found.issym() or found.islnk()):
            continue
        member = copy.copy(found)
        member.name, member.pax_headers = path, {}
        # The user can read and delete it, and no set-user-id program of the guest reaches the host.
        member.mode = member.mode & 0o777 | (0o700 if found.isdir() else 0o600)
        if found.islnk():
            member.linkname = member_name(name, found.linkname) or ""
        archive.addfile(member, source.extractfile(found) if found.isfile() else None)
