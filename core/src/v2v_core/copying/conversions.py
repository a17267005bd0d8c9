# SPDX-License-Identifier: GPL-2.0-or-later
"""The name of a conversion: what was copied of the result of one conversion does not count for another one."""

from __future__ import annotations

import secrets

from v2v_core.conversion_dir import ConversionDir

_FILE = "conversion.json"


def forget_conversion(directory: ConversionDir) -> None:
    """Forget the name of the last conversion: its result is about to change."""
    (directory.path / _FILE).unlink(missing_ok=True)


def name_conversion(directory: ConversionDir) -> None:
    """Name the conversion that has just ended as no other one is named."""
    directory.write_json(_FILE, {"token": secrets.token_hex(8)})


def name_of_conversion(directory: ConversionDir) -> str:
    """Return the name of the conversion whose result the disks hold.

    Another converter leaves no name: its result is taken for a new one each time.

    :raises V2VError: the file is damaged.
    """
    if not (directory.path / _FILE).exists():
        return secrets.token_hex(8)
    return str(directory.read_json(_FILE).get("token") or secrets.token_hex(8))
