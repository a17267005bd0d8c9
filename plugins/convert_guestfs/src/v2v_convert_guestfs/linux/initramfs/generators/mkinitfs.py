# SPDX-License-Identifier: GPL-2.0-or-later
"""mkinitfs of Alpine Linux. Its images consist of features, each a list of modules and files."""

from __future__ import annotations

import re
from collections.abc import Sequence

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.editors import shell
from v2v_convert_guestfs.linux.families import SMALL, Family
from v2v_convert_guestfs.linux.initramfs.generators.protocol import Command, Job
from v2v_convert_guestfs.linux.initramfs.kinds import Kind

_CONFIGURATION = "/etc/mkinitfs/mkinitfs.conf"
_FEATURES = re.compile("features")
#: The feature with a driver, by the beginning of the driver's name.
_WITH = {"virtio": "virtio", "ahci": "ata", "ata_": "ata", "sd_mod": "scsi"}
_WORD = re.compile(r"(?P<quote>[\"']?)(?P<names>[\w \t\n-]*)(?P=quote)", re.ASCII)


class Mkinitfs:
    """``mkinitfs``."""

    kind = Kind.MKINITFS
    package = "mkinitfs"
    families: frozenset[Family] = SMALL
    programs: tuple[str, ...] = ("/sbin/mkinitfs", "/usr/sbin/mkinitfs")
    takes_output = True

    def configure(self, files: GuestFiles, modules: Sequence[str]) -> None:
        """Add the features with the drivers."""
        features = features_with(modules)
        files.edit(
            _CONFIGURATION,
            lambda data: with_features(data, features),
            what=f"adds {', '.join(features)}",
            why="for the initramfs of the guest's next kernels",
        )

    def prepare(self, files: GuestFiles) -> None:
        """Do nothing: the features are in the configuration."""

    def commands(self, job: Job) -> tuple[Command, ...]:
        """Return the only command."""
        return (Command((job.program, "-o", job.output, job.version)),)


def features_with(modules: Sequence[str]) -> tuple[str, ...]:
    """Return the features with the drivers, as far as they are known."""
    found = (feature for name in modules for start, feature in _WITH.items() if name.startswith(start))
    return tuple(dict.fromkeys(found))


def with_features(data: bytes, features: Sequence[str]) -> bytes:
    """Add the features that are missing in a configuration. Nothing is added if the setting is not a plain list."""

    def edit(word: str) -> str:
        match = _WORD.fullmatch(word)
        if match is None:
            return word
        listed = match["names"].split()
        lacking = [name for name in features if name not in listed]
        quote = match["quote"] or '"'
        return quote + " ".join([*listed, *lacking]) + quote if lacking else word

    return shell.edit_values(data, _FEATURES, edit)
