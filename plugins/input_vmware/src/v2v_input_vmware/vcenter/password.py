# SPDX-License-Identifier: GPL-2.0-or-later
"""Find the password: in the file of ``-ip``, in the keyring of the desktop, or by asking on the terminal."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

from v2v_core.api import SourceError, UsageError, read_password_file
from v2v_input_vmware.vcenter.address import Address


def find_password(address: Address, password_file: Path | None) -> str:
    """Return the password of the user.

    :raises UsageError: it is not stored, and there is no terminal to ask on.
    :raises SourceError: the file cannot be read.
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
    """Write a file that only this user may read, and return its path."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text)
    return path


def _from_keyring(address: Address) -> str | None:
    """Return the password that the keyring has for the host, if the package keyring is installed."""
    try:
        import keyring
    except ImportError:
        return None
    try:
        password = keyring.get_password(address.host, address.user)
    except Exception:
        # back ends raise exceptions of all kinds; a keyring that fails counts as no keyring
        return None
    return str(password) if password is not None else None
