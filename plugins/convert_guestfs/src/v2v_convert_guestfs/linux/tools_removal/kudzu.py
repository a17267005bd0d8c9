# SPDX-License-Identifier: GPL-2.0-or-later
"""kudzu, which of old waited for somebody at the console to say what is to become of changed hardware."""

from __future__ import annotations

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.session import Session

_CHKCONFIG = "/sbin/chkconfig"


def disable(session: Session, files: GuestFiles) -> None:
    """Let it not run at boot; warn if that cannot be done."""
    if files.resolve("/etc/init.d/kudzu") is None or files.resolve(_CHKCONFIG) is None:
        return
    try:
        session.run([_CHKCONFIG, "kudzu", "off"])
    except RuntimeError as err:
        session.not_done("kudzu cannot be switched off, and may ask about new hardware at boot", err)
    else:
        session.changed("/etc/init.d/kudzu", "does not run at boot", "it would wait for answers about new hardware")
