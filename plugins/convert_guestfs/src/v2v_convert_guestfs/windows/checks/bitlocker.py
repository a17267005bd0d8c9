# SPDX-License-Identifier: GPL-2.0-or-later
"""BitLocker: which protectors a volume has, and what they mean for a guest whose TPM does not come along.

The layout is that of Windows 7 and later: the header of the volume has the places of three copies of the metadata, each
with a list of entries; those of the volume's master key say how the key is protected.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum

from v2v_convert_guestfs.appliance import Handle, brief
from v2v_convert_guestfs.filesystems.limits import Limit
from v2v_convert_guestfs.session import Session

KIND = "BitLocker"
_SIGNATURE = b"-FVE-FS-"
#: Where the header of a volume has its signature and the places of the metadata; BitLocker To Go has the latter later.
_SIGNATURE_AT, _PLACES_AT, _PLACES_TO_GO = 3, 176, 440
#: Bytes of a block of metadata: its own header, then the header of the list of entries.
_BLOCK_HEADER, _LIST_HEADER = 64, 48
#: Bytes: Windows reserves as much for each copy.
_METADATA_LIMIT = 65536
_MASTER_KEY, _KEY_VALUE = 2, 8
#: Offset of the protection's number in an entry for a master key: after its header, a GUID and a time.
_PROTECTION_AT = 8 + 16 + 8 + 2


class Protector(IntEnum):
    """How the master key of a volume is protected."""

    CLEAR_KEY = 0x0000
    TPM = 0x0100
    STARTUP_KEY = 0x0200
    TPM_AND_PIN = 0x0500
    RECOVERY_PASSWORD = 0x0800
    PASSWORD = 0x2000


@dataclass(frozen=True)
class BitLocker:
    """The protectors of a volume, by their numbers; empty if its metadata is not understood."""

    protectors: frozenset[int] = field(default_factory=frozenset)

    @property
    def suspended(self) -> bool:
        """Whether the key lies open on the disk: Windows starts without a TPM."""
        return Protector.CLEAR_KEY in self.protectors

    @property
    def with_tpm(self) -> bool:
        """Whether a TPM holds the key or a part of it, alone or with a PIN or a key on a USB drive."""
        return any(number & Protector.TPM for number in self.protectors)


def read_bitlocker(session: Session, device: str) -> BitLocker:
    """Read the metadata of a volume."""
    try:
        header = bytes(session.handle.pread_device(device, 512, 0))
        for place in metadata_places(header):
            found = parse_metadata(_read(session.handle, device, place))
            if found is not None:
                return found
    except RuntimeError as err:
        session.report.debug(f"{device}: {brief(err)}")
    return BitLocker()


def _read(handle: Handle, device: str, place: int) -> bytes:
    return bytes(handle.pread_device(device, _METADATA_LIMIT, place))


def metadata_places(header: bytes) -> tuple[int, ...]:
    """Return the offsets of the copies of the metadata that the header of a volume names."""
    if len(header) < 512:
        return ()
    at = _PLACES_AT if header[_SIGNATURE_AT : _SIGNATURE_AT + 8] == _SIGNATURE else _PLACES_TO_GO
    # Offsets are signed numbers for libguestfs.
    return tuple(place for place in struct.unpack_from("<3Q", header, at) if 0 < place < 1 << 62)


def parse_metadata(block: bytes) -> BitLocker | None:
    """Return what a copy of the metadata says; None if it is none."""
    if block[:8] != _SIGNATURE or len(block) < _BLOCK_HEADER + _LIST_HEADER:
        return None
    size, _, header_size = struct.unpack_from("<III", block, _BLOCK_HEADER)
    position = _BLOCK_HEADER + max(header_size, _LIST_HEADER)
    end = min(len(block), _BLOCK_HEADER + size)
    protectors = set()
    while position + 8 <= end:
        length, kind, value = struct.unpack_from("<HHH", block, position)
        if length < 8:
            break
        if kind == _MASTER_KEY and value == _KEY_VALUE and length >= _PROTECTION_AT + 2 and position + length <= end:
            protectors.add(int.from_bytes(block[position + _PROTECTION_AT : position + _PROTECTION_AT + 2], "little"))
        position += length
    return BitLocker(frozenset(protectors))


def why_locked(session: Session, device: str) -> Limit:
    """Return why a volume without a key cannot be read, and what to do."""
    decrypt = "decrypt it at the source (manage-bde -off C:) and wait until that is done"
    key = f"give its recovery password: --key {device}:file:FILE, with the 48 digits and their hyphens in FILE"
    if read_bitlocker(session, device).suspended:
        return Limit(
            f"{device} is encrypted with BitLocker, and suspended (its key lies open on the disk): the appliance opens "
            "no such volume, with or without a key",
            f"{decrypt}; or resume BitLocker there (manage-bde -protectors -enable C:) and {key}",
        )
    return Limit(f"{device} is encrypted with BitLocker", f"{key}; or {decrypt}")


def tell_of_opened(session: Session, device: str) -> None:
    """Tell what the loss of the source's TPM means for a volume of the system that was opened."""
    found = read_bitlocker(session, device)
    if found.suspended:
        session.report.info(
            f"BitLocker is suspended on {device}: Windows starts on KVM without a recovery password. Resume it there "
            "(manage-bde -protectors -enable C:), it then uses the new TPM"
        )
    elif not found.protectors or found.with_tpm:
        session.report.warning(
            f"{device} is encrypted with BitLocker, and its key is in the TPM of the source, which does not come "
            "along: Windows asks for the recovery password at its first start on KVM, and until then the first boot "
            "does nothing. Have the password ready, or decrypt the volume at the source before the conversion "
            "(manage-bde -off C:)"
        )
    else:
        session.report.info(f"{device} is encrypted with BitLocker without a TPM: Windows asks for its key as before")


def tell_of_locked(session: Session, device: str) -> None:
    """Warn of a volume without the system for which there is no key: it is copied as it is."""
    session.report.warning(
        f"{device} is encrypted with BitLocker and is copied as it is. If Windows unlocks it by itself (auto-unlock), "
        "it does so on KVM as well; otherwise have its recovery password ready"
    )
