#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Conversion time of Windows guests against Debian's virt-v2v: the same guests, the same drivers, in turn.

    .venv/bin/python bench/windows.py [--runs N] [--peer /usr/bin/virt-v2v] [--keep DIR] [GUEST...]

The guests are those of tests/windows_images: the real Windows 7 and the phony Server 2022. Both sides get the same ISO
with the layout of virtio-win. The peer wants a service wrapper as well: it gets a small program in its place. Who is
first takes turns. Printed are the medians of the wall times and their ratio. --keep leaves the results and the
peer's logs in a directory, for docs/compatibility.md (bench/windows_differences.py). The peer is installed with:
apt-get install virt-v2v
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "plugins/convert_guestfs/tests")]

from virtio_win_tree import make_iso, make_tree  # noqa: E402 - found on the path that was just set
from windows_images.build import disks  # noqa: E402
from windows_images.programs import programs  # noqa: E402
from windows_images.recipes import DAILY, RECIPES  # noqa: E402

OURS = Path(sys.executable).parent / "virt-v2v"


def convert(command: Path, image: Path, out: Path, place: Path) -> float:
    """Convert the first disk of a guest with one of the two and return the wall time in seconds."""
    environment = {
        **os.environ,
        "LIBGUESTFS_BACKEND": "direct",
        # the peer does not find out by itself that KVM does not work
        "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg",
        "VIRTIO_WIN": str(place / "virtio-win.iso"),
        "VIRT_TOOLS_DATA_DIR": str(place / "virt-tools"),
    }
    out.mkdir(parents=True)
    argv = [command, "-i", "disk", image, "-o", "local", "-os", out, "-on", "guest"]
    with out.with_suffix(".log").open("w") as stream:
        started = time.monotonic()
        subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, check=True)
        return time.monotonic() - started


def prepare(place: Path) -> None:
    """Make the drivers and what the peer wants beside them."""
    make_iso(make_tree(place / "virtio-win"), place / "virtio-win.iso")
    tools = place / "virt-tools"
    tools.mkdir()
    for name in ("rhsrvany.exe", "pnp_wait.exe"):
        (tools / name).write_bytes(programs("i386").program)


def compare(name: str, place: Path, peer: Path, runs: int) -> float:
    """Convert a guest with both, print the times and return the ratio of their medians."""
    image = disks(RECIPES[name])[0]
    seconds: dict[str, list[float]] = {"ours": [], "peer": []}
    for number in range(1, runs + 1):
        pairs = [("ours", OURS), ("peer", peer)]
        for who, command in pairs if number % 2 else reversed(pairs):
            seconds[who].append(convert(command, image, place / name / f"{who}{number}", place))
    medians = {who: statistics.median(times) for who, times in seconds.items()}
    ratio = medians["ours"] / medians["peer"]
    print(f"{name}: ours {medians['ours']:.1f} s, peer {medians['peer']:.1f} s, ratio {ratio:.2f}", flush=True)
    return ratio


def main() -> int:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("guests", nargs="*", metavar="GUEST", help=f"default: {' '.join(DAILY)}")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peer", type=Path, default=Path("/usr/bin/virt-v2v"))
    parser.add_argument("--keep", type=Path)
    chosen = parser.parse_args()
    if unknown := set(chosen.guests) - set(RECIPES):
        parser.error(f"no such guest: {', '.join(sorted(unknown))}")
    peer_version = subprocess.check_output([chosen.peer, "--version"], text=True).strip()
    print(f"ours: {OURS}; peer: {peer_version} ({chosen.peer})")
    with tempfile.TemporaryDirectory(prefix="v2v-bench.", dir="/var/tmp") as name:
        place = chosen.keep or Path(name)
        place.mkdir(exist_ok=True)
        prepare(place)
        ratios = [compare(guest, place, chosen.peer, chosen.runs) for guest in chosen.guests or DAILY]
    print(f"median ratio of wall time, ours to the peer's: {statistics.median(ratios):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
