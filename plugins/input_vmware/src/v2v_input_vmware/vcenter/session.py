# SPDX-License-Identifier: GPL-2.0-or-later
"""Connect to the server (vSphere Web Services, through pyvmomi), and translate its errors."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from v2v_core.api import SourceError
from v2v_input_vmware.vcenter.address import Address
from v2v_input_vmware.vcenter.trust import TIMEOUT, Trust, fetch_certificate, sha1_thumbprint, unreachable

#: A service instance of pyvmomi, which has no type hints.
Service = Any


@contextmanager
def connected(address: Address, password: str, trust: Trust) -> Iterator[Service]:
    """Log in, and log out at the end.

    :raises SourceError: in place of each error of pyvmomi, the network and TLS.
    """
    from pyVim.connect import Disconnect

    service = None
    try:
        with translated_errors(address):
            service = log_in(address, password, trust)
            yield service
    finally:
        if service is not None:
            with suppress(Exception):
                Disconnect(service)


def log_in(address: Address, password: str, trust: Trust) -> Service:
    """Log in. The session stays valid until it is logged out, or for half an hour without a request.

    :raises SourceError: the server is not a vCenter or an ESXi host. Other errors are pyvmomi's: see
        ``translated_errors``.
    """
    from pyVim.connect import SmartConnect
    from pyVmomi import vmodl

    context = trust.context()
    try:
        _wait_for_an_answer(address, context)
        return SmartConnect(
            host=address.host,
            port=address.port,
            user=address.user,
            pwd=password,
            sslContext=context,
            httpConnectionTimeout=TIMEOUT,
        )
    except (OSError, http.client.HTTPException, vmodl.MethodFault, vmodl.RuntimeFault):
        raise
    except Exception as err:
        # pyvmomi also raises plain exceptions, and those of its XML parser
        reason = next(iter(str(err).splitlines()), type(err).__name__)
        raise SourceError(
            f"{address.host} does not answer like a vCenter or an ESXi host: {reason[:200]}",
            hint="check the URI of -ic; a vCenter that was just started answers after some minutes",
        ) from err


def _wait_for_an_answer(address: Address, context: ssl.SSLContext) -> None:
    """Wait for an answer of the server, with a time limit: pyvmomi has none for its first request."""
    connection = http.client.HTTPSConnection(address.host, address.port, timeout=TIMEOUT, context=context)
    try:
        connection.request("GET", "/sdk/vimServiceVersions.xml")
        connection.getresponse().read()
    finally:
        connection.close()


def session_cookie(service: Service) -> str:
    """Return the cookie of a session: ``vmware_soap_session="..."``."""
    return str(service._stub.cookie).partition(";")[0]


@contextmanager
def translated_errors(address: Address) -> Iterator[None]:
    """Translate errors of pyvmomi, the network and TLS into one line with a remedy.

    :raises SourceError: in place of them.
    """
    from pyVmomi import vim, vmodl

    try:
        yield
    except vim.fault.InvalidLogin as err:
        raise SourceError(
            f"{address.host} refuses the login of {address.user}: wrong user or password",
            hint="check the file given with -ip and the user in the URI of -ic (administrator%40vsphere.local@...)",
        ) from err
    except vim.fault.NoPermission as err:
        where = f"{err.object._moId} of {address.host}" if err.object is not None else address.host
        raise SourceError(
            f"{address.user} lacks the privilege {err.privilegeId or '?'} on {where}",
            hint="give the user a role with it, on the virtual machine and its datastore (System.Read, "
            "Datastore.Browse, VirtualMachine.Provisioning.DiskRandomRead; VApp.Export for -it export)",
        ) from err
    except ssl.SSLCertVerificationError as err:
        raise _untrusted(address, err) from err
    except ssl.SSLError as err:
        raise SourceError(
            f"the TLS connection to {address.host}, port {address.port}, failed: {err.reason or err}",
            hint="check the port",
        ) from err
    except OSError as err:
        raise unreachable(address, err) from err
    except http.client.HTTPException as err:
        raise SourceError(
            f"{address.host} does not answer like a vCenter or an ESXi host: {err}", hint="check the URI of -ic"
        ) from err
    except (vmodl.MethodFault, vmodl.RuntimeFault) as err:
        raise SourceError(
            f"{address.host} refuses the request: {err.msg or type(err).__name__.rpartition('.')[2]}",
            hint="look at the recent tasks and events in the vSphere Client",
        ) from err


def _untrusted(address: Address, err: ssl.SSLCertVerificationError) -> SourceError:
    try:
        thumbprint = sha1_thumbprint(fetch_certificate(address))
    except SourceError:
        thumbprint = "its SHA-1 fingerprint"
    return SourceError(
        f"the certificate of {address.host} is not trusted: {err.verify_message}",
        hint="name the certificate of its authority with -io ca-file=FILE (vCenter has it at /certs/download.zip); or "
        f"compare the thumbprint with that on the server's console, and add: -io thumbprint={thumbprint}",
    )
