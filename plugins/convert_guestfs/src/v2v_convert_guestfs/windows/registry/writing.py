# SPDX-License-Identifier: GPL-2.0-or-later
"""Write edited hives, all or none.

hivex writes each edited hive beside the original, where it is read again and checked. Only when all are good, the pages
that differ are written into the originals. So an original is never half-edited, keeps its access rights, and Windows
sees no more new data than there is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from v2v_convert_guestfs.appliance import Handle, brief
from v2v_convert_guestfs.session import Session
from v2v_convert_guestfs.windows.registry import header
from v2v_convert_guestfs.windows.registry.hives import Edit, HiveName, parts
from v2v_convert_guestfs.windows.registry.value_lists import without_value
from v2v_convert_guestfs.windows.registry.values import LONGEST_VALUE
from v2v_core.api import ConversionError

_PAGE = header.LENGTH
#: Bytes of one message to the appliance.
_MESSAGE = 1024 * 1024


@dataclass
class _Copy:
    """An edited hive beside the original: its path, and the places that differ, with the old and the new bytes."""

    hive: HiveName
    original: str
    path: str
    size: int = 0
    pages: list[tuple[int, bytes, bytes]] = field(default_factory=list)


def write_hives(session: Session, paths: Mapping[HiveName, str], edits: Sequence[Edit]) -> None:
    """Do all edits in their order. No hive must be open.

    :raises ConversionError: one cannot be done; then every hive is as it was.
    """
    copies: list[_Copy] = []
    try:
        for hive in HiveName:
            wanted = [edit for edit in edits if edit.hive is hive]
            if wanted:
                with _errors(hive, paths[hive]):
                    copies.append(_Copy(hive, paths[hive], str(session.handle.mktemp(f"{paths[hive]}.v2v-XXXXXX"))))
                    _edit(session.handle, copies[-1], wanted)
                    _compare(session, copies[-1])
        _put_in_place(session.handle, copies)
    finally:
        for copy in copies:
            with suppress(RuntimeError):
                session.handle.rm_f(copy.path)


def _edit(handle: Handle, copy: _Copy, edits: Sequence[Edit]) -> None:
    """Write the edited hive beside the original, and check it."""
    with _opened(handle, copy.original, write=True):
        for edit in edits:
            _apply(handle, edit)
        handle.hivex_commit(copy.path)
    _delete_values(handle, copy.path, [edit for edit in edits if edit.name is not None and edit.value is None])
    said = header.examine(bytes(handle.pread(copy.path, header.LENGTH, 0)), int(handle.filesize(copy.path)))
    if said.state is not header.State.CLEAN:
        raise RuntimeError(f"the edited hive is not whole: {said.reason}")
    with _opened(handle, copy.path):
        for number, edit in enumerate(edits):
            _check(handle, edit, edits[number + 1 :])


def _apply(handle: Handle, edit: Edit) -> None:
    key = int(handle.hivex_root())
    *above, last = parts(edit.key)
    if edit.name is None:
        found = _find(handle, edit.key)
        if found is not None:
            handle.hivex_node_delete_child(found)
        return
    if edit.value is None:
        return
    for part in (*above, last):
        below = int(handle.hivex_node_get_child(key, part))
        key = below or int(handle.hivex_node_add_child(key, part) or handle.hivex_node_get_child(key, part))
    # hivex writes the other values of the key again, and a long one in a form that Windows cannot read.
    for value in handle.hivex_node_values(key):
        length = len(handle.hivex_value_value(value["hivex_value_h"]))
        if length > LONGEST_VALUE:
            raise RuntimeError(f"{edit.key} has a value of {length} bytes, and hivex cannot edit such a key")
    handle.hivex_node_set_value(key, edit.name, edit.value.type, edit.value.data)


def _find(handle: Handle, path: str) -> int | None:
    """Return the number of a key in the open hive, or None."""
    key = int(handle.hivex_root())
    for part in parts(path):
        key = int(handle.hivex_node_get_child(key, part))
        if not key:
            return None
    return key


def _delete_values(handle: Handle, path: str, edits: Sequence[Edit]) -> None:
    """Take values from the lists of their keys: libguestfs has no call for it."""
    found: list[tuple[int, int]] = []
    if edits:
        with _opened(handle, path):
            for edit in edits:
                key = _find(handle, edit.key)
                value = int(handle.hivex_node_get_value(key, edit.name)) if key is not None else 0
                if key is not None and value:
                    found.append((key, value))

    def read(place: int, count: int) -> bytes:
        return bytes(handle.pread(path, count, place))

    for key, value in found:
        for place, content in without_value(read, key, value):
            _write(handle, path, place, content)


def _check(handle: Handle, edit: Edit, later: Sequence[Edit]) -> None:
    """Check that an edit is in the open hive, unless a later one has undone it.

    :raises RuntimeError: it is not.
    """
    key = _find(handle, edit.key)
    if edit.name is None:
        again = any(f"{other.key}\\".lower().startswith(f"{edit.key}\\".lower()) for other in later)
        good = key is None or again
    else:
        number = int(handle.hivex_node_get_value(key, edit.name)) if key is not None else 0
        if edit.value is None:
            good = number == 0
        else:
            good = number != 0 and (
                int(handle.hivex_value_type(number)),
                bytes(handle.hivex_value_value(number)),
            ) == (int(edit.value.type), edit.value.data)
    if not good:
        raise RuntimeError(f"{edit.key} ({edit.name}) is not in the edited hive as it was written")


def _compare(session: Session, copy: _Copy) -> None:
    """Find the pages of the copy that differ from the original."""
    with tempfile.TemporaryDirectory(prefix="hive-", dir=session.request.temporary) as place:
        old, new = Path(place, "old"), Path(place, "new")
        session.handle.download(copy.original, str(old))
        session.handle.download(copy.path, str(new))
        copy.size = old.stat().st_size
        if new.stat().st_size < copy.size:
            raise RuntimeError(f"the edited hive is shorter than it was: {new.stat().st_size} bytes")
        with old.open("rb") as before, new.open("rb") as after:
            position = 0
            while content := after.read(_PAGE):
                had = before.read(_PAGE)
                if content != had:
                    copy.pages.append((position, had, content))
                position += len(content)


def _put_in_place(handle: Handle, copies: Sequence[_Copy]) -> None:
    """Write the pages that differ into the originals. If one cannot be written, those that were are written back.

    :raises ConversionError: one cannot be written.
    """
    begun: list[_Copy] = []
    for copy in copies:
        begun.append(copy)
        try:
            for place, content in _joined((place, new) for place, _, new in copy.pages):
                _write(handle, copy.original, place, content)
        except RuntimeError as err:
            for other in begun:
                with _errors(other.hive, other.original):
                    for place, content in _joined((place, old) for place, old, _ in other.pages):
                        _write(handle, other.original, place, content)
                    handle.truncate_size(other.original, other.size)
            raise _failure(copy.hive, copy.original, err) from err


def _joined(pages: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Join pages that follow each other, up to the length of a message."""
    start, content = 0, b""
    for place, page in pages:
        if content and (place != start + len(content) or len(content) + len(page) > _MESSAGE):
            yield start, content
            content = b""
        start, content = (start if content else place), content + page
    if content:
        yield start, content


def _write(handle: Handle, path: str, place: int, content: bytes) -> None:
    done = 0
    while done < len(content):
        written = int(handle.pwrite(path, content[done:], place + done))
        if written <= 0:
            raise RuntimeError(f"nothing was written at {place + done}")
        done += written


@contextmanager
def _opened(handle: Handle, path: str, *, write: bool = False) -> Iterator[None]:
    """Open a hive in the appliance."""
    handle.hivex_open(path, write=write)
    try:
        yield
    finally:
        with suppress(RuntimeError):
            handle.hivex_close()


@contextmanager
def _errors(hive: HiveName, path: str) -> Iterator[None]:
    """Raise ConversionError for errors of libguestfs, naming the hive."""
    try:
        yield
    except (RuntimeError, UnicodeDecodeError) as err:
        raise _failure(hive, path, err) from err


def _failure(hive: HiveName, path: str, err: BaseException) -> ConversionError:
    return ConversionError(
        f"the hive {hive} of the guest's registry ({path}) cannot be edited: {brief(err)}; it is as it was",
        hint="look for a full file system in the guest, and check its disk with chkdsk at the source",
    )
