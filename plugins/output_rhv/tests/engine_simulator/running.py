# SPDX-License-Identifier: GPL-2.0-or-later
"""An engine with a data centre, a cluster, storage and a host, ready for an upload, on loopback."""

from __future__ import annotations

import contextlib
import shutil
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine_simulator.faults import Behaviour, Fault, FaultTable
from engine_simulator.resources import Resources
from engine_simulator.server import Api, Listener
from engine_simulator.state import Cluster, DataCenter, Disk, Host, Machine, State, StorageDomain, Transfer
from engine_simulator.storage import make_image, read_image
from engine_simulator.transfers import VALIDITY, TransferHost
from imageio_daemon import ImageioDaemon, running_imageio
from v2v_core.testing import Certificates

USER, PASSWORD = "admin@internal", "pass word with 'quotes' & more"
HARDWARE_ID = "5e3f2a10-0000-4000-8000-00000000beef"


@dataclass
class EngineSimulator:
    """A running simulator, and what a test asks and tells it."""

    certificates: Certificates
    directory: Path
    password_file: Path
    api: Api
    listener: Listener
    host: TransferHost
    daemon: ImageioDaemon

    @property
    def port(self) -> int:
        """The port of the API."""
        return self.listener.port

    @property
    def state(self) -> State:
        """Everything that the engine knows."""
        return self.api.resources.state

    @property
    def behaviour(self) -> Behaviour:
        """How jobs and transfers end."""
        return self.api.resources.behaviour

    @property
    def uri(self) -> str:
        """Return the value of -oc."""
        return f"https://{USER}@localhost:{self.port}/ovirt-engine/api"

    @property
    def options(self) -> tuple[str, ...]:
        """Return the words of a command line that name the engine, the password file, the storage and the authority."""
        ca_file = f"rhv-cafile={self.certificates.authority}"
        return ("-oc", self.uri, "-op", str(self.password_file), "-os", "data1", "-oo", ca_file)

    @property
    def faults(self) -> dict[str, Fault]:
        """The fault table."""
        return self.api.faults.faults

    @property
    def calls(self) -> list[str]:
        """Return the API calls that were made, in order."""
        return self.api.calls

    def domain(self, name: str) -> StorageDomain:
        """Return a storage domain by name."""
        return next(domain for domain in self.state.storage_domains.values() if domain.name == name)

    def add_disk(self, name: str, **more: str) -> Disk:
        """Add a disk of another user to the storage domain ``data1``."""
        domain = self.domain("data1")
        disk = Disk(
            id=more.get("id", ""),
            alias=name,
            storage_domain=domain.id,
            size=65536,
            format="raw",
            sparse=True,
            image=domain.directory / name,
            description=more.get("description", "somebody else's"),
            status="ok",
        )
        disk.id = disk.id or disk.image_id
        make_image(disk)
        self.state.disks[disk.id] = disk
        return disk

    def add_machine(self, name: str) -> Machine:
        """Add a virtual machine of another user, with one disk."""
        disk = self.add_disk(f"{name}-disk")
        cluster = next(iter(self.state.clusters))
        machine = Machine(disk.image_id, name, cluster, [disk.id], b"", {})
        self.state.machines[machine.id] = machine
        return machine

    def content(self, disk_id: str) -> bytes:
        """Return the content of a disk, as its guest reads it."""
        return read_image(self.state.disks[disk_id])

    def running_transfers(self) -> list[Transfer]:
        """Return the transfers that accept data now."""
        with self.api.lock:
            self.state.catch_up()
            return [transfer for transfer in self.state.transfers.values() if transfer.phase == "transferring"]

    def start_over(self, *, backing: str = "nbd") -> None:
        """Forget all disks, transfers and faults; the servers keep running.

        :param backing: of raw images: ``nbd`` or ``file``.
        """
        with self.api.lock:
            self.host.close_all()
            self.host.backing, self.host.validity, self.host.port = backing, VALIDITY, None
            self.api.resources = Resources(_furnished(self.directory), self.host, Behaviour())
            self.api.faults = FaultTable()
            self.api.calls.clear()
            self.api.tokens.clear()
        self.daemon.start()
        self.listener.start()

    def go_down(self) -> None:
        """Stop answering, as an engine that is restarted or cut off; hosts and transfers go on."""
        self.listener.stop()

    def come_back(self) -> None:
        """Answer again. What there was is still there; sessions are not."""
        self.forget_sessions()
        self.listener.start()

    def pause(self, transfer: Transfer, phase: str = "paused_system") -> None:
        """Stop a transfer, as the engine does when its host is in trouble."""
        with self.api.lock:
            transfer.phase = phase
            self.host.close(transfer)
            self.state.disks[transfer.disk].status = "illegal"

    def forget_sessions(self) -> None:
        """Let every session expire."""
        with self.api.lock:
            self.api.tokens.clear()


@contextlib.contextmanager
def running_engine(directory: Path, *, backing: str = "nbd", local: bool = False) -> Iterator[EngineSimulator]:
    """Run an engine with one host.

    :param directory: is made; its path must be short, there are sockets in it.
    :param backing: of raw images: ``nbd`` or ``file``. :param local: the host's daemon offers its Unix socket.
    """
    directory.mkdir(mode=0o700)
    certificates = Certificates.make(directory / "tls")
    password = directory / "password"
    password.write_text(f"{PASSWORD}\n")
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(running_imageio(directory / "host", certificates, local=local))
        proxy = stack.enter_context(running_imageio(directory / "proxy", certificates, local=False))
        host = TransferHost(daemon, proxy, backing)
        stack.callback(host.stop)
        api = Api(Resources(_furnished(directory), host, Behaviour()), USER, PASSWORD)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificates.certificate, certificates.key)
        listener = Listener(api, context)
        stack.callback(listener.stop)
        listener.start()
        yield EngineSimulator(certificates, directory, password, api, listener, host, daemon)


def _furnished(directory: Path) -> State:
    state = State()
    home, other = DataCenter("Default"), DataCenter("Elsewhere")
    clusters = (
        Cluster("Default", home.id),
        Cluster("Power", home.id, architecture="ppc64"),
        Cluster("New", home.id, architecture="undefined"),
        Cluster("Far", other.id),
    )
    domains = (
        StorageDomain("data1", directory / "data1", home.id),
        StorageDomain("lun1", directory / "lun1", home.id, storage_type="iscsi"),
        StorageDomain("asleep", directory / "asleep", home.id, status="maintenance"),
        StorageDomain("export1", directory / "export1", home.id, type="export"),
        StorageDomain("loose", directory / "loose", None),
    )
    for domain in domains:
        shutil.rmtree(domain.directory, ignore_errors=True)
        domain.directory.mkdir()
    for center in (home, other):
        state.data_centers[center.id] = center
    for cluster in clusters:
        state.clusters[cluster.id] = cluster
    for domain in domains:
        state.storage_domains[domain.id] = domain
    host = Host("host1", clusters[0].id, HARDWARE_ID)
    state.hosts[host.id] = host
    return state
