# SPDX-License-Identifier: GPL-2.0-or-later
"""Open the encrypted file systems that the user gave keys for (``--key``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from v2v_convert_guestfs.appliance import brief, explained
from v2v_convert_guestfs.session import Session
from v2v_core.api import ConversionError

_ENCRYPTED = ("crypto_LUKS", "BitLocker")


@dataclass(frozen=True)
class Key:
    """A key and what it opens: a device, a UUID, or ``all``."""

    identity: str
    secret: str = field(repr=False)


def parse_key(selector: str) -> Key:
    """Read a selector: ``ID:key:TEXT`` or ``ID:file:PATH``; a device may have colons of its own.

    :raises ConversionError: it is none, or the file cannot be read. The key itself is never part of the message.
    """
    for kind in ("key", "file"):
        identity, found, rest = selector.partition(f":{kind}:")
        if found and identity and rest:
            if kind == "key":
                return Key(identity, rest)
            try:
                return Key(identity, Path(rest).read_text(encoding="utf-8").rstrip("\n"))
            except (OSError, UnicodeDecodeError) as err:
                raise ConversionError(f"the key for {identity} cannot be read from {rest}: {err}") from err
    raise ConversionError(
        "a --key is not understood", hint="write it as ID:key:KEY or ID:file:FILE; ID is a device, a UUID, or all"
    )


def open_encrypted(session: Session) -> None:
    """Open every encrypted file system that there is a key for, then look for what is inside.

    :raises ConversionError: no key fits one that has keys.
    """
    handle = session.handle
    keys = [parse_key(selector) for selector in session.request.settings.keys]
    opened = False
    for device in encrypted(session):
        uuid = str(handle.vfs_uuid(device))
        fitting = [key for key in keys if key.identity in {device, uuid, "all"}]
        for number, key in enumerate(fitting, 1):
            try:
                handle.cryptsetup_open(device, key.secret, "crypt" + "".join(filter(str.isalnum, uuid or device)))
            except RuntimeError as err:
                if number == len(fitting):
                    raise ConversionError(
                        f"the encrypted file system on {device} cannot be opened with the keys given: {brief(err)}",
                        hint="check the key; --key takes a device, a UUID, or all",
                    ) from err
            else:
                opened = True
                break
    if opened:
        with explained("the volume groups inside the encrypted file systems cannot be activated"):
            handle.lvm_scan(True)
        session.filesystems = dict(handle.list_filesystems())


def encrypted(session: Session) -> list[str]:
    """List the devices with encrypted file systems."""
    return sorted(device for device, kind in session.filesystems.items() if kind in _ENCRYPTED)
