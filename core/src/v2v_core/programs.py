# SPDX-License-Identifier: GPL-2.0-or-later
"""Running external programs: by argument list, in the C locale, with their stderr kept for the log and the error."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence

from v2v_core.environment import child_environment
from v2v_core.errors import CommandError, V2VError
from v2v_core.packages import Package, install

_LIBNBD = Package("libnbd-bin", "libnbd")
_QEMU_TOOLS = Package("qemu-utils", "qemu-img")
#: The package of every program that this project starts by name, for the error about a missing one.
PACKAGES = {
    "mount": Package("mount", "util-linux"),
    "nbdcopy": _LIBNBD,
    "nbdinfo": _LIBNBD,
    "nbdkit": Package("nbdkit", "nbdkit"),
    "qemu-img": _QEMU_TOOLS,
    "qemu-nbd": _QEMU_TOOLS,
    "umount": Package("mount", "util-linux"),
}


def require_program(name: str) -> str:
    """Return the absolute path of a program.

    :raises V2VError: it is not installed; the hint has the command that installs it if its package is known.
    """
    path = shutil.which(name)
    if path is None:
        package = PACKAGES.get(name)
        remedy = "install it, or add its directory to PATH" if package is None else install(package)
        raise V2VError(f"the program {name} is not installed or not on PATH", hint=remedy)
    return path


def run_program(
    argv: Sequence[str],
    *,
    timeout: float | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: bytes = b"",
) -> str:
    """Run a program to its end and return its standard output.

    :param timeout: seconds, after which it is killed.
    :raises CommandError: it could not be started, failed, or took too long.
    """
    env = child_environment(**(environment or {}), LC_ALL="C")
    try:
        done = subprocess.run(
            [require_program(argv[0]) if "/" not in argv[0] else argv[0], *argv[1:]],
            input=stdin,
            capture_output=True,
            check=False,
            timeout=timeout,
            env=env,
        )
    except OSError as err:
        raise CommandError(argv, None, str(err)) from err
    except subprocess.TimeoutExpired as err:
        raise CommandError(argv, None, f"no answer within {timeout} seconds") from err
    if done.returncode != 0:
        raise CommandError(argv, done.returncode, done.stderr.decode("utf-8", "replace"))
    return done.stdout.decode("utf-8", "replace")
