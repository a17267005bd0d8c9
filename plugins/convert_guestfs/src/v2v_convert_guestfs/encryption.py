# SPDX-License-Identifier: GPL-2.0-or-later
"""Open the encrypted devices for which the user gave keys (``--key``), and the encrypted devices inside them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from v2v_convert_guestfs.appliance import brief, libguestfs_errors_as
from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.disks import ENCRYPTED, list_filesystems
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import ConversionError

_FORMS = "ID:file:FILE or ID:key:KEY, where ID is a device, UUID=…, or all"
#: What cryptsetup says if a key of LUKS2 needs more memory than there is, or if the kernel has killed it for that.
_OUT_OF_MEMORY = re.compile(r"\bmemory\b|\bkilled\b|signal 9\b", re.IGNORECASE)
#: What it says of headers that need what it has not: options of a later version, ciphers, hash functions.
_NOT_KNOWN = re.compile(
    r"requirements? detected|unsupported|not supported|kernel supports|unknown (?:cipher|token|segment)|reencryption",
    re.IGNORECASE,
)
#: What it says of a BitLocker volume whose key lies open on the disk. It opens none, and no key helps.
_SUSPENDED = "partially decrypted BITLK"
#: Bytes: cryptsetup's own limit for key files.
_LONGEST = 8 * 1024 * 1024


@dataclass(frozen=True)
class Key:
    """A key and what it opens: a device, a UUID, or ``all``."""

    identity: str
    secret: str = field(repr=False)

    def fits(self, device: str, uuid: str, names: DeviceNames) -> bool:
        """Return whether the key is meant for a device: by libguestfs's name, by its UUID, or by the guest's name.

        :param names: libguestfs's names by the guest's. They differ unless the guest calls its disks sda, sdb …
        """
        if self.identity in {"all", device, mapper_name(device)}:
            return True
        if not self.identity.startswith("/dev/sd") and names.rename(self.identity) == device:
            return True
        wanted = re.sub(r"^UUID=", "", self.identity, flags=re.IGNORECASE).strip("\"'")
        return bool(uuid) and wanted.lower() == uuid.lower()


def parse_key(selector: str) -> Key:
    """Parse a selector: ``ID:key:TEXT`` or ``ID:file:PATH``; the name of a device may have colons.

    :raises ConversionError: it is malformed, or the file cannot be read. The key itself is never part of the message.
    """
    for kind in ("key", "file"):
        identity, found, rest = selector.partition(f":{kind}:")
        if found and identity and rest:
            return Key(identity, _checked(identity, rest if kind == "key" else _read(identity, rest)))
    identity, found, rest = selector.rpartition(":clevis")
    if found and identity and not rest:
        raise ConversionError(
            f"the key for {identity} cannot be obtained from Clevis: this is not supported",
            hint=f"give a passphrase for that device: {_FORMS}",
        )
    raise ConversionError("a --key is not understood", hint=f"write it as {_FORMS}")


def open_encrypted(session: Session, blockers: Blockers) -> None:
    """Open every encrypted device for which there is a key, then look for more inside.

    A device that its keys do not open is a blocker. ``encrypted`` lists those without a key afterwards.

    :raises ConversionError: a key is malformed, or the content of a device cannot be listed.
    """
    keys = [parse_key(selector) for selector in session.request.settings.keys]
    names = DeviceNames.of(session.request.guest.disks, "sd")
    used: set[str] = set()
    tried: set[str] = set()
    # LUKS in a logical volume whose group is in LUKS is found in the second round.
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
            with libguestfs_errors_as("the volume groups inside the encrypted devices cannot be activated"):
                session.handle.lvm_scan(True)
            with libguestfs_errors_as("the file systems inside the encrypted devices cannot be listed"):
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
    """Return the other name of a logical volume: ``/dev/my-vg/root`` is ``/dev/mapper/my--vg-root`` as well."""
    parts = device.split("/")
    if len(parts) != 4 or parts[2] == "mapper":
        return device
    return "/dev/mapper/" + "-".join(part.replace("-", "--") for part in parts[2:])


def _open(session: Session, device: str, uuid: str, keys: Sequence[Key], blockers: Blockers) -> str | None:
    """Try the keys; return the device inside, or None after adding a blocker.

    It is named as Fedora and Red Hat name it, so that their fstab finds it.
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
    blockers.add(*why_locked(device, failure))
    return None


def why_locked(device: str, failure: str) -> tuple[str, str]:
    """Return why a device is still locked, and what helps.

    :param failure: what cryptsetup said.
    """
    if _OUT_OF_MEMORY.search(failure):
        return (
            f"the encrypted device {device} cannot be opened: a key needs more memory than there is: {failure}",
            "give the appliance more memory, for example with --memsize 4096: LUKS2 uses up to 1 GB for a key (Argon2)",
        )
    if _SUSPENDED in failure:
        return (
            f"the encrypted device {device} cannot be opened, because BitLocker is suspended on it: {failure}",
            "resume BitLocker at the source (manage-bde -protectors -enable C:), or decrypt the volume there",
        )
    if _NOT_KNOWN.search(failure):
        return (
            f"the encrypted device {device} cannot be opened: cryptsetup or the kernel of the appliance does not know "
            f"how it is encrypted: {failure}",
            "run the conversion on a host with a newer cryptsetup and kernel; the key may be right",
        )
    return (
        f"the encrypted device {device} cannot be opened with the keys given: {failure}",
        f"check the key: --key takes {_FORMS}",
    )


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
        # Editors and echo add a newline that is not part of the passphrase.
        return data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as err:
        raise ConversionError(
            f"the key for {identity} in {path} is not text: this is not supported",
            hint="add a passphrase to the device at its hypervisor, with cryptsetup luksAddKey",
        ) from err
    except OSError as err:
        raise ConversionError(f"the key for {identity} cannot be read from {path}: {err}") from err


def _checked(identity: str, secret: str) -> str:
    if not secret or "\0" in secret:
        raise ConversionError(f"the key for {identity} is empty or not text", hint=f"--key takes {_FORMS}")
    return secret
