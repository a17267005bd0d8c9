# SPDX-License-Identifier: GPL-2.0-or-later
"""The addresses of disks for the appliance, and the messages of libguestfs's errors."""

from __future__ import annotations

import pytest

from v2v_convert_guestfs.appliance import brief, nbd_drive
from v2v_core.api import (
    ConversionError,
    DiskEndpoint,
)


@pytest.mark.parametrize(
    ("uri", "server", "export"),
    [
        ("nbd+unix:///?socket=/run/in1", "unix:/run/in1", ""),
        ("nbd+unix:///a%20b?socket=/run/in%201", "unix:/run/in 1", "a b"),
        ("nbd://host:10810/disk", "tcp:host:10810", "disk"),
        ("nbd://host", "tcp:host:10809", ""),
    ],
)
def test_nbd_addresses(uri: str, server: str, export: str) -> None:
    drive = nbd_drive(DiskEndpoint(index=1, uri=uri))
    assert (drive["server"], drive["filename"], drive["format"]) == ([server], export, "raw")


@pytest.mark.parametrize("uri", ["nbds://host/x", "nbd+unix:///", "/disk.img", ""])
def test_other_addresses_are_refused(uri: str) -> None:
    with pytest.raises(ConversionError, match="disk 3"):
        nbd_drive(DiskEndpoint(index=3, uri=uri))


def test_the_words_of_an_error() -> None:
    assert brief(RuntimeError("mount_options: mount: /dev/sda1: wrong\nfs type\n")) == "/dev/sda1: wrong; fs type"
    assert brief(RuntimeError()) == "RuntimeError"
    assert brief(RuntimeError("command: \x1b[2Jgone")).strip() == "[2Jgone"
