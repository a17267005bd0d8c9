# SPDX-License-Identifier: GPL-2.0-or-later
"""The resources of the API that an upload uses: what each call does to the state, and what it answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from engine_simulator import documents, storage
from engine_simulator.documents import Element, collection, element, text
from engine_simulator.faults import Behaviour, Refusal
from engine_simulator.ovf import disks_of, read_ovf
from engine_simulator.state import Disk, Job, Machine, State, Transfer, new_id
from engine_simulator.transfers import TransferHost

Query = Mapping[str, str]
#: What a call answers: HTTP status and document.
Answer = tuple[int, Element]
_ENDS_BADLY = {"finished_failure", "paused_system"}
_OVER = frozenset({"finished_success", "finished_failure", "finished_cleanup", "cancelled"})


class Resources:
    """The API. Each call is a method; ``ROUTES`` says which request is which call."""

    def __init__(self, state: State, host: TransferHost, behaviour: Behaviour) -> None:
        self.state = state
        self.host = host
        self.behaviour = behaviour

    # where things are

    def list_data_centers(self, query: Query) -> Answer:
        """List data centres; search: ``storage.name=NAME``."""
        wanted = searched(query, "storage.name")
        found = self.state.data_centers.values()
        if wanted is not None:
            homes = {domain.data_center for domain in self.state.storage_domains.values() if domain.name == wanted}
            found = [center for center in found if center.id in homes]
        return 200, collection("data_centers", map(documents.data_center, found))

    def list_attached(self, _query: Query, center: str) -> Answer:
        """List the storage domains of a data centre."""
        found = [domain for domain in self.state.storage_domains.values() if domain.data_center == center]
        return 200, collection("storage_domains", (documents.storage_domain(each, attached=True) for each in found))

    def list_clusters_of(self, _query: Query, center: str) -> Answer:
        """List the clusters of a data centre."""
        found = [cluster for cluster in self.state.clusters.values() if cluster.data_center == center]
        return 200, collection("clusters", map(documents.cluster, found))

    def list_clusters(self, _query: Query) -> Answer:
        """List all clusters."""
        return 200, collection("clusters", map(documents.cluster, self.state.clusters.values()))

    def list_storage_domains(self, _query: Query) -> Answer:
        """List all storage domains."""
        found = self.state.storage_domains.values()
        return 200, collection("storage_domains", (documents.storage_domain(each, attached=False) for each in found))

    def list_hosts(self, query: Query) -> Answer:
        """List hosts; search: ``hw_id=ID``."""
        wanted = searched(query, "hw_id")
        found = [host for host in self.state.hosts.values() if wanted in {None, host.hardware_id}]
        return 200, collection("hosts", map(documents.host, found))

    # disks

    def list_disks(self, _query: Query) -> Answer:
        """List all disks."""
        return 200, collection("disks", map(documents.disk, self.state.disks.values()))

    def get_disk(self, _query: Query, identity: str) -> Answer:
        """Show a disk."""
        return 200, documents.disk(_known(self.state.disks, identity))

    def add_disk(self, _query: Query, body: Element) -> Answer:
        """Make a disk; it is locked at first."""
        identity = body.get("id") or new_id()
        if identity in self.state.disks:
            raise Refusal(409, f"[Cannot add Virtual Disk. The specified disk id {identity} already exists.]")
        reference = body.find("storage_domains/storage_domain")
        domain = _known(self.state.storage_domains, "" if reference is None else reference.get("id", ""))
        size, sparse = int(text(body, "provisioned_size") or 0), text(body, "sparse") == "true"
        disk_format, initial = text(body, "format") or "raw", text(body, "initial_size")
        storage.check_configuration(domain, disk_format, sparse)
        storage.check_space(domain, int(initial or 0) if sparse else size)
        disk = Disk(
            id=identity,
            alias=text(body, "name") or "",
            storage_domain=domain.id,
            size=size,
            format=disk_format,
            sparse=sparse,
            image=domain.directory / identity,
            description=text(body, "description") or "",
            initial_size=int(initial) if initial else None,
        )
        self.state.disks[identity] = disk
        storage.make_image(disk)
        self._later(self.behaviour.disk, lambda end: setattr(disk, "status", end))
        return 202, documents.disk(disk)

    def remove_disk(self, _query: Query, identity: str) -> Answer:
        """Remove a disk that is not in use."""
        disk = _known(self.state.disks, identity)
        busy = any(each.disk == identity and each.phase not in _OVER for each in self.state.transfers.values())
        if disk.status == "locked" or busy:
            raise Refusal(409, f"[Cannot remove Virtual Disk. Disk {disk.alias} is locked. Please try again later.]")
        if self.behaviour.removal == "never":
            raise Refusal(409, f"[Cannot remove Virtual Disk. Disk {disk.alias} cannot be removed.]")
        self._drop(disk)
        return 200, element("action", status="complete")

    def _drop(self, disk: Disk) -> None:
        storage.remove_image(disk)
        self.state.disks.pop(disk.id, None)
        for machine in self.state.machines.values():
            machine.disks = [each for each in machine.disks if each != disk.id]

    # transfers

    def list_transfers(self, _query: Query) -> Answer:
        """List all transfers."""
        found = self.state.transfers.values()
        return 200, collection("image_transfers", (documents.transfer(each, self.host.urls(each)) for each in found))

    def get_transfer(self, _query: Query, identity: str) -> Answer:
        """Show a transfer."""
        transfer = _known(self.state.transfers, identity)
        return 200, documents.transfer(transfer, self.host.urls(transfer))

    def add_transfer(self, _query: Query, body: Element) -> Answer:
        """Start a transfer to a disk."""
        reference, host = body.find("disk"), body.find("host")
        disk = _known(self.state.disks, "" if reference is None else reference.get("id", ""))
        if disk.status != "ok":
            raise Refusal(409, f"[Cannot transfer Virtual Disk: Disk {disk.alias} is locked.]")
        chosen = next(iter(self.state.hosts)) if host is None else _known(self.state.hosts, host.get("id", "")).id
        transfer = Transfer(
            disk=disk.id,
            host=chosen,
            inactivity_timeout=int(text(body, "inactivity_timeout") or 60),
            timeout_policy=text(body, "timeout_policy") or "legacy",
        )
        self.state.transfers[transfer.id] = transfer
        disk.status = "locked"

        def begin(phase: str) -> None:
            if transfer.phase != "initializing":
                return
            transfer.phase = phase
            if phase == "transferring":
                self.host.open(transfer, disk)

        self._later(self.behaviour.transfer, begin)
        return 201, documents.transfer(transfer, self.host.urls(transfer))

    def finalize_transfer(self, _query: Query, identity: str, _body: Element) -> Answer:
        """End a transfer: the disk is looked at and given free."""
        transfer = _known(self.state.transfers, identity)
        if transfer.phase not in {"transferring", "paused_user", "paused_system"}:
            raise Refusal(409, f"[Cannot finalize image transfer: it is in phase {transfer.phase}.]")
        transfer.phase = "finalizing_success"
        self.host.close(transfer)

        def end(phase: str) -> None:
            transfer.phase = phase
            disk = self.state.disks.get(transfer.disk)
            if disk is not None:
                disk.status = "illegal" if phase in _ENDS_BADLY else "ok"
                if phase == "finished_failure":
                    self._drop(disk)

        self._later(self.behaviour.finalized, end)
        return 200, element("action", status="complete")

    def cancel_transfer(self, _query: Query, identity: str, _body: Element) -> Answer:
        """End a transfer, and remove its disk."""
        transfer = _known(self.state.transfers, identity)
        if transfer.phase in _OVER or transfer.phase.startswith("finalizing"):
            raise Refusal(409, f"[Cannot cancel image transfer: it is in phase {transfer.phase}.]")
        transfer.phase = "cancelled_user"
        self.host.close(transfer)

        def end() -> None:
            transfer.phase = "finished_cleanup"
            disk = self.state.disks.get(transfer.disk)
            if disk is not None:
                if self.behaviour.removal == "never":
                    disk.status = "illegal"
                else:
                    self._drop(disk)

        self.state.later(self.behaviour.delay, end)
        return 200, element("action", status="complete")

    # machines

    def list_machines(self, query: Query) -> Answer:
        """List virtual machines; search: ``name="NAME"``."""
        wanted = searched(query, "name")
        found = [machine for machine in self.state.machines.values() if wanted in {None, machine.name}]
        return 200, collection("vms", map(documents.machine, found))

    def get_machine(self, _query: Query, identity: str) -> Answer:
        """Show a virtual machine."""
        return 200, documents.machine(_known(self.state.machines, identity))

    def add_machine(self, query: Query, body: Element) -> Answer:
        """Make the virtual machine of an OVF, with disks that exist."""
        data, cluster = text(body, "initialization/configuration/data"), body.find("cluster")
        if not data or text(body, "initialization/configuration/type") not in {"ova", "ovf"}:
            raise Refusal(400, "[Cannot import VM. There is no OVF.]")
        identity, name, hardware = read_ovf(data.encode())
        if any(machine.name == name for machine in self.state.machines.values()):
            raise Refusal(
                409, f"[Cannot import VM. The VM name {name} is already in use, please choose a unique name.]"
            )
        if identity in self.state.machines:
            raise Refusal(409, f"[Cannot import VM. The VM id {identity} already exists.]")
        disks = disks_of(hardware)
        for disk in disks:
            if disk not in self.state.disks:
                raise Refusal(404, f"[Cannot import VM. Disk {disk} does not exist.]")
            if self.state.disks[disk].status != "ok":
                raise Refusal(409, f"[Cannot import VM. Disk {disk} is {self.state.disks[disk].status}.]")
        machine = Machine(
            id=identity,
            name=name,
            cluster=_known(self.state.clusters, "" if cluster is None else cluster.get("id", "")).id,
            disks=disks,
            ovf=data.encode(),
            hardware=hardware,
            status="image_locked",
        )
        job = Job(f"Importing VM {name} from configuration", query.get("correlation_id", ""))
        self.state.machines[identity] = machine
        self.state.jobs[job.id] = job

        def end(status: str) -> None:
            job.status, machine.status = status, "down"
            if status != "finished":
                self.state.machines.pop(identity, None)

        self._later(self.behaviour.job, end)
        return 202, documents.machine(machine)

    def remove_machine(self, query: Query, identity: str) -> Answer:
        """Remove a virtual machine, and its disks unless they are to be detached."""
        machine = _known(self.state.machines, identity)
        if machine.status == "image_locked":
            raise Refusal(409, f"[Cannot remove VM. {machine.name} is locked.]")
        if query.get("detach_only") != "true":
            for disk in [self.state.disks[each] for each in machine.disks]:
                self._drop(disk)
        del self.state.machines[identity]
        return 200, element("action", status="complete")

    def list_jobs(self, query: Query) -> Answer:
        """List jobs; search: ``correlation_id=ID``."""
        wanted = searched(query, "correlation_id")
        found = [job for job in self.state.jobs.values() if wanted in {None, job.correlation}]
        return 200, collection("jobs", map(documents.job, found))

    def _later(self, end: str, happen: Callable[[str], None]) -> None:
        if end != "never":
            self.state.later(self.behaviour.delay, lambda: happen(end))


#: Method, path below the API, name in the fault table, and the call. A call of POST gets the body last.
ROUTES: tuple[tuple[str, re.Pattern[str], str, str], ...] = tuple(
    (method, re.compile(f"{pattern}$"), name, call)
    for method, pattern, name, call in (
        ("GET", "/datacenters", "data_centers.list", "list_data_centers"),
        ("GET", "/datacenters/([^/]+)/storagedomains", "storage_domains.attached", "list_attached"),
        ("GET", "/datacenters/([^/]+)/clusters", "clusters.of_data_center", "list_clusters_of"),
        ("GET", "/clusters", "clusters.list", "list_clusters"),
        ("GET", "/storagedomains", "storage_domains.list", "list_storage_domains"),
        ("GET", "/hosts", "hosts.list", "list_hosts"),
        ("GET", "/disks", "disks.list", "list_disks"),
        ("POST", "/disks", "disks.add", "add_disk"),
        ("GET", "/disks/([^/]+)", "disks.get", "get_disk"),
        ("DELETE", "/disks/([^/]+)", "disks.remove", "remove_disk"),
        ("GET", "/imagetransfers", "transfers.list", "list_transfers"),
        ("POST", "/imagetransfers", "transfers.add", "add_transfer"),
        ("GET", "/imagetransfers/([^/]+)", "transfers.get", "get_transfer"),
        ("POST", "/imagetransfers/([^/]+)/finalize", "transfers.finalize", "finalize_transfer"),
        ("POST", "/imagetransfers/([^/]+)/cancel", "transfers.cancel", "cancel_transfer"),
        ("GET", "/vms", "vms.list", "list_machines"),
        ("POST", "/vms", "vms.add", "add_machine"),
        ("GET", "/vms/([^/]+)", "vms.get", "get_machine"),
        ("DELETE", "/vms/([^/]+)", "vms.remove", "remove_machine"),
        ("GET", "/jobs", "jobs.list", "list_jobs"),
    )
)


def searched(query: Query, key: str) -> str | None:
    """Return the value that a search asks for; ``KEY=WORD`` and ``KEY="WORD"`` are understood, and nothing else."""
    search = query.get("search")
    if search is None:
        return None
    found = re.fullmatch(rf'{re.escape(key)}=(?:"([^"*]*)"|([\w.-]+))', search)
    if found is None:
        raise Refusal(400, f"[Search is invalid: {search}]")
    return found.group(1) if found.group(1) is not None else found.group(2)


def _known(things: Mapping[str, Any], identity: str) -> Any:
    if identity not in things:
        raise Refusal(404, f"[Entity not found: {identity}]")
    return things[identity]
