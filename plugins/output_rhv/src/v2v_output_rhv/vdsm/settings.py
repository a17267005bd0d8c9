# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of ``-o vdsm``: ``-os`` and ``-oo vdsm-…``, which VDSM passes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from v2v_core.api import DestinationError, OptionError, OutputSettings, PluginOption, UsageError
from v2v_core.output_files import check_output_directory
from v2v_output_rhv.ovf import Flavour

_MODE = "-o vdsm"
_COMPATS = ("0.10", "1.1")
_FLAVOURS: Mapping[str, Flavour] = {**{flavour.value: flavour for flavour in Flavour}, "rhvexp": Flavour.EXPORT_DOMAIN}
_UUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
#: VDSM passes UUIDs. Any name is accepted that is one safe component of a path.
_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")

OPTIONS = (
    PluginOption(
        name="vdsm-image-uuid",
        help="directory name of a disk's image; once for each disk",
        repeatable=True,
        required=True,
    ),
    PluginOption(
        name="vdsm-vol-uuid", help="file name of a disk's volume; once for each disk", repeatable=True, required=True
    ),
    PluginOption(name="vdsm-vm-uuid", help="UUID of the virtual machine", required=True),
    PluginOption(name="vdsm-ovf-output", help="directory for the OVF; default: the current directory"),
    PluginOption(
        name="vdsm-ovf-flavour",
        help="form of the OVF: ovirtexp (the default, also: rhvexp) or ovirt",
    ),
    PluginOption(name="vdsm-compat", help="version of qcow2 images: 0.10 (the default) or 1.1"),
)


@dataclass(frozen=True, kw_only=True)
class VdsmSettings:
    """Where the files go, and their form.

    :param domain: directory of the storage domain; its name is the UUID of the domain.
    :param images: names of the images. :param volumes: names of the volumes, in the same order.
    :param machine: UUID of the virtual machine. :param ovf_directory: the directory of its OVF.
    :param compat: version of qcow2 images, as ``qemu-img create`` names it.
    """

    domain: Path
    images: tuple[str, ...]
    volumes: tuple[str, ...]
    machine: str
    ovf_directory: Path
    flavour: Flavour
    compat: str

    @classmethod
    def of(cls, settings: OutputSettings) -> VdsmSettings:
        """Parse the options.

        :raises UsageError: an option is missing or has an invalid value.
        """
        if settings.password_file is not None:
            raise UsageError("-o vdsm: the option -op cannot be used: there is nothing to log in to")
        if settings.format not in {"raw", "qcow2"}:
            raise UsageError(f"-o vdsm: the format {settings.format!r} is not supported", hint="use raw or qcow2")
        if settings.storage is None:
            raise UsageError(
                "-o vdsm: no storage domain was given", hint="name its directory with -os /…/DATA-CENTER/STORAGE-DOMAIN"
            )
        domain = _absolute(settings.storage)
        if not _UUID.fullmatch(domain.name):
            raise UsageError(
                f"-o vdsm: -os {settings.storage} does not end in the UUID of a storage domain",
                hint="name the directory of the domain, as in -os /rhev/data-center/DATA-CENTER-UUID/DOMAIN-UUID",
            )
        options = settings.options
        flavour = options.one("vdsm-ovf-flavour") or Flavour.EXPORT_DOMAIN
        if flavour not in _FLAVOURS:
            raise OptionError(_MODE, "vdsm-ovf-flavour", f"{flavour!r} is none of {', '.join(_FLAVOURS)}")
        compat = options.one("vdsm-compat") or _COMPATS[0]
        if compat not in _COMPATS:
            raise OptionError(_MODE, "vdsm-compat", f"{compat!r} is none of {', '.join(_COMPATS)}")
        (machine,) = _names(settings, "vdsm-vm-uuid")
        return cls(
            domain=domain,
            images=_names(settings, "vdsm-image-uuid"),
            volumes=_names(settings, "vdsm-vol-uuid"),
            machine=machine,
            ovf_directory=_absolute(options.one("vdsm-ovf-output") or "."),
            flavour=_FLAVOURS[flavour],
            compat=compat,
        )

    @property
    def ovf(self) -> Path:
        """Return the file of the OVF."""
        return self.ovf_directory / f"{self.machine}.ovf"

    def volume(self, index: int) -> Path:
        """Return the file of a disk, counted from 1."""
        return self.domain / "images" / self.images[index - 1] / self.volumes[index - 1]

    def check_count(self, disks: int) -> None:
        """Check that there is one image and one volume for each disk.

        :raises UsageError: there are more or fewer.
        """
        for option, names in (("vdsm-image-uuid", self.images), ("vdsm-vol-uuid", self.volumes)):
            if len(names) != disks:
                raise OptionError(
                    _MODE,
                    option,
                    f"the guest has {disks} disks, and {len(names)} were given",
                    hint=f"give -oo {option}=UUID once for each disk, in the order of the disks",
                )

    def check_directories(self) -> None:
        """Check that VDSM has created the directories, and that files can be created in them.

        :raises DestinationError: a directory is missing or cannot be written.
        """
        if not self.domain.is_dir():
            raise DestinationError(f"-o vdsm -os: {self.domain} does not exist or is not a directory")
        for image in self.images:
            check_output_directory(self.domain / "images" / image, "-o vdsm -oo vdsm-image-uuid")
        check_output_directory(self.ovf_directory, "-o vdsm -oo vdsm-ovf-output")


def _names(settings: OutputSettings, option: str) -> tuple[str, ...]:
    """Return the values of an option that names files.

    :raises OptionError: there are none, one is not a name, or one was given twice.
    """
    names = settings.options.all(option)
    if not names:
        raise OptionError(_MODE, option, "is required")
    for name in names:
        if not _NAME.fullmatch(name):
            raise OptionError(_MODE, option, f"{name!r} is not a UUID")
    if len(set(names)) != len(names):
        raise OptionError(_MODE, option, f"{max(names, key=names.count)} was given twice")
    return names


def _absolute(path: str) -> Path:
    # links are not resolved: the last name of /rhev/data-center/… must stay, and it can be a link
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.absolute() keeps ".."
