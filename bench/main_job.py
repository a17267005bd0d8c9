#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The main job against Debian's virt-v2v, on the same guest, on the same machine, in the same run.

    .venv/bin/python bench/main_job.py [--runs N] [--peer /usr/bin/virt-v2v] [--no-boot]

Both convert the guest ``debian12-vmware``, in turn; each result is booted on virtio. Printed are the wall times, their
ratio pair by pair, and what booted. The peer is installed with: apt-get install virt-v2v
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
sys.path.insert(0, str(ROOT / "tests"))

from guests.boot import boot  # noqa: E402 - found on the path that was just set
from guests.build import disks  # noqa: E402
from guests.recipes import RECIPES  # noqa: E402

OURS = Path(sys.executable).parent / "virt-v2v"


def convert(command: Path, image: Path, out: Path, log: Path) -> float:
    """Convert with one of the two and return the wall time in seconds."""
    environment = {
        **os.environ,
        "LIBGUESTFS_BACKEND": "direct",
        # the peer does not find out by itself that KVM does not work
        "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg",
    }
    argv = [command, "-i", "disk", image, "-o", "local", "-os", out, "-on", "guest"]
    with log.open("w") as stream:
        started = time.monotonic()
        subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, check=True)
        return time.monotonic() - started


def verdict(out: Path) -> str:
    """Boot a result on virtio, and return how that ended."""
    result = boot([out / "guest-sda"])
    return f"boots in {result.seconds:.0f} s" if result.reached else f"DOES NOT BOOT: {result.reason}"


def main() -> int:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--peer", type=Path, default=Path("/usr/bin/virt-v2v"))
    parser.add_argument("--no-boot", action="store_true")
    chosen = parser.parse_args()
    (image,) = disks(RECIPES["debian12-vmware"])
    peer_version = subprocess.check_output([chosen.peer, "--version"], text=True).strip()
    print(f"ours: {OURS}; peer: {peer_version} ({chosen.peer}); guest: {image.parent.name}")
    ratios = []
    with tempfile.TemporaryDirectory(prefix="v2v-bench.", dir="/var/tmp") as name:
        for number in range(1, chosen.runs + 1):
            seconds = {}
            for who, command in (("ours", OURS), ("peer", chosen.peer)):
                out = Path(name, f"{who}{number}")
                out.mkdir()
                seconds[who] = convert(command, image, out, Path(name, f"{who}{number}.log"))
            ratios.append(seconds["ours"] / seconds["peer"])
            print(
                f"run {number}: ours {seconds['ours']:.1f} s, peer {seconds['peer']:.1f} s, ratio {ratios[-1]:.2f}",
                flush=True,
            )
        print(f"median ratio of wall time, ours to the peer's: {statistics.median(ratios):.2f}")
        if not chosen.no_boot:
            for who in ("ours", "peer"):
                print(f"{who}: {verdict(Path(name, f'{who}1'))}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
