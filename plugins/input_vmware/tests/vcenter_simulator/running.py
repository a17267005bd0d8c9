# SPDX-License-Identifier: GPL-2.0-or-later
"""Building and running the simulator, and making machines in it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import ssl
import subprocess
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCES = tuple(Path(__file__).with_name(name) for name in ("main.go", "export.go"))

USER, PASSWORD = "administrator@vsphere.local", "pass word with 'quotes' & more"
#: The user whom an ESXi host lets in.
ROOT = "root"
#: A user whom the vCenter knows, without any role.
STRANGER = "stranger@vsphere.local"

#: Where Debian's package has govmomi.
_GO = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": ""}


@dataclass(frozen=True)
class Vcenter:
    """A running simulator: where it listens, its certificate, and the directory of its datastore."""

    port: int
    certificate: Path
    datastore: Path
    password_file: Path
    esx: bool = False

    @property
    def user(self) -> str:
        """Return the name of the user who may log in."""
        return ROOT if self.esx else USER

    @property
    def uri(self) -> str:
        """Return the value of -ic for the user who may log in."""
        return self.uri_for(self.user)

    def uri_for(self, user: str, scheme: str = "https") -> str:
        """Return the value of -ic for a user."""
        return f"{scheme}://{user.replace('@', '%40')}@localhost:{self.port}/"

    @property
    def options(self) -> tuple[str, ...]:
        """Return the words of a command line that name the server, the password file and the certificate."""
        return ("-ic", self.uri, "-ip", str(self.password_file), "-io", f"ca-file={self.certificate}")

    @contextlib.contextmanager
    def service(self) -> Iterator[Any]:
        """Log in with pyvmomi; the host name in the certificate is not checked."""
        from pyVim.connect import Disconnect, SmartConnect

        context = ssl.create_default_context(cafile=self.certificate)
        context.check_hostname = False
        found = SmartConnect(host="localhost", port=self.port, user=self.user, pwd=PASSWORD, sslContext=context)
        try:
            yield found
        finally:
            Disconnect(found)

    def add_vm(
        self,
        name: str,
        disks: Sequence[Path],
        *,
        devices: Sequence[Any] = (),
        places: Sequence[tuple[int, int]] = (),
        backing: Callable[[str], Any] | None = None,
        **settings: Any,
    ) -> str:
        """Make a virtual machine of raw images, which are linked into the datastore as flat VMDKs; return its moref.

        :param devices: in addition to the disks, one paravirtual SCSI controller (key 1000) and one NIC.
        :param places: for each disk the key of its controller and its unit number there.
        :param backing: makes the backing of a disk from the path of its file. :param settings: of vim.vm.ConfigSpec.
        """
        from pyVim.task import WaitForTask
        from pyVmomi import vim

        device = vim.vm.device
        with self.service() as service:
            content = service.RetrieveContent()
            datacenter = content.rootFolder.childEntity[0]
            store = datacenter.datastoreFolder.childEntity[0].name
            directory = self.datastore / name
            directory.mkdir()
            scsi = device.ParaVirtualSCSIController(key=1000, busNumber=0, sharedBus="noSharing")
            hardware: list[Any] = [scsi, *devices]
            for number, image in enumerate(disks):
                file = f"{name}_{number}" if number else name
                (directory / f"{file}.vmdk").write_text("# Disk DescriptorFile\n")
                (directory / f"{file}-flat.vmdk").symlink_to(image)
                path = f"[{store}] {name}/{file}.vmdk"
                made = (backing or _flat)(path)
                size = image.stat().st_size
                controller, unit = places[number] if places else (1000, number)
                hardware.append(
                    device.VirtualDisk(
                        key=2000 + number,
                        controllerKey=controller,
                        unitNumber=unit,
                        backing=made,
                        capacityInKB=size // 1024,
                        capacityInBytes=size,
                    )
                )
            network = device.VirtualEthernetCard.NetworkBackingInfo(deviceName="VM Network")
            hardware.append(
                device.VirtualVmxnet3(key=4000, backing=network, macAddress="00:50:56:01:02:03", addressType="assigned")
            )
            changes = [vim.vm.device.VirtualDeviceSpec(operation="add", device=each) for each in hardware]
            spec = vim.vm.ConfigSpec(
                name=name,
                memoryMB=settings.pop("memoryMB", 1024),
                numCPUs=settings.pop("numCPUs", 2),
                files=vim.vm.FileInfo(vmPathName=f"[{store}] {name}/{name}.vmx"),
                deviceChange=changes,
                **settings,
            )
            compute = datacenter.hostFolder.childEntity[0]
            task = datacenter.vmFolder.CreateVM_Task(config=spec, pool=compute.resourcePool, host=compute.host[0])
            WaitForTask(task, si=service)
            return str(task.info.result._moId)

    def stream_of(self, name: str, number: int) -> Path:
        """Return the file whose content an export sends for a disk of a machine, counted from 0."""
        return (
            self.datastore / name / f"{name}_{number}-export.vmdk"
            if number
            else self.datastore / name / f"{name}-export.vmdk"
        )

    def control(self, what: str) -> str:
        """Call an interface that only the simulator has: ``expire`` all sessions, ``count`` logins (``main.go``)."""
        context = ssl.create_default_context(cafile=self.certificate)
        with urllib.request.urlopen(f"https://localhost:{self.port}/control/{what}", context=context) as answer:
            return str(answer.read().decode())


def _flat(path: str) -> Any:
    from pyVmomi import vim

    return vim.vm.device.VirtualDisk.FlatVer2BackingInfo(fileName=path, diskMode="persistent")


def built() -> Path:
    """Build the simulator, once for each version of its source, and return the path of the program.

    It is kept where ``V2V_TEST_CACHE`` says, by default in ``~/.cache/v2v-test-guests``.
    """
    cache = Path(os.environ.get("V2V_TEST_CACHE") or Path.home() / ".cache" / "v2v-test-guests")
    cache.mkdir(parents=True, exist_ok=True)
    source = b"".join(each.read_bytes() for each in SOURCES)
    program = cache / f"vcenter-simulator-{hashlib.sha256(source).hexdigest()[:12]}"
    if not program.exists():
        fresh = program.with_suffix(f".{os.getpid()}")
        environment = {**os.environ, **_GO, "GOCACHE": str(cache / "go-build")}
        subprocess.run(["go", "build", "-o", fresh, "."], cwd=SOURCES[0].parent, env=environment, check=True)
        fresh.rename(program)
    return program


@contextlib.contextmanager
def running_vcenter(
    directory: Path, *, esx: bool = False, datastore: str = "", datacenters: int = 1, name: str = "localhost"
) -> Iterator[Vcenter]:
    """Run a vCenter, or an ESXi host, on loopback.

    :param directory: must not exist yet. :param datastore: name of the datastore, instead of the simulator's default.
    :param datacenters: how many the vCenter has; with more than one, ``add_vm`` cannot be used.
    :param name: host name in the certificate.
    """
    program = built()
    directory.mkdir(mode=0o700)
    certificate, key, password = directory / "certificate.pem", directory / "key.pem", directory / "password"
    password.write_text(f"{PASSWORD}\n")
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    argv += ["-addext", f"subjectAltName=DNS:{name}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(argv, check=True, capture_output=True)
    argv = [str(program), "-certificate", str(certificate), "-key", str(key), "-password-file", str(password)]
    argv += ["-datastore", datastore, "-datacenters", str(datacenters)]
    if esx:
        argv += ["-esx", "-user", ROOT]
    log = (directory / "log").open("w")
    server = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, "TMPDIR": str(directory)}
    )
    try:
        assert server.stdout is not None
        address, place = server.stdout.readline().strip(), server.stdout.readline().strip()
        if not place:
            raise RuntimeError(f"the simulator does not start:\n{(directory / 'log').read_text()}")
        yield Vcenter(int(address.rpartition(":")[2]), certificate, Path(place), password, esx)
    finally:
        server.terminate()
        server.wait(20)
        log.close()
        assert server.stdout is not None
        server.stdout.close()
