#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The zoo against Debian's virt-v2v: how many guests boot after the conversion, and how long that takes.

    .venv/bin/python bench/zoo.py [--peer /usr/bin/virt-v2v] [NAME…]

Both convert each guest in turn, on the same machine, in the same run, and both results are booted on virtio with the
firmware that the guest has. Printed are the wall times, how many of each boot, and the median ratio of the wall times
of those guests that both convert. The peer is installed with: apt-get install virt-v2v
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from guests.boot import boot  # noqa: E402 - found on the path that was just set
from guests.build import disks  # noqa: E402
from guests.recipe import Recipe  # noqa: E402
from guests.recipes import ZOO  # noqa: E402
from guests.storage import LUKS_PASSPHRASE, Luks  # noqa: E402

OURS = Path(sys.executable).parent / "virt-v2v"

TIMEOUT = 3600.0


@dataclass(frozen=True)
class Outcome:
    """The result of one conversion; without seconds it failed."""

    seconds: float | None
    boots: bool
    words: str


def domain(images: Sequence[Path]) -> str:
    """Describe a machine with the disks: of several disks the peer takes no other source."""
    described = "".join(
        f"<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file={quoteattr(str(image))}/>"
        f"<target dev='sd{chr(ord('a') + index)}' bus='scsi'/></disk>"
        for index, image in enumerate(images)
    )
    return (
        "<domain type='kvm'><name>guest</name><memory unit='MiB'>1024</memory><vcpu>1</vcpu>"
        f"<os><type arch='x86_64'>hvm</type></os><devices>{described}</devices></domain>\n"
    )


def convert(command: Path, recipe: Recipe, work: Path) -> Outcome:
    """Convert with one of the two, boot the result, and delete it."""
    images = disks(recipe)
    out = work / "out"
    out.mkdir()
    (work / "key").write_text(LUKS_PASSPHRASE + "\n")
    (work / "domain.xml").write_text(domain(images))
    source = (
        ["-i", "disk", *images] if len(images) == 1 or command == OURS else ["-i", "libvirtxml", work / "domain.xml"]
    )
    # the peer knows no key for all devices
    encrypted = [layer.on for layer in recipe.layers if isinstance(layer, Luks)]
    keys = [word for device in encrypted for word in ("--key", f"/dev/{device}:file:{work / 'key'}")]
    argv = [command, *source, "-o", "local", "-os", out, "-on", "guest", *keys]
    # the peer does not find out by itself that KVM does not work
    environment = {**os.environ, "LIBGUESTFS_BACKEND": "direct", "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"}
    log = work / "log"
    started = time.monotonic()
    with log.open("w") as stream:
        try:
            done = subprocess.run(
                argv,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                check=False,
                timeout=TIMEOUT,
            )
        except subprocess.TimeoutExpired:
            return Outcome(None, False, f"not converted in {TIMEOUT:.0f} s")
    seconds = time.monotonic() - started
    if done.returncode != 0:
        said = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
        # after the error itself come several lines on how to report one
        told = next((line for line in said if "error:" in line), said[-1])
        return Outcome(None, False, f"not converted, exit {done.returncode}: {told}")
    converted = [out / f"guest-sd{chr(ord('a') + index)}" for index in range(len(images))]
    result = boot(converted, firmware="bios" if recipe.boot == "bios" else "uefi", timeout=600)
    for disk in converted:
        disk.unlink()
    return Outcome(seconds, result.reached, "boots" if result.reached else f"DOES NOT BOOT: {result.reason}")


def main() -> int:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, default=Path("/usr/bin/virt-v2v"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(ZOO)} (default: all)")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(ZOO):
        parser.error(f"no such guest: {', '.join(sorted(unknown))}")
    # SIGTERM ends it as Ctrl-C does: the results, which are large, are deleted
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    peer_version = subprocess.check_output([chosen.peer, "--version"], text=True).strip()
    print(f"ours: {OURS}; peer: {peer_version} ({chosen.peer})")
    outcomes: dict[str, list[Outcome]] = {"ours": [], "peer": []}
    try:
        for name in chosen.names or ZOO:
            for who, command in (("ours", OURS), ("peer", chosen.peer)):
                with tempfile.TemporaryDirectory(prefix="v2v-bench.", dir="/var/tmp") as work:
                    outcome = convert(command, ZOO[name], Path(work))
                outcomes[who].append(outcome)
                took = f"{outcome.seconds:.1f} s, " if outcome.seconds is not None else ""
                print(f"{name}: {who}: {took}{outcome.words}", flush=True)
    except KeyboardInterrupt:
        print("told to end")
    for who, all_of_it in outcomes.items():
        print(f"{who}: {sum(outcome.boots for outcome in all_of_it)} of {len(all_of_it)} boot")
    ratios = [
        ours.seconds / peer.seconds
        for ours, peer in zip(outcomes["ours"], outcomes["peer"], strict=False)
        if ours.seconds is not None and peer.seconds is not None
    ]
    if ratios:
        print(f"median ratio of wall time, ours to the peer's, over {len(ratios)}: {statistics.median(ratios):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
