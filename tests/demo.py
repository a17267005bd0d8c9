# SPDX-License-Identifier: GPL-2.0-or-later
"""``make demo``: build a small real guest, convert it, boot the result, and show where it is."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from guests.boot import boot
from guests.build import disks
from guests.recipes import RECIPES

OUT = Path("demo-out").absolute()


def main() -> int:
    """Run the demonstration."""
    print("==> building a Debian 12 guest as it would be left on VMware (once, it is kept)", flush=True)
    (image,) = disks(RECIPES["debian12-vmware"])
    print(f"    {image}\n==> converting it", flush=True)
    OUT.mkdir(exist_ok=True)
    command = Path(sys.executable).parent / "virt-v2v"
    # the result of an earlier demonstration is replaced
    argv = [command, "-i", "disk", image, "-o", "local", "-os", OUT, "-on", "demo", "--overwrite"]
    print("    " + " ".join(str(word) for word in argv), flush=True)
    started = time.monotonic()
    done = subprocess.run(argv, env=os.environ, check=False)
    if done.returncode != 0:
        return done.returncode
    print(
        f"    {time.monotonic() - started:.0f} s\n==> booting the result on virtio hardware, emulated if need be",
        flush=True,
    )
    result = boot([OUT / "demo-sda"])
    print("\n".join(f"    | {line}" for line in result.tail(12).splitlines()))
    if not result.reached:
        print(f"it did not boot: {result.reason}", file=sys.stderr)
        return 1
    print(f"==> it booted in {result.seconds:.0f} s. The guest is in {OUT}:")
    for path in sorted(OUT.iterdir()):
        print(f"    {path}")
    print(f"    run it with libvirt: virsh define {OUT}/demo.xml && virsh start demo --console")
    return 0


if __name__ == "__main__":
    sys.exit(main())
