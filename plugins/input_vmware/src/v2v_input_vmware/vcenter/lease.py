# SPDX-License-Identifier: GPL-2.0-or-later
"""The lease of an export (vim.HttpNfcLease): taken, kept alive, and always ended.

A lease belongs to the session that took it, and no other session can end it. So the cookie of the session is kept in
the plugin's directory while there is a lease: after ``kill -9`` the cleanup ends both with it.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from v2v_core.api import Ledger, SourceError, write_atomically
from v2v_input_vmware.vcenter.address import Address
from v2v_input_vmware.vcenter.machine import Machine
from v2v_input_vmware.vcenter.session import Service, session_cookie, translated_errors
from v2v_input_vmware.vcenter.trust import TIMEOUT, Trust

#: A managed object of pyvmomi, which has no type hints.
Managed = Any

#: What the ledger calls it.
KIND = "export lease"
#: Seconds that the server may take to prepare an export, and between two looks at it.
PREPARE, LOOK = 600.0, 0.5
#: The most seconds between two signs of life; a lease lives for 300 seconds without one.
RENEW = 20.0
_FILE = "export.json"
_LIMIT = (
    "a vCenter serves 52 connections of this kind (NFC) at once, for backups and migrations together: wait for some to "
    "end; or look at the recent tasks in the vSphere Client"
)


class _Refused(SourceError):
    """The server has not given a lease."""


class Lease:
    """A lease that is ready."""

    def __init__(self, managed: Managed, info: Managed, address: Address) -> None:
        self._managed, self._address = managed, address
        self.disks: tuple[Managed, ...] = tuple(each for each in info.deviceUrl or () if _is_disk(each))
        self._lives = max(1, int(info.leaseTimeout or 300))
        self._renewed = self._tried = time.monotonic()

    def renew(self, percent: int) -> None:
        """Show a sign of life, if it is time for one. One that fails is repeated while the lease can still live.

        :raises SourceError: the lease has ended.
        """
        now = time.monotonic()
        pause, age = min(RENEW, self._lives / 6), now - self._renewed
        if age < pause or now - self._tried < pause / 4:
            return
        self._tried = now
        try:
            with translated_errors(self._address):
                self._managed.Progress(percent=percent)
        except SourceError as err:
            if isinstance(err.__cause__, OSError | http.client.HTTPException) and age < self._lives:
                return
            raise SourceError(
                f"{self._address.host} has ended the export: {self._why() or err.message}",
                hint="look at the recent tasks and events in the vSphere Client, and run again",
            ) from err
        self._renewed = time.monotonic()

    def request_digests(self, algorithm: str) -> None:
        """Ask the server for checksums of a kind; servers before vSphere 6.7 only know SHA-1."""
        from pyVmomi import vim, vmodl

        wanted = [vim.KeyValue(key=disk.key, value=algorithm) for disk in self.disks]
        with suppress(vmodl.MethodFault, vmodl.RuntimeFault):
            self._managed.SetManifestChecksumType(deviceUrlsToChecksumTypes=wanted)

    def manifest(self) -> dict[str, Managed] | None:
        """Return the server's account of what it sent, by the keys of the disks; None if it keeps none."""
        from pyVmomi import vmodl

        try:
            with translated_errors(self._address):
                return {entry.key: entry for entry in self._managed.GetManifest() or ()}
        except SourceError as err:
            if isinstance(err.__cause__, vmodl.fault.NotSupported | vmodl.fault.MethodNotFound):
                return None
            raise

    def _why(self) -> str:
        with suppress(Exception):
            return _text(self._managed.error)
        return ""


@contextmanager
def leased(
    service: Service, address: Address, machine: Machine, exported: Managed, directory: Path, ledger: Ledger
) -> Iterator[Lease]:
    """Take a lease of a machine or a snapshot; complete it at the end, and abort it after any failure.

    :param exported: the machine or the snapshot. :param directory: private to the plugin.
    :raises SourceError: the server does not give one.
    """
    kept = directory / _FILE
    cookie = session_cookie(service)
    _keep(kept, cookie, None)
    ledger.record(KIND, f"{machine.moref} ({machine.name})")
    managed = None
    try:
        managed = _take(address, machine, exported)
        _keep(kept, cookie, managed._moId)
        yield Lease(managed, _wait(managed, address, machine), address)
        with translated_errors(address):
            managed.Complete()
    except BaseException as err:
        # as long as the file exists, the cleanup tries again
        if _abort(managed) if managed is not None else isinstance(err, _Refused):
            kept.unlink(missing_ok=True)
        raise
    kept.unlink(missing_ok=True)


