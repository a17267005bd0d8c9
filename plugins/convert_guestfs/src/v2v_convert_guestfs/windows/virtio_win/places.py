# SPDX-License-Identifier: GPL-2.0-or-later
"""Find virtio-win on the host: where the user says, or where packages install it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from v2v_convert_guestfs.windows.virtio_win.sources import DirectorySource, IsoSource, Source, UnreadableError

#: Variables that name the ISO or a directory, in virt-v2v's order.
VARIABLES = ("VIRTIO_WIN", "VIRTIO_WIN_DIR")
INSTALLED = (Path("/usr/share/virtio-win/virtio-win.iso"), Path("/usr/share/virtio-win"))
REMEDY = (
    "install the package virtio-win, or download virtio-win.iso "
    "(https://fedorapeople.org/groups/virt/virtio-win/direct-downloads/) and set VIRTIO_WIN to its path"
)


@dataclass(frozen=True)
class Found:
    """The result of the search: a source or a problem. ``named``: the user said where it is."""

    source: Source | None
    problem: str | None = None
    named: bool = False


def find_virtio_win(environment: Mapping[str, str] | None = None, installed: tuple[Path, ...] = INSTALLED) -> Found:
    """Return virtio-win, opened, or why it is not there.

    :param environment: that of the process if None. :param installed: where it is if the user does not say.
    """
    environment = os.environ if environment is None else environment
    for variable in VARIABLES:
        if named := environment.get(variable):
            return _open(Path(named), f"{named}, which {variable} names,", named=True)
    for place in installed:
        # The directory of the package may hold only other things, such as a readme.
        if place.exists():
            return _open(place, str(place), named=False)
    return Found(None, "there is no virtio-win on this machine, neither in VIRTIO_WIN nor in /usr/share/virtio-win")


def _open(place: Path, label: str, *, named: bool) -> Found:
    if not place.exists():
        return Found(None, f"{label} does not exist", named)
    try:
        source: Source = DirectorySource(place) if place.is_dir() else IsoSource(place)
    except UnreadableError as err:
        return Found(None, f"{label} cannot be used: {err}", named)
    if not source.files:
        source.close()
        return Found(None, f"{label} is empty", named)
    return Found(source, named=named)
