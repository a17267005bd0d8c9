# SPDX-License-Identifier: GPL-2.0-or-later
"""Build real, bootable guests once and keep them in a cache; make tiny images in passing.

From the tests directory, ``python3 -m guests.build [NAME…]`` builds the named guests (all, without a name) and prints
the paths of their disks. The work needs root: it makes the guest's files with their owners, and mounts one of them.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from guests.bootstrap import bootstrap, configure, make_initramfs
from guests.disk_images import make_disks, unmount_below
from guests.host import HostError, appliance_environment, run
from guests.recipes import RECIPES, Recipe, disk_names, identity_of

# Raise it whenever the same recipe gives another guest than before: it is part of the cache's key.
BUILDER_VERSION = 1

_NAMES_DIFFER = "v2v-checking-device-names"

_NAMES_AGREE = "v2v-device-names-agree"

_APPLIANCE_ATTEMPTS = 6


def cache_directory() -> Path:
    """Return the directory that holds the finished guests."""
    chosen = os.environ.get("V2V_TEST_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "v2v-test-guests"


def key(recipe: Recipe) -> str:
    """Return what changes whenever the recipe or the builder does."""
    text = json.dumps([BUILDER_VERSION, dataclasses.asdict(recipe)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def build(recipe: Recipe) -> Path:
    """Return the directory of the finished guest, building the guest first where the cache lacks it.

    The images in it are shared by all tests: read-only, raw, to be used behind an overlay only.
    """
    cache = cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    finished = cache / f"{recipe.name}-{key(recipe)}"
    if finished.is_dir():
        return finished
    with locked(cache / f".{finished.name}.lock"):
        if finished.is_dir():
            return finished
        # Only the holder of the lock uses these names: what lies there was left by a build that was killed.
        for leftover in cache.glob(f".{finished.name}.tmp*"):
            _discard(leftover)
        work = Path(tempfile.mkdtemp(prefix=f".{finished.name}.tmp", dir=cache))
        try:
            _build_in(recipe, work)
            work.chmod(0o755)
            work.rename(finished)
        except BaseException:
            _discard(work)
            raise
    return finished


def disks(recipe: Recipe) -> tuple[Path, ...]:
    """Return the guest's disk images in their order, building the guest first where the cache lacks it."""
    directory = build(recipe)
    return tuple(directory / name for name in disk_names(recipe))


def _build_in(recipe: Recipe, work: Path) -> None:
    """Build the guest's disks in the work directory and leave nothing else there."""
    if os.geteuid() != 0:
        raise HostError(f"building the guest {recipe.name} needs root; set V2V_TEST_CACHE to where it is built already")
    started = time.monotonic()
    root = work / "root"
    bootstrap(recipe, root)
    bootstrapped = time.monotonic()
    configure(recipe, root)
    modules = make_initramfs(recipe, root)
    kernels = sorted(path.name.removeprefix("vmlinuz-") for path in (root / "boot").glob("vmlinuz-*"))
    make_disks(recipe, root, work)
    filled = time.monotonic()
    menu = _install_grub(recipe, work)
    facts = {
        "recipe": dataclasses.asdict(recipe),
        "kernels": kernels,
        "initramfs_modules": modules,
        "grub_linux_lines": menu,
        "seconds": {
            "bootstrap": round(bootstrapped - started, 1),
            "fill": round(filled - bootstrapped, 1),
            "grub": round(time.monotonic() - filled, 1),
        },
    }
    _discard(root)
    (work / "facts.json").write_text(json.dumps(facts, indent=2) + "\n")
    for path in work.iterdir():
        path.chmod(0o444)


def _install_grub(recipe: Recipe, work: Path) -> list[str]:
    """Install GRUB inside the libguestfs appliance and return the kernel lines of the menu that it wrote.

    There the disks are called sda and sdb as in the guest itself, mostly: the appliance's kernel names them in the
    order in which they answer, and libguestfs translates names for its own calls only, not for the guest's programs.
    So the names are checked before anything is written, and another appliance is started if they are not the guest's.
    On a loop device of the host, grub-mkconfig writes a menu without entries and says nothing.
    """
    mounts = sorted(
        (partition.mountpoint, f"/dev/sd{chr(ord('a') + index)}{number}")
        for index, disk in enumerate(recipe.disks)
        for number, partition in enumerate(disk.partitions, start=1)
        if partition.mountpoint
    )
    script = [
        "run",
        *(f"mount {device} {mountpoint}" for mountpoint, device in mounts),
        f"echo {_NAMES_DIFFER}",
        *(f'command "findmnt --source {device} --mountpoint {mountpoint}"' for mountpoint, device in mounts),
        f"echo {_NAMES_AGREE}",
        'command "grub-install --target=i386-pc /dev/sda"',
        'command "update-grub"',
        "cat /boot/grub/grub.cfg",
        "umount-all",
        "shutdown",
    ]
    adds = [argument for name in disk_names(recipe) for argument in ("--format=raw", "--add", str(work / name))]
    output = ""
    for attempt in range(1, _APPLIANCE_ATTEMPTS + 1):
        try:
            output = run(["guestfish", *adds], stdin="\n".join(script) + "\n", environment=appliance_environment())
            break
        except HostError as error:
            names_differ = _NAMES_DIFFER in str(error) and _NAMES_AGREE not in str(error)
            if not names_differ or attempt == _APPLIANCE_ATTEMPTS:
                raise
    menu = [line.strip() for line in output.splitlines() if re.match(r"\s*linux\s", line)]
    root = next(device for mountpoint, device in mounts if mountpoint == "/")
    identity = identity_of(recipe, root.removeprefix("/dev/"))
    wanted = f"root=UUID={identity}" if recipe.linux_uuid else f"root={root}"
    if not menu or not all(wanted in line.split() for line in menu):
        raise HostError(f"grub-mkconfig wrote these kernel lines for {recipe.name}, without {wanted}: {menu}")
    return menu


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file, waiting for whoever else holds it."""
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _discard(directory: Path) -> None:
    """Delete the directory, unmounting first what a killed build left mounted in it."""
    unmount_below(directory)
    shutil.rmtree(directory)


def _terminate(number: int, frame: object) -> NoReturn:
    """Turn SIGTERM into an exception, so that what is mounted gets unmounted."""
    raise SystemExit(128 + number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the guests that are named on the command line and print their disks."""
    parser = argparse.ArgumentParser(prog="guests.build", description="Build the test guests and print their disks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(RECIPES)} (default: all)")
    names: list[str] = parser.parse_args(arguments).names
    if unknown := set(names) - set(RECIPES):
        parser.error(f"no such guest: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, _terminate)
    for name in names or RECIPES:
        for path in disks(RECIPES[name]):
            print(path, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
