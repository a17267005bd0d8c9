# SPDX-License-Identifier: GPL-2.0-or-later
"""Run the host's programs for the test guests: argument lists only, nothing outlives the test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class HostError(RuntimeError):
    """A program of the host failed; the text has its exit code and the end of its output."""


def tethered(arguments: Sequence[str | Path]) -> list[str]:
    """Return the command line of a program that is killed as soon as its parent dies, however that dies.

    The kernel watches the thread which starts the program, not the process: start it from a thread that lives on.
    """
    return ["setpriv", "--pdeathsig", "KILL", "--", *map(str, arguments)]


def run(
    arguments: Sequence[str | Path], *, stdin: str | None = None, environment: Mapping[str, str] | None = None
) -> str:
    """Run one program to its end and return its standard output."""
    done = subprocess.run(
        tethered(arguments),
        input=stdin if stdin is not None else "",
        env=dict(environment) if environment is not None else None,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join((done.stdout[-2000:] + done.stderr[-4000:]).splitlines()[-40:])
        raise HostError(f"{arguments[0]} failed with exit code {done.returncode}:\n{tail}")
    return done.stdout


def appliance_environment() -> dict[str, str]:
    """Return the environment in which libguestfs works without hardware virtualization.

    The reference machine's /dev/kvm exists and cannot run a kernel; libguestfs's own choice hangs there.
    """
    environment = dict(os.environ)
    environment.setdefault("LIBGUESTFS_BACKEND", "direct")
    environment.setdefault("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg")
    return environment


def image_format(image: Path) -> str:
    """Return the image's format by its name; guessing it from the content would trust the guest."""
    return "qcow2" if image.suffix == ".qcow2" else "raw"
