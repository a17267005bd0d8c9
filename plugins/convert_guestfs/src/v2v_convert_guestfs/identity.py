# SPDX-License-Identifier: GPL-2.0-or-later
"""What must not be the same on two machines: the random seed, and a machine id that was left empty to be filled."""

from __future__ import annotations

import secrets

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.session import Session

_SEEDS = (
    "/var/lib/systemd/random-seed",
    "/var/lib/urandom/random-seed",
    "/var/lib/misc/random-seed",
    "/var/lib/random-seed",
)
_SEED_SIZE = 512
_MACHINE_ID = "/etc/machine-id"


def renew(session: Session) -> None:
    """Write a new random seed, and a machine id if it is an empty file. Neither is worth failing for."""
    if session.inspection.os_type != "linux":
        return
    files = GuestFiles(session)
    why = "the machine that it came from may run on"
    try:
        seeds = [path for path in _SEEDS if session.handle.is_file(path)]
        for path in seeds:
            files.replace(path, secrets.token_bytes(_SEED_SIZE), what="new random seed", why=why)
        if not seeds and session.handle.is_dir("/var/lib/systemd"):
            files.create(_SEEDS[0], secrets.token_bytes(_SEED_SIZE), mode=0o600, what="random seed", why=why)
        if session.handle.is_file(_MACHINE_ID) and session.handle.filesize(_MACHINE_ID) == 0:
            files.replace(_MACHINE_ID, f"{secrets.token_hex(16)}\n".encode(), what="new machine id", why="it was empty")
    except RuntimeError as err:
        session.report.warning(f"the random seed of the guest stays as it is: {brief(err)}")