def _is_disk(url: Managed) -> bool:
    """Return whether a file of an export is a disk, and not firmware settings or a CD image."""
    return bool(url.disk) if url.disk is not None else str(url.url).endswith(".vmdk")


def _take(address: Address, machine: Machine, exported: Managed) -> Managed:
    from pyVmomi import vim, vmodl

    try:
        with translated_errors(address):
            return exported.ExportSnapshot() if isinstance(exported, vim.vm.Snapshot) else exported.ExportVm()
    except SourceError as err:
        cause = err.__cause__
        if not isinstance(cause, vmodl.MethodFault | vmodl.RuntimeFault):
            raise
        message, hint = err.message, err.hint
        if isinstance(cause, vim.fault.InvalidPowerState):
            message, hint = "it is running", "shut it down, or name a snapshot of it with -io export-snapshot=NAME"
        elif isinstance(cause, vim.fault.TaskInProgress):
            message = "another task is running on it"
            hint = "wait for that task (a backup, a clone, another export) to end, and run again"
        raise _Refused(f"{machine.name} cannot be exported: {message}", hint=hint) from err


def _wait(managed: Managed, address: Address, machine: Machine) -> Managed:
    """Wait until the server has prepared the export, and return what it says about the lease."""
    end = time.monotonic() + PREPARE
    while True:
        with translated_errors(address):
            state = str(managed.state)
            if state == "ready":
                return managed.info
        if state != "initializing":
            why = ""
            with suppress(Exception):
                why = _text(managed.error)
            raise SourceError(
                f"{machine.name} cannot be exported: the server says {why or f'that its export is {state}'}",
                hint=_LIMIT,
            )
        if time.monotonic() > end:
            raise SourceError(
                f"{machine.name} cannot be exported: {address.host} did not prepare the export within {PREPARE:.0f} s",
                hint=_LIMIT,
            )
        time.sleep(LOOK)


def _abort(managed: Managed) -> bool:
    """Abort a lease, and return whether the server has ended it."""
    from pyVmomi import vim, vmodl

    try:
        managed.Abort()
    except (vim.fault.NotAuthenticated, vmodl.fault.ManagedObjectNotFound, vim.fault.InvalidState):
        return True
    except Exception:
        return False
    return True


def _text(fault: Managed) -> str:
    """Return what a fault says, in one line."""
    if fault is None:
        return ""
    said = getattr(fault, "msg", None) or getattr(fault, "localizedMessage", None)
    return " ".join(str(said or type(fault).__name__.rpartition(".")[2]).split())[:300]


def _keep(path: Path, cookie: str, lease: str | None) -> None:
    write_atomically(path, json.dumps({"cookie": cookie, "lease": lease}).encode())


def end_leftover(directory: Path, address: Address, trust: Callable[[], Trust]) -> None:
    """End the lease and the session of a run that was killed.

    :param directory: that was private to the plugin.
    :raises SourceError: the server cannot be asked.
    """
    from pyVim.connect import SmartStubAdapter
    from pyVmomi import vim, vmodl

    kept = directory / _FILE
    try:
        found = json.loads(kept.read_bytes())
        cookie, lease = str(found["cookie"]), found["lease"]
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise SourceError(
            f"{kept} cannot be read: {err}", hint="the server ends the export by itself after some minutes"
        ) from err
    with translated_errors(address):
        stub = SmartStubAdapter(
            host=address.host, port=address.port, sslContext=trust().context(), httpConnectionTimeout=TIMEOUT
        )
        stub.cookie = cookie
        try:
            if lease is not None and not _abort(vim.HttpNfcLease(str(lease), stub)):
                raise SourceError(
                    f"{address.host} does not end the export {lease}",
                    hint="it ends by itself after some minutes; look at the recent tasks in the vSphere Client",
                )
            with suppress(vim.fault.NotAuthenticated, vmodl.fault.ManagedObjectNotFound):
                sessions: Managed = vim.ServiceInstance("ServiceInstance", stub).RetrieveContent().sessionManager
                sessions.Logout()
        finally:
            stub.DropConnections()
    kept.unlink(missing_ok=True)
