# SPDX-License-Identifier: GPL-2.0-or-later
"""The events of libguestfs are received, whatever bytes a guest puts into them."""

from __future__ import annotations

import guestfs
import pytest

from v2v_convert_guestfs.library_events import listen


def test_text_that_is_not_utf_8_is_received(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python binding's own callback would crash the process."""
    monkeypatch.setenv("LIBGUESTFS_HV", "/nowhere/\udce9qemu")
    handle = guestfs.GuestFS(python_return_dict=True)
    heard: list[str] = []
    kept = listen(handle, guestfs.EVENT_TRACE, heard.append)
    handle.set_trace(True)
    with pytest.raises(UnicodeDecodeError):
        handle.get_hv()
    handle.close()
    assert kept is not None
    assert any("/nowhere/\\xe9qemu" in words for words in heard)


def test_another_object_is_refused() -> None:
    with pytest.raises(OSError, match="not a handle"):
        listen(object(), 1, print)
