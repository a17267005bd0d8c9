# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that are immutable or append-only are blockers if they must be changed."""

from __future__ import annotations

from typing import Any

import pytest

from v2v_convert_guestfs.linux import (
    immutable,
)
from v2v_convert_guestfs.session import Blockers
from v2v_core.api import (
    ConversionError,
)


def test_locked_files_stand_in_the_way_if_they_must_be_changed(guest: Any) -> None:
    guest.add("/etc/fstab", b"/dev/sda1 / ext4 defaults 0 1\n")
    guest.add("/etc/crypttab", b"x UUID=1 none luks\n")
    guest.add("/etc/resolv.conf")
    guest.directory("/boot")
    guest.handle.locks = dict.fromkeys(("/etc/fstab", "/etc/crypttab", "/etc/resolv.conf"), "ei") | {"/boot": "ae"}
    blockers = Blockers()
    immutable.check_configuration(guest.session, guest.files, blockers)
    with pytest.raises(ConversionError, match="2 reasons") as caught:
        blockers.stop()
    assert "/etc/fstab in the guest is immutable" in caught.value.message
    assert "/boot in the guest is append-only" in caught.value.message
    assert "chattr -i /etc/fstab" in str(caught.value.hint)


def test_a_locked_filter_of_lvm_stands_in_the_way_whatever_its_spelling(guest: Any) -> None:
    for path, text in (("/etc/lvm/lvm.conf", b'filter = [ "a|sda.*|" ]'), ("/etc/lvm/lvmlocal.conf", b"filter = []")):
        guest.add(path, text)
        guest.handle.locks[path] = "i"
    blockers = Blockers()
    immutable.check_configuration(guest.session, guest.files, blockers)
    (reason,) = blockers.reasons
    assert "/etc/lvm/lvm.conf in the guest is immutable" in reason[0]
