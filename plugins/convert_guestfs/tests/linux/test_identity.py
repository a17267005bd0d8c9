# SPDX-License-Identifier: GPL-2.0-or-later
"""The random seed is renewed, and an empty machine id is filled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from v2v_convert_guestfs.linux import (
    identity,
)


@pytest.mark.parametrize(
    ("distro", "there", "expected"),
    [
        ("debian", "/var/lib/systemd", "/var/lib/systemd/random-seed"),
        ("debian", "/var/lib/urandom", "/var/lib/urandom/random-seed"),
        ("rhel", "/var/lib", "/var/lib/random-seed"),
        ("altlinux", "/var/lib", "/var/lib/random-seed"),
        ("sles", "/var/lib/misc", "/var/lib/misc/random-seed"),
    ],
)
def test_the_random_seed(
    tmp_path: Path, distro: str, there: str, expected: str, make_guest: Callable[..., Any]
) -> None:
    guest = make_guest(tmp_path, distro)
    guest.directory(there)
    identity.renew(guest.session, guest.files)
    first = guest.read(expected)
    assert len(first) == 512
    assert (guest.root / expected.lstrip("/")).stat().st_mode & 0o777 == 0o600
    identity.renew(guest.session, guest.files)
    assert guest.read(expected) != first


def test_only_an_empty_machine_id_is_filled(guest: Any) -> None:
    guest.add("/etc/machine-id")
    guest.add("/var/lib/dbus/machine-id")
    identity.renew(guest.session, guest.files)
    filled = guest.read("/etc/machine-id")
    assert len(filled.strip()) == 32
    assert guest.read("/var/lib/dbus/machine-id") == filled
    identity.renew(guest.session, guest.files)
    assert guest.read("/etc/machine-id") == filled
