# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of ``-o local``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from v2v_core.api import OutputSettings, PluginOption, UsageError

_COMPRESSED = "compressed"

OPTIONS = (PluginOption(name=_COMPRESSED, help="compress the disk images (only with -of qcow2)", flag=True),)


@dataclass(frozen=True, kw_only=True)
class LocalSettings:
    """Where the images go and what they look like.

    :param directory: absolute; ``.``, ``..`` and symbolic links are otherwise as the user wrote them.
    :param name: the name of the guest; empty if it is not known yet. :param format: ``raw`` or ``qcow2``.
    :param overwrite: files of the guest's names are replaced.
    """

    directory: Path
    name: str
    format: str
    preallocated: bool
    compressed: bool
    overwrite: bool

    @classmethod
    def of(cls, settings: OutputSettings) -> LocalSettings:
        """Parse the options.

        :raises UsageError: an option is missing, unsupported, or contradicts another one.
        """
        if settings.password_file is not None:
            raise UsageError("-o local: the option -op cannot be used: there is nothing to log in to")
        if settings.storage is None:
            raise UsageError("-o local: no output directory was given", hint="add -os DIRECTORY")
        if settings.format not in {"raw", "qcow2"}:
            raise UsageError(
                f"-o local: the output format {settings.format!r} is not supported", hint="use raw or qcow2"
            )
        if settings.allocation not in {"sparse", "preallocated"}:
            raise UsageError(f"-o local: -oa must be sparse or preallocated, not {settings.allocation!r}")
        compressed = settings.options.flag(_COMPRESSED)
        if compressed and settings.format != "qcow2":
            raise UsageError("-o local: -oo compressed needs the format qcow2", hint="add -of qcow2")
        return cls(
            # links are not resolved: the XML should name the directory as the user named it
            directory=Path(os.path.abspath(settings.storage)),  # noqa: PTH100 - Path.absolute() keeps ".."
            name=settings.name,
            format=settings.format,
            preallocated=settings.allocation == "preallocated",
            compressed=compressed,
            overwrite=settings.overwrite,
        )
