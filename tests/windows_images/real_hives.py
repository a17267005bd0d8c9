# SPDX-License-Identifier: GPL-2.0-or-later
"""Real hives, which are no part of this project: where they lie, or from where they come."""

from __future__ import annotations

import gzip
import lzma
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve()

#: The sdist with the hive SYSTEM of a Windows 10. It is test data to download, not to copy (AGPL-3).
DISSECT = "dissect.regf==3.14"


class NoHives(Exception):
    """The real hives are not on this machine; the text says where they come from."""


def windows_7() -> dict[str, Path]:
    """Return the compressed hives of the Windows 7 guest by their names.

    :raises NoHives: they are not here.
    """
    chosen = os.environ.get("V2V_TEST_HIVES")
    places = [Path(chosen)] if chosen else [above / "shared" / "windows" for above in HERE.parents]
    for place in places:
        found = {name: place / f"w7x86_{name}.xz" for name in ("SYSTEM", "SOFTWARE")}
        if all(path.is_file() for path in found.values()):
            return found
    raise NoHives(
        "the hives of a real Windows 7 (w7x86_SYSTEM.xz and w7x86_SOFTWARE.xz, from test_data of Debian's source of "
        "plaso 20241006, compressed with xz) are not here; put them into a directory and name it in V2V_TEST_HIVES"
    )


def unpack(source: Path, target: Path) -> None:
    """Unpack a hive."""
    with lzma.open(source) as stream:
        target.write_bytes(stream.read())


def windows_10_system(cache: Path) -> Path:
    """Return the hive SYSTEM of a Windows 10, downloading the sdist first that has it.

    :raises NoHives: it cannot be downloaded.
    """
    target = cache / "windows-10-SYSTEM"
    if target.is_file():
        return target
    with tempfile.TemporaryDirectory(prefix="v2v-hives.") as name:
        command = [sys.executable, "-P", "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
        command += ["--no-binary", ":all:", "-d", name, DISSECT]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        found = [*Path(name).glob("*.tar.gz")]
        if not found:
            raise NoHives(f"the sdist of {DISSECT} cannot be downloaded: {done.stderr.strip()[-300:]}")
        with tarfile.open(found[0]) as archive:
            (member,) = [each for each in archive.getmembers() if each.name.endswith("tests/_data/SYSTEM.gz")]
            content = archive.extractfile(member)
            assert content is not None
            unfinished = target.with_suffix(".tmp")
            unfinished.write_bytes(gzip.decompress(content.read()))
    unfinished.rename(target)
    return target
