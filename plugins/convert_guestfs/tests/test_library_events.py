# SPDX-License-Identifier: GPL-2.0-or-later
"""What libguestfs says is heard, whatever bytes a guest puts into its words."""

from __future__ import annotations

import guestfs
import pytest

from v2v_convert_guestfs.library_events import listen


def test_words_that_are_not_utf_8_are_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python binding's own callback dies of them, and the process with it."""
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


def test_what_is_no_handle_is_said() -> None:
    with pytest.raises(OSError, match="no handle"):
        listen(object(), 1, print)
