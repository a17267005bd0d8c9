# SPDX-License-Identifier: GPL-2.0-or-later
"""Build real, bootable guests once and keep them in a cache; make tiny images in passing.

From the tests directory, ``python3 -m guests.build [NAME…]`` builds the named guests (without a name those of
``make test``) and prints the paths of their disks. The work needs root: it makes the guest's files with their owners,
and mounts filesystems.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fcntl
import hashlib
import inspect
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import guests.bootstrap
from guests.assembly import assemble, finish
from guests.bootstrap import (
    bootstrap,
    check_initramfs,
    configure,
    kernel_versions,
    make_initramfs,
    own_kernel,
    take_virtio_away,
    unpack,
)
from guests.disk_images import make_disks, unmount_below
from guests.grub_with_bls import fetch_grub
from guests.host import HostError
from guests.recipe import Recipe, disk_names
from guests.recipes import DAILY, RECIPES
from guests.rpm_guest import make_rpm_guest

# Raise it whenever the same recipe gives another guest than before: it is part of the cache's key.
BUILDER_VERSION = 2

# The same for guests of the Red Hat family alone.
RPM_FAMILY_VERSION = 2

# The same for what was bootstrapped, which takes longest and changes least.
TREE_VERSION = 1


def cache_directory() -> Path:
    """Return the directory that holds the finished guests."""
    chosen = os.environ.get("V2V_TEST_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "v2v-test-guests"


def key(recipe: Recipe) -> str:
    """Return what changes whenever the recipe or the builder does."""
    return _hash([BUILDER_VERSION, _stated(recipe), *([RPM_FAMILY_VERSION] if recipe.brand else [])])


def _stated(value: object) -> object:
    """Return a value with the fields of records that are not at their default: a new field makes no old guest anew."""
    if dataclasses.is_dataclass(value):
        fields = [field for field in dataclasses.fields(value) if getattr(value, field.name) != field.default]
        return [type(value).__name__, {field.name: _stated(getattr(value, field.name)) for field in fields}]
    return [_stated(entry) for entry in value] if isinstance(value, tuple) else value


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


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


def cached(name: str, module: ModuleType, make: Callable[[Path], None]) -> Path:
    """Return the directory of a guest that has no recipe, making it first where the cache lacks it.

    :param module: makes the guest; when it changes, or the bootstrapping, the guest is made anew.
    :param make: fills the directory.
    """
    return kept(name, digest(inspect.getsource(module), inspect.getsource(guests.bootstrap)), make)


def digest(*sources: str | bytes) -> str:
    """Return what changes whenever one of the sources of a guest does."""
    joined = b"".join(source.encode() if isinstance(source, str) else source for source in sources)
    return hashlib.sha256(joined).hexdigest()[:12]


def kept(name: str, identity: str, make: Callable[[Path], None]) -> Path:
    """Return the directory of what has this name and this identity, making it first where the cache lacks it.

    :param make: fills the directory.
    """
    cache = cache_directory()
    finished = cache / f"{name}-{identity}"
    if finished.is_dir():
        return finished
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / f".{finished.name}.lock"):
        if not finished.is_dir():
            work = Path(tempfile.mkdtemp(prefix=f".{finished.name}.tmp", dir=cache))
            try:
                make(work)
                work.chmod(0o755)
                work.rename(finished)
            except BaseException:
                _discard(work)
                raise
    return finished


def _bootstrapped(recipe: Recipe) -> Path:
    """Return the tar file of the guest's packages, which others of its suite may have brought already."""
    cache = cache_directory() / "trees"
    cache.mkdir(exist_ok=True)
    tree = cache / f"{recipe.suite}-{_hash([TREE_VERSION, sorted(recipe.all_packages)])}.tar"
    with locked(cache / f".{tree.name}.lock"):
        if not tree.exists():
            unfinished = cache / f".{tree.name}.tmp"
            unfinished.unlink(missing_ok=True)
            bootstrap(recipe, unfinished)
            unfinished.rename(tree)
    return tree


def _grub_with_bls() -> Path:
    """Return the directory of a GRUB that knows the Boot Loader Specification, bringing it first if it is not there."""
    target = cache_directory() / "trees" / "grub-with-bls"
    with locked(target.parent / f".{target.name}.lock"):
        if not target.is_dir():
            fetch_grub(target)
    return target


def _build_in(recipe: Recipe, work: Path) -> None:
    """Build the guest's disks in the work directory and leave nothing else there."""
    if os.geteuid() != 0:
        raise HostError(f"building the guest {recipe.name} needs root; set V2V_TEST_CACHE to where it is built already")
    seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def timed(what: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        seconds[what] = round(time.monotonic() - started, 1)

    root = work / "root"
    with timed("bootstrap"):
        unpack(_bootstrapped(recipe), root)
    if recipe.brand:
        with timed("all else"):
            facts = make_rpm_guest(recipe, root, work, _grub_with_bls())
        _leave_disks(recipe, work, {**facts, "seconds": seconds})
        return
    with timed("initramfs"):
        take_virtio_away(recipe, root)
        configure(recipe, root)
        afterwards = make_initramfs(recipe, root)
    kernels = kernel_versions(root)
    if len(kernels) != len(recipe.kernels):
        raise HostError(f"the guest {recipe.name} has the kernels {kernels}, not one of {recipe.kernels} each")
    own = own_kernel(recipe, root) if recipe.own_kernel else ""
    with timed("fill"):
        layered = make_disks(recipe, root, work)
    with timed("assemble"):
        assemble(recipe, work, layered)
    with timed("finish"):
        finished = finish(recipe, work, kernels, afterwards)
    facts = {
        "kernels": kernels,
        "initramfs_modules": {
            version: check_initramfs(recipe, version, listing, own=version == own)
            for version, listing in finished.initramfs.items()
        },
        "grub_linux_lines": finished.menu,
        "seconds": seconds,
    }
    _leave_disks(recipe, work, facts)


def _leave_disks(recipe: Recipe, work: Path, facts: dict[str, Any]) -> None:
    """Leave nothing in the work directory but the disks and what is to be known about them."""
    _discard(work / "root")
    (work / "facts.json").write_text(json.dumps({"recipe": dataclasses.asdict(recipe), **facts}, indent=2) + "\n")
    for path in work.iterdir():
        path.chmod(0o444)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file; wait while another process holds it."""
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
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one of {', '.join(RECIPES)} (default: those of 'make test')"
    )
    parser.add_argument("--zoo", action="store_true", help="all guests of the zoo")
    chosen = parser.parse_args(arguments)
    names: list[str] = [*chosen.names, *(RECIPES if chosen.zoo else ())]
    if unknown := set(names) - set(RECIPES):
        parser.error(f"no such guest: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, _terminate)
    for name in dict.fromkeys(names or DAILY):
        for path in disks(RECIPES[name]):
            print(path, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
