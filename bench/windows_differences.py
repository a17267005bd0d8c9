#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a conversion changed in a Windows guest: its registry and its files, by a reader of its own; and its domain.

    .venv/bin/python bench/windows_differences.py GUEST DIRECTORY

GUEST is one of tests/windows_images, DIRECTORY what `bench/windows.py --keep` left of it (ours1, peer1).
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from windows_images.build import disks  # noqa: E402 - found on the path that was just set
from windows_images.look import Value, file_differences, opened, registry_differences  # noqa: E402
from windows_images.recipes import RECIPES  # noqa: E402


def shown(value: Value | None) -> str:
    """Return a value on one line."""
    if value is None:
        return "-"
    kind, data = value
    if kind in {1, 2, 7}:
        return repr(data.decode("utf-16-le", "replace").rstrip("\0").replace("\0", "|"))
    return str(int.from_bytes(data, "little")) if kind == 4 else data.hex()


def main() -> int:
    """Print."""
    guest, directory = sys.argv[1], Path(sys.argv[2])
    with opened(disks(RECIPES[guest])[0]) as before, opened(directory / "guest-sda") as after:
        for one in registry_differences(before.hives, after.hives):
            what = "gone" if one.gone else f"{shown(one.before)} -> {shown(one.after)}"
            print(f"{one.hive}\\{one.key} {one.name!r}: {what}")
        for path, word in file_differences(before.files, after.files).items():
            print(f"{word}: {path}")
    print((directory / "guest.xml").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
