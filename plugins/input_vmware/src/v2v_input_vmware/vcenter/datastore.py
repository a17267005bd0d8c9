# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks over https: the files of a datastore at ``/folder``, read by nbdkit-curl-plugin(1).

The session that nbdkit reads with is made by a script of ours that it runs again and again: a session of vCenter ends
after half an hour without a request, or when somebody ends it, and the copy of a disk may take a day.
"""

from __future__ import annotations

import http.client
import json
import re
import shlex
import sys
from pathlib import Path
from urllib.parse import quote

from v2v_core.api import NbdkitPlugin, SourceError
from v2v_input_vmware.vcenter.address import Address
from v2v_input_vmware.vcenter.machine import VmDisk
from v2v_input_vmware.vcenter.password import write_secret
from v2v_input_vmware.vcenter.trust import TIMEOUT, Trust, unreachable

#: Seconds between two looks at the session; less than the time for which reads are tried again.
_RENEW = 30
#: Seconds that the server may take for a read.
_READ_TIMEOUT = 2000
#: What vSphere calls the file of a snapshot.
_SNAPSHOT = re.compile(r"-\d{6}\.vmdk$")
_PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY")


def folder_path(disk: VmDisk, datacenter: str) -> str:
    """Give the path and query of a disk's data: ``disk.vmdk`` describes it, ``disk-flat.vmdk`` is it.

    The names of datacenter and datastore are quoted twice: the server unquotes them twice.
    """
    flat = f"{disk.path.removesuffix('.vmdk')}-flat.vmdk"
    twice = {key: quote(quote(value, safe=""), safe="") for key, value in (("dc", datacenter), ("ds", disk.datastore))}
    return f"/folder/{quote(flat)}?dcPath={twice['dc']}&dsName={twice['ds']}"


def check_readable(address: Address, trust: Trust, path: str, cookie: str, disk: VmDisk) -> None:
    """See that the file of a disk is there and may be read.

    :raises SourceError: it is not, or may not.
    """
    connection = http.client.HTTPSConnection(address.host, address.port, timeout=TIMEOUT, context=trust.context())
    try:
        connection.request("HEAD", path, headers={"Cookie": cookie})
        status = connection.getresponse().status
    except OSError as err:
        raise unreachable(address, err) from err
    except http.client.HTTPException as err:
        raise SourceError(
            f"{address.host} does not answer as a datastore does: {err}", hint="look at the logs of the server"
        ) from err
    finally:
        connection.close()
    if status == http.client.OK:
        return
    missing = "the file is not there: look at the datastore; disks of vSAN and vVols have no such files: use -it vddk"
    if _SNAPSHOT.search(disk.path):
        missing = "its name is that of a snapshot: consolidate the disks (Snapshots > Consolidate), or use -it vddk"
    hints = {
        401: "the user may log in and not read datastores: give him Datastore.Browse and Datastore.FileManagement",
        403: "the user may log in and not read datastores: give him Datastore.Browse and Datastore.FileManagement",
        404: missing,
    }
    raise SourceError(
        f"{disk.label} ({disk.file}) cannot be read from {address.host}: HTTP status {status}",
        hint=hints.get(status, "look at the logs of the server"),
    )


def cookie_command(directory: Path, address: Address, trust: Trust, password: str, probe: str) -> str:
    """Give the shell's command that prints the cookie of a session that lives, after writing what it needs.

    :param probe: path and query of a file, to see whether a session still lives.
    """
    secret = write_secret(directory / "password", password)
    settings = {
        "host": address.host,
        "port": address.port,
        "user": address.user,
        "password_file": str(secret),
        "verify": trust.verify,
        "ca_file": str(trust.ca_file) if trust.ca_file is not None else None,
        "pinned": trust.pinned,
        "probe": probe,
        "kept": str(directory / "cookie"),
    }
    configuration = write_secret(directory / "session.json", json.dumps(settings))
    # no script of its own: nothing can be executed where temporary files are on some machines
    # -P: and none of the current directory's, in which anybody may have put a json.py
    return shlex.join([sys.executable, "-P", "-m", "v2v_input_vmware.vcenter.cookie", str(configuration)])


def service(address: Address, trust: Trust, path: str, cookie: str) -> NbdkitPlugin:
    """Describe how a disk is served."""
    parameters = [
        ("url", f"https://{address.authority}{path}"),
        ("protocols", "https"),
        ("timeout", str(_READ_TIMEOUT)),
        ("cookie-script", cookie),
        ("cookie-script-renew", str(_RENEW)),
    ]
    if not trust.verify:
        parameters.append(("sslverify", "false"))
    elif trust.ca_file is not None:
        parameters.append(("cainfo", str(trust.ca_file)))
    return NbdkitPlugin(
        name="curl",
        parameters=tuple(parameters),
        remote=True,
        # the datastore is reached as the inventory was, without the proxy of the environment
        environment=tuple((name, "") for name in _PROXIES),
    )
