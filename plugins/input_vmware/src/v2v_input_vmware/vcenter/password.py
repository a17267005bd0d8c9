# SPDX-License-Identifier: GPL-2.0-or-later
"""The password: from the file of ``-ip``, from the keyring of the environment, or asked for on the terminal."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

from v2v_core.api import SourceError, UsageError, read_password_file
from v2v_input_vmware.vcenter.address import Address


def find_password(address: Address, password_file: Path | None) -> str:
    """Find the password of the user.

    :raises UsageError: there is none, and nobody to ask. :raises SourceError: the file cannot be read.
    """
    if password_file is not None:
        return read_password_file(password_file, option="-ip", error=SourceError)
    stored = _from_keyring(address)
    if stored is not None:
        return stored
    if sys.stdin is not None and sys.stdin.isatty():
        return getpass.getpass(f"Password of {address.user} on {address.host}: ")
    raise UsageError(
        f"the password of {address.user} on {address.host} is not known", hint="write it into a file and add: -ip FILE"
    )


def write_secret(path: Path, text: str) -> Path:
    """Write a file that only this user reads."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text)
    return path


def _from_keyring(address: Address) -> str | None:
    """Ask the keyring, if the package is installed; its service is the host."""
    try:
        import keyring
    except ImportError:
        return None
    try:
        found = keyring.get_password(address.host, address.user)
    except Exception:
        # its back ends raise what they like; a keyring that does not answer is none
        return None
    return str(found) if found is not None else None
