# SPDX-License-Identifier: GPL-2.0-or-later
"""How the destination of a disk is served: nbdkit, with a script of ours in it that uses ovirt-imageio's own client.

nbdkit embeds a Python of its own, which is told where the client library and this package are.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from v2v_core.api import CommandError, DestinationError, NbdkitPlugin, require_program, run_program
from v2v_output_rhv.upload.address import Address
from v2v_output_rhv.upload.engine import default_authorities
from v2v_output_rhv.upload.settings import Route, UploadSettings
from v2v_output_rhv.upload.transfers import Transfer

#: Measured with bench/imageio.py: the head of a request costs as much as some ten kilobytes of data, and what is larger
#: than the caches of a processor is slow on its way from one program to the next.
REQUEST_SIZE = 2 * 1024 * 1024
#: Connections to the daemon for each disk, as many as the client's own uploader has.
_CONNECTIONS = 4
#: Threads of nbdkit for each of the copier's connections, which are two on two processors: enough to use the four.
_THREADS = 4
_SCRIPT = Path(__file__).with_name("nbdkit_script.py")


def upload_service(address: Address, size: int) -> NbdkitPlugin:
    """Describe how a disk is served whose transfer has begun."""
    parameters = [
        ("script", str(_SCRIPT)),
        ("size", str(size)),
        ("verify", str(address.verify).lower()),
        ("connections", str(_CONNECTIONS)),
    ]
    if address.ca_file is not None:
        parameters.append(("cafile", address.ca_file))
    other = address.proxy_url
    return NbdkitPlugin(
        name="python",
        parameters=tuple(parameters),
        # the ticket in the URL is all that it takes to write to the disk
        secrets=(("url", address.url), *((("proxy_url", other),) if other else ())),
        environment=_environment(),
        threads=_THREADS,
    )


def upload_address(settings: UploadSettings, transfer: Transfer) -> Address:
    """Give where the data of a disk is sent whose transfer has begun.

    :raises DestinationError: the engine offers no way that the user wants.
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
            hint="leave out -oo rhv-proxy and -oo rhv-direct; or see that ovirt-imageio runs there",
        )
    authorities = settings.ca_file or default_authorities()
    return Address(
        url=url,
        proxy_url=other,
        ca_file=str(authorities) if authorities is not None else None,
        verify=settings.verify,
    )


def check_client() -> None:
    """See that nbdkit can run the script, with the client library in its own Python.

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
        words = err.stderr_tail.strip().splitlines()[-1:] or [""]
        raise DestinationError(
            f"ovirt-imageio's client does not work in the Python of nbdkit: {words[0].strip()}",
            hint="both must be of one version ('nbdkit python --dump-plugin' has python_version): install v2v with the "
            "Python of the system, and in it ovirt-imageio",
        ) from err


def _environment() -> tuple[tuple[str, str], ...]:
    """Name the directories in which the script finds what it imports.

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
