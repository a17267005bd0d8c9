# SPDX-License-Identifier: GPL-2.0-or-later
"""The program that nbdkit runs as ``cookie-script``: print the cookie of a valid session, and log in if necessary."""

from __future__ import annotations

import fcntl
import http.client
import json
import sys
from pathlib import Path
from typing import Any

from v2v_core.api import SourceError
from v2v_input_vmware.vcenter.address import Address
from v2v_input_vmware.vcenter.password import write_secret
from v2v_input_vmware.vcenter.trust import TIMEOUT, Trust


def main(arguments: list[str]) -> int:
    """Print the cookie of the session, which the servers of all disks share."""
    settings = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    address = Address(host=settings["host"], port=settings["port"], user=settings["user"])
    ca_file = settings["ca_file"]
    trust = Trust(verify=settings["verify"], ca_file=Path(ca_file) if ca_file else None, pinned=settings["pinned"])
    kept = Path(settings["kept"])
    with Path(f"{kept}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        cookie = kept.read_text(encoding="utf-8") if kept.exists() else ""
        if not cookie or not _is_valid(address, trust, cookie, settings["probe"]):
            cookie = _new_session(address, trust, settings)
            write_secret(kept, cookie)
    sys.stdout.write(f"{cookie}\n")
    return 0


def _is_valid(address: Address, trust: Trust, cookie: str, probe: str) -> bool:
    """Return whether a session is valid: only a refusal of the server says that it is not."""
    connection = http.client.HTTPSConnection(address.host, address.port, timeout=TIMEOUT, context=trust.context())
    try:
        connection.request("HEAD", probe, headers={"Cookie": cookie})
        return connection.getresponse().status not in {401, 403}
    except (OSError, http.client.HTTPException):
        return True
    finally:
        connection.close()


def _new_session(address: Address, trust: Trust, settings: dict[str, Any]) -> str:
    from v2v_input_vmware.vcenter.session import log_in, session_cookie, translated_errors

    password = Path(settings["password_file"]).read_text(encoding="utf-8")
    with translated_errors(address):
        return session_cookie(log_in(address, password, trust))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SourceError as err:
        sys.stderr.write(f"{err.message}\n")
        sys.exit(1)
