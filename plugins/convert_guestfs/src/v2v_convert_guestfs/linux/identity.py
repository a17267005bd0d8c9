# SPDX-License-Identifier: GPL-2.0-or-later
"""Renew what must differ between two machines: the random seed, and a machine id that was left empty."""

from __future__ import annotations

import secrets

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.families import Family, family_of
from v2v_convert_guestfs.session import Session
from v2v_core.api import ConversionError

_SYSTEMD_SEED = "/var/lib/systemd/random-seed"
#: The file in which the init scripts of each family keep the seed.
_SEEDS = {
    Family.REDHAT: "/var/lib/random-seed",
    Family.ALT: "/var/lib/random-seed",
    Family.DEBIAN: "/var/lib/urandom/random-seed",
    Family.SUSE: "/var/lib/misc/random-seed",
}
#: The files of OpenRC's seedrng.
_SEEDRNG = ("/var/lib/seedrng/seed.credit", "/var/lib/seedrng/seed.no-credit")
_SEED_SIZE = 512
_WHY = "the machine that it came from may run on"
_MACHINE_IDS = ("/etc/machine-id", "/var/lib/dbus/machine-id")


def renew(session: Session, files: GuestFiles) -> None:
    """Write a new random seed, and a machine id if its file is empty. A failure is only a warning."""
    for what, do in (("random seed", _renew_seed), ("machine id", _fill_machine_id)):
        try:
            do(session, files)
        except (RuntimeError, ConversionError) as err:
            session.report.warning(f"the {what} of the guest stays as it is: {brief(err)}")


def _renew_seed(session: Session, files: GuestFiles) -> None:
    handle = session.handle
    existing = [path for path in dict.fromkeys((_SYSTEMD_SEED, *_SEEDS.values(), *_SEEDRNG)) if handle.is_file(path)]
    for path in existing:
        files.replace(path, secrets.token_bytes(_SEED_SIZE), what="new random seed", why=_WHY)
    if existing:
        return
    family = family_of(session.inspection.distro)
    path = _SYSTEMD_SEED if handle.is_dir("/var/lib/systemd") else _SEEDS.get(family, _SYSTEMD_SEED)
    if handle.is_dir(path.rpartition("/")[0]):
        files.create(path, secrets.token_bytes(_SEED_SIZE), mode=0o600, what="random seed", why=_WHY)


def _fill_machine_id(session: Session, files: GuestFiles) -> None:
    handle = session.handle
    empty = [path for path in _MACHINE_IDS if handle.is_file(path) and handle.filesize(path) == 0]
    if _MACHINE_IDS[0] not in empty:
        return
    new = f"{secrets.token_hex(16)}\n".encode()
    for path in empty:
        files.replace(path, new, what="new machine id", why="it was empty")
