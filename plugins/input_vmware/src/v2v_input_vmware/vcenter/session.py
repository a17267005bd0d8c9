# SPDX-License-Identifier: GPL-2.0-or-later
"""The connection to the server (vSphere Web Services, through pyvmomi), and what its errors mean."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from v2v_core.api import SourceError
from v2v_input_vmware.vcenter.address import Address
from v2v_input_vmware.vcenter.trust import TIMEOUT, Trust, fetch_certificate, sha1_thumbprint, unreachable

#: A service instance of pyvmomi, which has no types.
Service = Any


@contextmanager
def connected(address: Address, password: str, trust: Trust) -> Iterator[Service]:
    """Log in, and out at the end.

    :raises SourceError: in place of every error of pyvmomi, of the network and of TLS.
    """
    from pyVim.connect import Disconnect

    service = None
    try:
        with explained(address):
            service = log_in(address, password, trust)
            yield service
    finally:
        if service is not None:
            with suppress(Exception):
                Disconnect(service)


def log_in(address: Address, password: str, trust: Trust) -> Service:
    """Log in; the session lives until somebody logs out, or for half an hour without a request.

    :raises SourceError: what answers is no vCenter and no ESXi host. Other errors are pyvmomi's: see ``explained``.
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
        # pyvmomi raises plain ones, and those of its XML parser
        reason = next(iter(str(err).splitlines()), type(err).__name__)
        raise SourceError(
            f"{address.host} does not answer as a vCenter or ESXi host does: {reason[:200]}",
            hint="check the URI of -ic; a vCenter that is starting answers after some minutes",
        ) from err


def _wait_for_an_answer(address: Address, context: ssl.SSLContext) -> None:
    """See that a server answers at all: pyvmomi first asks for its versions, and would wait for ever."""
    connection = http.client.HTTPSConnection(address.host, address.port, timeout=TIMEOUT, context=context)
    try:
        connection.request("GET", "/sdk/vimServiceVersions.xml")
        connection.getresponse().read()
    finally:
        connection.close()


def session_cookie(service: Service) -> str:
    """Give the cookie of a session: ``vmware_soap_session="…"``."""
    return str(service._stub.cookie).partition(";")[0]


@contextmanager
def explained(address: Address) -> Iterator[None]:
    """Turn what can go wrong on the way to the server into one line and a remedy.

    :raises SourceError: in place of it.
    """
    from pyVmomi import vim, vmodl

    try:
        yield
    except vim.fault.InvalidLogin as err:
        raise SourceError(
            f"{address.host} does not let {address.user} in: wrong user or password",
            hint="check the file given with -ip and the user in the URI of -ic (administrator%40vsphere.local@...)",
        ) from err
    except vim.fault.NoPermission as err:
        where = f"{err.object._moId} of {address.host}" if err.object is not None else address.host
        raise SourceError(
            f"{address.user} lacks the privilege {err.privilegeId or '?'} on {where}",
            hint="give the user a role with it, on the virtual machine and its datastore (System.Read, "
            "Datastore.Browse, VirtualMachine.Provisioning.DiskRandomRead)",
        ) from err
    except ssl.SSLCertVerificationError as err:
        raise _untrusted(address, err) from err
    except ssl.SSLError as err:
        raise SourceError(
            f"{address.host} does not speak TLS on port {address.port} as it should: {err.reason or err}",
            hint="check the port",
        ) from err
    except OSError as err:
        raise unreachable(address, err) from err
    except http.client.HTTPException as err:
        raise SourceError(
            f"{address.host} does not answer as a vCenter or ESXi host does: {err}", hint="check the URI of -ic"
        ) from err
    except (vmodl.MethodFault, vmodl.RuntimeFault) as err:
        raise SourceError(
            f"{address.host} refuses: {err.msg or type(err).__name__.rpartition('.')[2]}",
            hint="look at the recent tasks and events in the vSphere Client",
        ) from err


def _untrusted(address: Address, err: ssl.SSLCertVerificationError) -> SourceError:
    try:
        thumbprint = sha1_thumbprint(fetch_certificate(address))
    except SourceError:
        thumbprint = "its SHA-1 fingerprint"
    return SourceError(
        f"the certificate of {address.host} is not trusted: {err.verify_message}",
        hint="name its authority with -io ca-file=FILE (vCenter offers it at /certs/download.zip); or compare the "
        f"thumbprint with what the server's console shows and add: -io thumbprint={thumbprint}",
    )
