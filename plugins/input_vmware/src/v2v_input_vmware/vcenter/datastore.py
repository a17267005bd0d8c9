# SPDX-License-Identifier: GPL-2.0-or-later
"""Read disks over https: nbdkit-curl-plugin(1) reads files of a datastore at ``/folder``.

nbdkit runs our script ``cookie`` again and again to get a valid session. A session ends after half an hour without a
request, or when an administrator ends it, and the copy of a disk can take a day.
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
from v2v_input_vmware.vcenter.inventory import datacenter_of
from v2v_input_vmware.vcenter.machine import VmDisk
from v2v_input_vmware.vcenter.password import write_secret
from v2v_input_vmware.vcenter.session import session_cookie
from v2v_input_vmware.vcenter.source import Source
from v2v_input_vmware.vcenter.trust import TIMEOUT, Trust, check_name, unreachable

#: Seconds between two checks of the session; less than the time for which failed reads are repeated.
_RENEW = 30
#: The most seconds that a read may take.
_READ_TIMEOUT = 2000
#: The file name that vSphere gives to a snapshot.
_SNAPSHOT = re.compile(r"-\d{6}\.vmdk$")
_PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY")


def folder_path(disk: VmDisk, datacenter: str) -> str:
    """Return the path and query of a disk's data, which ``disk-flat.vmdk`` holds; ``disk.vmdk`` only describes it.

    The names of datacenter and datastore are quoted twice, because the server unquotes them twice.
    """
    flat = f"{disk.path.removesuffix('.vmdk')}-flat.vmdk"
    twice = {key: quote(quote(value, safe=""), safe="") for key, value in (("dc", datacenter), ("ds", disk.datastore))}
    return f"/folder/{quote(flat)}?dcPath={twice['dc']}&dsName={twice['ds']}"


def check_readable(address: Address, trust: Trust, path: str, cookie: str, disk: VmDisk) -> None:
    """Check that the file of a disk exists and may be read.

    :raises SourceError: it does not exist, or may not be read.
    """
    connection = http.client.HTTPSConnection(address.host, address.port, timeout=TIMEOUT, context=trust.context())
    try:
        connection.request("HEAD", path, headers={"Cookie": cookie})
        status = connection.getresponse().status
    except OSError as err:
        raise unreachable(address, err) from err
    except http.client.HTTPException as err:
        raise SourceError(
            f"{address.host} does not answer like a datastore: {err}", hint="look at the logs of the server"
        ) from err
    finally:
        connection.close()
    if status == http.client.OK:
        return
    missing = "the file does not exist: look at the datastore; for disks on vSAN and vVols, use -it vddk or -it export"
    if _SNAPSHOT.search(disk.path):
        missing = "it has the name of a snapshot: Snapshots > Consolidate helps, or use -it vddk or -it export"
    forbidden = "the user may log in but not read datastores: grant Datastore.Browse and Datastore.FileManagement"
    hints = {401: forbidden, 403: forbidden, 404: missing}
    raise SourceError(
        f"{disk.label} ({disk.file}) cannot be read from {address.host}: HTTP status {status}",
        hint=hints.get(status, "look at the logs of the server"),
    )


def cookie_command(directory: Path, address: Address, trust: Trust, password: str, probe: str) -> str:
    """Write the settings of the program that prints the cookie, and return its command line for the shell.

    :param probe: path and query of a file, whose headers the program requests to check a session.
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
    # A module and not a script file, because some machines forbid executing files in temporary directories.
    # Without -P, Python would look for modules in the current directory first, where another user may have put a
    # json.py, and this program reads the password.
    return shlex.join([sys.executable, "-P", "-m", "v2v_input_vmware.vcenter.cookie", str(configuration)])


def services(source: Source, directory: Path, password: str) -> tuple[NbdkitPlugin, ...]:
    """Check that the disks can be read, and describe how they are served.

    :param directory: private to the plugin.
    :raises SourceError: a disk cannot be read.
    """
    address, trust = source.address, source.trust
    if trust.pinned:
        check_name(address, trust)
    datacenter = datacenter_of(source.service, source.found.vm)
    paths = [folder_path(disk, datacenter) for disk in source.disks]
    cookie = session_cookie(source.service)
    for path, disk in zip(paths, source.disks, strict=True):
        if not disk.path.endswith(".vmdk"):
            raise SourceError(f"{disk.label} ({disk.file}) is not a VMDK", hint="use -it vddk or -it export")
        check_readable(address, trust, path, cookie, disk)
    command = cookie_command(directory, address, trust, password, paths[0])
    return tuple(_service(address, trust, path, command) for path in paths)


def _service(address: Address, trust: Trust, path: str, cookie: str) -> NbdkitPlugin:
    """Describe how a disk is served over https.

    :param path: path and query of its data. :param cookie: the command that prints the cookie.
    """
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
        # the inventory was read without a proxy, too
        environment=tuple((name, "") for name in _PROXIES),
    )
