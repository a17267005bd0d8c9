# SPDX-License-Identifier: GPL-2.0-or-later
"""The settings of this converter alone (``ConvertSettings.extra``): what ``--collect`` copies out of the guest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from v2v_core.api import UsageError

#: Names in ``extra``: a list of PATH[:NAME], and the archive.
_COLLECT, _OUTPUT = "collect", "collect_output"
_EXAMPLE = "write --collect /etc --collect-output FILE.tar.xz"


@dataclass(frozen=True)
class Collect:
    """Files to copy out of the guest.

    :param places: pairs of an absolute path in the guest and a directory in the archive, "" for its top.
    """

    places: tuple[tuple[str, str], ...]
    archive: Path


def parse_collect(extra: Mapping[str, Any]) -> Collect | None:
    """Check ``--collect`` and ``--collect-output``; return None if neither was given.

    :raises UsageError: one was given without the other, a path is not absolute, a name leads out of the archive, or the
        archive cannot be written.
    """
    wanted, output = extra.get(_COLLECT), extra.get(_OUTPUT)
    if not wanted and not output:
        return None
    if not wanted or not output:
        given, lacking = ("--collect", "--collect-output") if wanted else ("--collect-output", "--collect")
        raise UsageError(f"{given} needs {lacking}", hint=_EXAMPLE)
    archive = Path(str(output)).absolute()
    if not archive.parent.is_dir() or archive.is_dir():
        raise UsageError(
            f"--collect-output: {archive} cannot be written", hint="name a file in a directory that exists"
        )
    return Collect(tuple(map(_place, wanted)), archive)


def _place(value: object) -> tuple[str, str]:
    path, _, name = str(value).partition(":")
    if not path.startswith("/"):
        raise UsageError(f"--collect: {path!r} is not an absolute path in the guest", hint=_EXAMPLE)
    if name.startswith("/") or ".." in name.split("/"):
        raise UsageError(f"--collect: {name!r} leads out of the archive", hint="name a directory in the archive")
    return path, "" if name == "." else name
