# SPDX-License-Identifier: GPL-2.0-or-later
"""From the description of an nbdkit plugin to nbdkit's command line (nbdkit(1))."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from v2v_core.errors import CommandError, V2VError
from v2v_core.model import DiskService, NbdkitFilter, NbdkitPlugin
from v2v_core.programs import require_program, run_program

#: Filters that core puts below those of a plugin when the data comes over a network. A failed read is first repeated,
#: which is cheap. If it still fails, the connection is opened again, which may require a new login.
_REMOTE_FILTERS = (
    NbdkitFilter(name="retry-request"),
    NbdkitFilter(name="retry", parameters=(("retries", "8"),)),
)


def secrets_in_files(service: DiskService, place: Path, name: str) -> DiskService:
    """Return a service with each secret moved to a file that nbdkit reads (``key=+FILE``).

    The returned service can be written down, and served again from what was written.

    :param place: a directory of mode 0700 for the files. :param name: of the server, for their names.
    """
    if not isinstance(service, NbdkitPlugin) or not service.secrets:
        return service
    parameters = list(service.parameters)
    for number, (key, value) in enumerate(service.secrets):
        path = place / f"{name}-secret{number}"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
            stream.write(value)
        parameters.append((key, f"+{path}"))
    return dataclasses.replace(service, parameters=tuple(parameters), secrets=())


def nbdkit_argv(service: NbdkitPlugin, socket: Path, *, readonly: bool) -> list[str]:
    """Return the command line that serves a disk.

    :param service: without secrets, see ``secrets_in_files``.
    :raises V2VError: nbdkit, the plugin or a filter is not installed.
    """
    if service.secrets:
        raise ValueError("a secret would be on the command line of nbdkit")
    require_program("nbdkit")
    require_nbdkit_part("plugin", service.name)
    filters = service.filters + (_REMOTE_FILTERS if service.remote else ())
    argv = ["nbdkit", "--foreground", "--newstyle", "--unix", str(socket)]
    if readonly:
        argv.append("--readonly")
    if service.threads:
        argv += ["--threads", str(service.threads)]
    for used in filters:
        require_nbdkit_part("filter", used.name)
        argv.append(f"--filter={used.name}")
    argv.append(service.name)
    argv += [f"{key}={value}" for key, value in service.parameters]
    argv += [f"{key}={value}" for used in filters for key, value in used.parameters]
    return argv


def require_nbdkit_part(kind: str, name: str) -> None:
    """Check that nbdkit has a plugin or filter.

    :param kind: ``plugin`` or ``filter``.
    :raises V2VError: it does not; the hint says what to install.
    """
    argv = ["nbdkit", name, "--version"] if kind == "plugin" else ["nbdkit", "null", f"--filter={name}", "--version"]
    try:
        run_program(argv, timeout=30)
    except CommandError as err:
        raise V2VError(
            f"nbdkit has no {kind} {name!r}",
            hint="'v2v doctor' names the package that has it; a newer nbdkit may be needed",
        ) from err
