# SPDX-License-Identifier: GPL-2.0-or-later
"""Running external programs: by argument list, in the C locale, with their words kept for the log and the error."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence

from v2v_core.environment import child_environment
from v2v_core.errors import CommandError, V2VError

#: Which Debian and Fedora packages bring a program, for the error that says it is missing.
PACKAGES = {
    "nbdkit": "nbdkit",
    "nbdcopy": "libnbd-bin (Debian, Ubuntu) or libnbd (Fedora, RHEL)",
    "qemu-img": "qemu-utils (Debian, Ubuntu) or qemu-img (Fedora, RHEL)",
    "qemu-nbd": "qemu-utils (Debian, Ubuntu) or qemu-img (Fedora, RHEL)",
}


def require_program(name: str) -> str:
    """Give the absolute path of a program.

    :raises V2VError: it is not installed; the hint names the package.
    """
    path = shutil.which(name)
    if path is None:
        package = PACKAGES.get(name, name)
        raise V2VError(f"the program {name} is not installed or not on PATH", hint=f"install the package {package}")
    return path


def run_program(
    argv: Sequence[str],
    *,
    timeout: float | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: bytes = b"",
) -> str:
    """Run a program to its end and give its standard output.

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
