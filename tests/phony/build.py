# SPDX-License-Identifier: GPL-2.0-or-later
"""Make the disk of a phony guest: seconds, no root, no appliance.

From the tests directory, ``python3 -m phony.build NAME FILE`` makes one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from guests.host import run
from phony.recipe import Phony
from phony.tree import plant

_MIB = 1024 * 1024
_SWAP = 8


def build(recipe: Phony, image: Path) -> Path:
    """Make the guest's disk as a raw image."""
    with tempfile.TemporaryDirectory(prefix="v2v-phony.", dir=image.parent) as name:
        root = Path(name, "root")
        root.mkdir()
        plant(recipe, root)
        fill(image, root, size=recipe.size, filesystem=recipe.filesystem)
    return image


def fill(image: Path, root: Path, *, size: int, filesystem: str = "ext4", inodes: int = 0) -> None:
    """Make a disk with a partition table, a root file system with the files of a directory, and a swap area."""
    with image.open("wb") as stream:
        stream.truncate(size * _MIB)
    room = size - 1 - _SWAP
    table = f"label: dos\nstart=2048, size={room * 2048}, type=83, bootable\nsize={_SWAP * 2048 - 2048}, type=82\n"
    run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", image], stdin=table)
    options = ["-N", str(inodes)] if inodes else []
    places = [f"offset={_MIB}", "root_owner=0:0", "lazy_itable_init=1"]
    make = ["mke2fs", "-q", "-F", "-t", filesystem, *options, "-L", "/", "-E", ",".join(places), "-d", root]
    run([*make, image, f"{room}M"])
    with tempfile.TemporaryDirectory(prefix="v2v-phony.", dir=image.parent) as name:
        swap = Path(name, "swap")
        with swap.open("wb") as stream:
            stream.truncate((_SWAP - 1) * _MIB)
        run(["mkswap", "--quiet", swap])
        run(["dd", "status=none", f"if={swap}", f"of={image}", "bs=1M", f"seek={room + 1}", "conv=notrunc,sparse"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the guest of the command line."""
    from phony.recipes import PHONIES

    parser = argparse.ArgumentParser(prog="phony.build", description="Make the disk of a phony guest.")
    parser.add_argument("name", choices=sorted(PHONIES))
    parser.add_argument("image", type=Path)
    chosen = parser.parse_args(arguments)
    build(PHONIES[chosen.name], chosen.image)
    return 0


if __name__ == "__main__":
    sys.exit(main())
