# SPDX-License-Identifier: GPL-2.0-or-later
"""A session at the engine (oVirt's REST API, through ovirtsdk4), and what its errors mean.

The SDK has no types. It logs in again by itself when the engine has forgotten the session.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from v2v_core.api import DestinationError, read_password_file
from v2v_output_rhv.upload.settings import UploadSettings

#: The SDK's service of the whole engine.
System = Any

#: Seconds for one answer; the engine does the long things behind it.
_ANSWER = 120
#: What curl's errors are about (libcurl-errors(3)), where the SDK shows no more than their numbers.
_CERTIFICATE = re.compile(r"certificate|\((?:51|60|77), ", re.IGNORECASE)
_NETWORK = re.compile(r"\((?:6|7|28|35|52|55|56), ")
#: Where systems keep their authorities; the SDK's curl may have been built on another one.
_AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
)


@contextmanager
def session(settings: UploadSettings) -> Iterator[System]:
    """Log in, and out at the end.

    :raises DestinationError: in place of every error of the SDK, of the network and of TLS.
    """
    import ovirtsdk4 as sdk

    authorities = settings.ca_file or default_authorities()
    with explained(settings):
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
    """Give the file with the authorities that this machine trusts, if it has one."""
    places = (ssl.get_default_verify_paths().cafile, *_AUTHORITIES)
    return next((Path(place) for place in places if place and Path(place).is_file()), None)


@contextmanager
def explained(settings: UploadSettings) -> Iterator[None]:
    """Turn an error of the SDK into one line and a remedy.

    :raises DestinationError: in place of it.
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
            f"the engine {host} forbids it: {reason_of(err)}",
            hint=f"give {settings.user} a role with the permissions to make disks, transfers and virtual machines",
        ) from err
    except (sdk.ConnectionError, sdk.TimeoutError) as err:
        raise _unreachable(host, reason_of(err)) from err
    except sdk.Error as err:
        text = reason_of(err)
        if _CERTIFICATE.search(text):
            raise DestinationError(
                f"the certificate of the engine {host} is not trusted: {text}",
                hint="fetch its authority from https://"
                f"{host}/ovirt-engine/services/pki-resource?resource=ca-certificate&format=X509-PEM-CA "
                "and add -oo rhv-cafile=FILE",
            ) from err
        if _NETWORK.search(text):
            raise _unreachable(host, text) from err
        if err.code is None:
            raise DestinationError(
                f"the engine {host} does not answer as one does: {text}",
                hint="check the URL in -oc, and that the engine is up: its log is /var/log/ovirt-engine/engine.log",
            ) from err
        raise DestinationError(
            f"the engine {host} refuses: {text}",
            hint="do what it says; /var/log/ovirt-engine/engine.log on the engine says more",
        ) from err


def _unreachable(host: str, reason: str) -> DestinationError:
    return DestinationError(
        f"the engine {host} cannot be reached: {reason}",
        hint="check the host in -oc, that ovirt-engine runs on it, and that a firewall lets this machine through",
    )


def reason_of(err: Exception) -> str:
    """Give what the engine said, in one line."""
    fault = getattr(err, "fault", None)
    text = (fault.detail or fault.reason or "") if fault is not None else ""
    text = " ".join((text or str(err)).split())
    # the engine puts its sentences into brackets
    found = re.fullmatch(r"\[(.*)\]", text)
    return (found.group(1) if found else text).rstrip(". ") or type(err).__name__
