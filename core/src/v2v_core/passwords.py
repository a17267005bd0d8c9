# SPDX-License-Identifier: GPL-2.0-or-later
"""The password file of ``-ip`` and ``-op``."""

from __future__ import annotations

from pathlib import Path

from v2v_core.errors import V2VError

#: Characters; keeps a wrong file, such as a disk image, from being read into memory.
_LONGEST = 4096


def read_password_file(path: Path, *, option: str, error: type[V2VError]) -> str:
    """Return the first line of a password file, without its newline; spaces belong to the password.

    :param option: the option that named the file, ``-ip`` or ``-op``, for the hint of the error.
    :param error: the class of the error: ``SourceError`` in an input, ``DestinationError`` in an output.
    :raises V2VError: of that class; the file cannot be read, or is not UTF-8.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            return stream.readline(_LONGEST).rstrip("\r\n")
    except UnicodeDecodeError:
        # the text of the original error quotes bytes of the password
        raise error(
            f"the password cannot be read from {path}: the file is not UTF-8",
            hint=f"check the file given with {option}",
        ) from None
    except OSError as err:
        raise error(
            f"the password cannot be read from {path}: {err.strerror}", hint=f"check the file given with {option}"
        ) from err
