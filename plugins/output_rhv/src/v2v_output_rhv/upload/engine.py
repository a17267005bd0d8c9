# SPDX-License-Identifier: GPL-2.0-or-later
"""A session with the engine (oVirt's REST API, through ovirtsdk4), what its errors mean, and waiting for it.

The SDK has no types. It logs in again by itself when the session has expired.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from v2v_core.api import DestinationError, read_password_file
from v2v_output_rhv.upload.settings import UploadSettings

#: The SDK's service of the whole engine.
System = Any

#: Seconds to wait for an answer. The engine answers before it does long work.
_ANSWER = 120
#: The numbers of curl's errors by their subject (libcurl-errors(3)). The SDK shows only their text with the number.
_CERTIFICATE = re.compile(r"certificate|\((?:51|60|77), ", re.IGNORECASE)
_NETWORK = re.compile(r"\((?:6|7|28|35|52|55|56), ")
#: Where distributions keep the certificate authorities; the SDK's curl may have been built on another distribution.
_AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
)


@contextmanager
def session(settings: UploadSettings) -> Iterator[System]:
    """Log in, and log out at the end of the ``with`` block.

    :raises DestinationError: in place of every error of the SDK, the network and TLS.
    """
    import ovirtsdk4 as sdk

    authorities = settings.ca_file or default_authorities()
    with sdk_errors(settings):
        connection = sdk.Connection(
            url=settings.url,
            username=settings.user,
            password=read_password_file(settings.password_file, option="-op", error=DestinationError),
            ca_file=str(authorities) if settings.verify and authorities is not None else None,
            insecure=not settings.verify,
            timeout=_ANSWER,
        )
        try:
            connection.authenticate()
            yield connection.system_service()
        finally:
            with suppress(Exception):
                connection.close()


def default_authorities() -> Path | None:
    """Return the file with the certificate authorities that this machine trusts, or None if there is no such file."""
    places = (ssl.get_default_verify_paths().cafile, *_AUTHORITIES)
    return next((Path(place) for place in places if place and Path(place).is_file()), None)


@contextmanager
def sdk_errors(settings: UploadSettings) -> Iterator[None]:
    """Turn errors of the SDK into errors of one line with a hint.

    :raises DestinationError: in place of an error of the SDK.
    """
    import ovirtsdk4 as sdk

    host = settings.host
    try:
        yield
    except sdk.AuthError as err:
        if err.code is None:
            raise DestinationError(
                f"the engine {host} does not let {settings.user} in: {reason_of(err)}",
                hint="check the file given with -op and the user in -oc (admin@internal, "
                "admin@ovirt@internalsso with Keycloak)",
            ) from err
        raise DestinationError(
            f"the engine {host} denies permission: {reason_of(err)}",
            hint=f"give {settings.user} a role with the permissions to create disks, transfers and virtual machines",
        ) from err
    except (sdk.ConnectionError, sdk.TimeoutError) as err:
        raise _unreachable(host, reason_of(err)) from err
    except sdk.Error as err:
        text = reason_of(err)
        if _CERTIFICATE.search(text):
            raise DestinationError(
                f"the certificate of the engine {host} is not trusted: {text}",
                hint="fetch the certificate of its authority from https://"
                f"{host}/ovirt-engine/services/pki-resource?resource=ca-certificate&format=X509-PEM-CA "
                "and add -oo rhv-cafile=FILE",
            ) from err
        if _NETWORK.search(text):
            raise _unreachable(host, text) from err
        if err.code is None:
            raise DestinationError(
                f"the engine {host} does not answer as an engine does: {text}",
                hint="check the URL in -oc, and that the engine is up: its log is /var/log/ovirt-engine/engine.log",
            ) from err
        raise DestinationError(
            f"the engine {host} refuses: {text}",
            hint="the log /var/log/ovirt-engine/engine.log on the engine says more",
        ) from err


def wait_until(ready: Callable[[], bool], *, limit: float, poll: float) -> bool:
    """Call ``ready`` until it returns True or ``limit`` seconds have passed. Return whether it returned True.

    The engine cannot notify its clients. ``ready`` is called at least once.

    :param poll: seconds between two calls in the long run. The first pauses are shorter.
    """
    deadline = time.monotonic() + limit
    pause = poll / 20
    while not ready():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, poll)
    return True


def _unreachable(host: str, reason: str) -> DestinationError:
    return DestinationError(
        f"the engine {host} cannot be reached: {reason}",
        hint="check the host in -oc, that ovirt-engine runs on it, and that a firewall lets this machine through",
    )


def reason_of(err: Exception) -> str:
    """Return the engine's explanation of an error, in one line."""
    fault = getattr(err, "fault", None)
    text = (fault.detail or fault.reason or "") if fault is not None else ""
    text = " ".join((text or str(err)).split())
    # the engine puts its sentences into brackets
    bracketed = re.fullmatch(r"\[(.*)\]", text)
    return (bracketed.group(1) if bracketed else text).rstrip(". ") or type(err).__name__
