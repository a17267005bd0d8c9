# SPDX-License-Identifier: GPL-2.0-or-later
"""How the destination of a disk is served: by nbdkit, which runs a script that uses ovirt-imageio's own client.

nbdkit embeds its own Python. PYTHONPATH tells it where the client library and this package are.
"""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path

from v2v_core.api import CommandError, DestinationError, NbdkitPlugin, require_program, run_program
from v2v_output_rhv.upload.address import Address
from v2v_output_rhv.upload.engine import default_authorities
from v2v_output_rhv.upload.settings import Limits, Route, UploadSettings
from v2v_output_rhv.upload.transfers import Transfer

#: Bytes, measured with bench/imageio.py. The header of a request costs as much as about ten kilobytes of data, and data
#: that does not fit into the processor's caches passes slowly from one program to the next.
REQUEST_SIZE = 2 * 1024 * 1024
#: Connections to the daemon for each disk, as many as ovirt-imageio's own uploader uses.
_CONNECTIONS = 4
#: Threads of nbdkit for each NBD connection. A copier opens at least two, so all connections to the daemon are used.
_THREADS = 4
_SCRIPT = Path(__file__).with_name("nbdkit_script.py")


def upload_service(address: Address, size: int) -> NbdkitPlugin:
    """Describe how a disk is served once its transfer has started."""
    parameters = [
        ("script", str(_SCRIPT)),
        ("size", str(size)),
        ("verify", str(address.verify).lower()),
        ("connections", str(_CONNECTIONS)),
        ("idle", str(address.idle)),
    ]
    if address.ca_file is not None:
        parameters.append(("cafile", address.ca_file))
    other = address.proxy_url
    return NbdkitPlugin(
        name="python",
        parameters=tuple(parameters),
        # anyone who has the ticket in the URL can write to the disk
        secrets=(("url", address.url), *((("proxy_url", other),) if other else ())),
        environment=_environment(),
        threads=_THREADS,
    )


def upload_address(settings: UploadSettings, transfer: Transfer, limits: Limits) -> Address:
    """Return the address that the data of a disk is sent to, once its transfer has started.

    :raises DestinationError: the engine does not offer the route that the user chose.
    """
    url, other = transfer.url, transfer.proxy_url
    if settings.route is Route.PROXY:
        url, other = other, None
    elif settings.route is Route.DIRECT:
        other = None
    url, other = url or other, other if url else None
    if not url:
        way = "through the engine" if settings.route is Route.PROXY else "to the host"
        raise DestinationError(
            f"the engine offers no upload {way}",
            hint="leave out -oo rhv-proxy and -oo rhv-direct, or make sure that ovirt-imageio runs there",
        )
    authorities = settings.ca_file or default_authorities()
    return Address(
        url=url,
        proxy_url=other,
        ca_file=str(authorities) if authorities is not None else None,
        verify=settings.verify,
        idle=limits.idle,
    )


def check_client() -> None:
    """Check that nbdkit can run the script, with the client library in its own Python.

    :raises DestinationError: it cannot.
    """
    require_program("nbdkit")
    environment = dict(_environment())
    try:
        run_program(["nbdkit", "python", "--dump-plugin"], timeout=60)
    except CommandError as err:
        raise DestinationError(
            "nbdkit has no plugin for Python",
            hint="install nbdkit-plugin-python (Debian, Ubuntu) or nbdkit-python-plugin (Fedora, RHEL)",
        ) from err
    try:
        run_program(["nbdkit", "python", f"script={_SCRIPT}", "--dump-plugin"], timeout=60, environment=environment)
    except CommandError as err:
        raise DestinationError(
            f"ovirt-imageio's client does not work in the Python of nbdkit: {_reason(err.stderr_tail)}",
            hint="v2v and nbdkit need one Python ('nbdkit python --dump-plugin' prints python_version): install v2v "
            "and ovirt-imageio with the Python of the system, no other Python (pyenv, conda) before it on PATH",
        ) from err


def _reason(text: str) -> str:
    """Return the line of nbdkit's messages that says why: that of the exception, if there is one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    exceptions = [line for line in lines if re.match(r"[\w.]*(Error|Exception): ", line)]
    return exceptions[-1] if exceptions else lines[-1]


def _environment() -> tuple[tuple[str, str], ...]:
    """Return the environment in which the script finds the modules that it imports.

    :raises DestinationError: the client library is not installed.
    """
    places = []
    for module in ("ovirt_imageio", "v2v_output_rhv"):
        spec = find_spec(module)
        if spec is None or spec.origin is None:
            raise DestinationError(
                f"the Python package {module} is not installed", hint="pip install v2v-output-rhv, or ovirt-imageio"
            )
        places.append(str(Path(spec.origin).parent.parent))
    return (("PYTHONPATH", os.pathsep.join(dict.fromkeys(places))), ("PYTHONDONTWRITEBYTECODE", "1"))
