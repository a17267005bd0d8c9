# SPDX-License-Identifier: GPL-2.0-or-later
"""Open the encrypted devices that the user gave keys for (``--key``), and those that come to light inside them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from v2v_convert_guestfs.appliance import brief, explained
from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.disks import ENCRYPTED, list_filesystems
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import ConversionError

_FORMS = "ID:file:FILE or ID:key:KEY, where ID is a device, UUID=…, or all"
#: Bytes; cryptsetup takes no longer passphrase from a terminal, and no longer key file, by default.
_LONGEST = 8 * 1024 * 1024


@dataclass(frozen=True)
class Key:
    """A key and what it opens: a device, a UUID, or ``all``."""

    identity: str
    secret: str = field(repr=False)

    def fits(self, device: str, uuid: str, names: DeviceNames) -> bool:
        """Tell whether it is meant for a device: by libguestfs's name of it, by its UUID, or by the guest's name of it.

        :param names: libguestfs's names by the guest's. They differ where the guest's disks are not called sda, sdb …
        """
        if self.identity in {"all", device, mapper_name(device)}:
            return True
        if not self.identity.startswith("/dev/sd") and names.rename(self.identity) == device:
            return True
        wanted = re.sub(r"^UUID=", "", self.identity, flags=re.IGNORECASE).strip("\"'")
        return bool(uuid) and wanted.lower() == uuid.lower()


def parse_key(selector: str) -> Key:
    """Read a selector: ``ID:key:TEXT`` or ``ID:file:PATH``; a device may have colons of its own.

    :raises ConversionError: it is none, or the file cannot be read. The key itself is never part of the message.
    """
    for kind in ("key", "file"):
        identity, found, rest = selector.partition(f":{kind}:")
        if found and identity and rest:
            return Key(identity, _checked(identity, rest if kind == "key" else _read(identity, rest)))
    identity, found, rest = selector.rpartition(":clevis")
    if found and identity and not rest:
        raise ConversionError(
            f"the key for {identity} cannot be had from Clevis: this is not supported",
            hint=f"give a passphrase for that device: {_FORMS}",
        )
    raise ConversionError("a --key is not understood", hint=f"write it as {_FORMS}")


def open_encrypted(session: Session, blockers: Blockers) -> None:
    """Open every encrypted device that there is a key for, then look for more inside.

    One that the keys for it do not open stands in the way. Those without a key are what ``encrypted`` lists afterwards.

    :raises ConversionError: a key is malformed, or what is inside cannot be looked at.
    """
    keys = [parse_key(selector) for selector in session.request.settings.keys]
    names = DeviceNames.of(session.request.guest.disks, "sd")
    used: set[str] = set()
    tried: set[str] = set()
    # LUKS in a logical volume of a group in LUKS comes to light in the second round.
    while new := [device for device in encrypted(session) if device not in tried]:
        tried.update(new)
        opened = False
        for device in new:
            uuid = _uuid(session, device)
            fitting = [key for key in keys if key.fits(device, uuid, names)]
            used.update(key.identity for key in fitting)
            inside = _open(session, device, uuid, fitting, blockers) if fitting else None
            if inside is not None:
                session.opened[device] = inside
                opened = True
        if opened:
            with explained("the volume groups inside the encrypted devices cannot be activated"):
                session.handle.lvm_scan(True)
            with explained("the file systems inside the encrypted devices cannot be listed"):
                session.filesystems = list_filesystems(session.handle, everything=True)
    for key in keys:
        if key.identity not in used and key.identity != "all":
            session.report.warning(
                f"the key for {key.identity} fits nothing: "
                + (f"encrypted are {', '.join(sorted(tried))}" if tried else "nothing is encrypted")
            )


def encrypted(session: Session) -> list[str]:
    """List the encrypted devices that are not open."""
    return sorted(
        device for device, kind in session.filesystems.items() if kind in ENCRYPTED and device not in session.opened
    )


def mapper_name(device: str) -> str:
    """Give the other name of a logical volume: ``/dev/my-vg/root`` is ``/dev/mapper/my--vg-root`` as well."""
    parts = device.split("/")
    if len(parts) != 4 or parts[2] == "mapper":
        return device
    return "/dev/mapper/" + "-".join(part.replace("-", "--") for part in parts[2:])


def _open(session: Session, device: str, uuid: str, keys: Sequence[Key], blockers: Blockers) -> str | None:
    """Try the keys, and give what is inside.

    Open, it has the name that Fedora and Red Hat give it, so that their fstab finds it.
    """
    luks = session.filesystems[device] == "crypto_LUKS"
    name = f"luks-{uuid}" if luks and uuid else "crypt" + "".join(filter(str.isalnum, uuid or device))
    for key in keys:
        try:
            session.handle.cryptsetup_open(device, key.secret, name)
        except RuntimeError as err:
            failure = brief(err)
        else:
            return f"/dev/mapper/{name}"
    hint = f"check the key: --key takes {_FORMS}"
    if "memory" in failure.lower():
        hint = "give the appliance more memory with --memsize"
    blockers.add(f"the encrypted device {device} cannot be opened with the keys given: {failure}", hint)
    return None


def _uuid(session: Session, device: str) -> str:
    try:
        return str(session.handle.vfs_uuid(device))
    except RuntimeError as err:
        session.report.debug(f"{device} has no UUID: {brief(err)}")
        return ""


def _read(identity: str, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            data = file.read(_LONGEST)
        # Editors and echo put a newline at the end, which nobody means.
        return data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as err:
        raise ConversionError(
            f"the key for {identity} in {path} is no text: this is not supported",
            hint="add a passphrase to the device at its hypervisor, with cryptsetup luksAddKey",
        ) from err
    except OSError as err:
        raise ConversionError(f"the key for {identity} cannot be read from {path}: {err}") from err


def _checked(identity: str, secret: str) -> str:
    if not secret or "\0" in secret:
        raise ConversionError(f"the key for {identity} is empty or no text", hint=f"--key takes {_FORMS}")
    return secret
