# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o rhv``: images and OVF of a guest in an export storage domain, from which oVirt imports it.

The images have their names from the beginning, and nobody knows of them before the OVF is there, which comes last::

    UUID/images/IMAGE/VOLUME        the disk
    UUID/images/IMAGE/VOLUME.meta   what VDSM must know of it
    UUID/master/vms/VM/VM.ovf       the guest
"""

from __future__ import annotations

import contextlib
import errno
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from v2v_core.api import (
    HOOK_API_VERSION,
    DestinationError,
    DiskFile,
    OutputAbortRequest,
    OutputCheckRequest,
    OutputFinalizeRequest,
    OutputResult,
    OutputSettings,
    OutputSetup,
    OutputSetupRequest,
    OwnedObject,
    PluginOption,
    Reporter,
    UsageError,
    V2VError,
    check_space,
    hookimpl,
    make_disk,
    require_for_output,
    service_programs,
)
from v2v_output_rhv.export_domain.ownership import VdsmFiles, runs_as_vdsm
from v2v_output_rhv.export_domain.storage import Storage
from v2v_output_rhv.ovf import Flavour, OvfDisk, build_ovf
from v2v_output_rhv.volumes import check_disks, volume_metadata

#: Kinds of objects in the ledger.
_MOUNT = "nfs-mount"
_IMAGE = "export-domain-image"
_GUEST = "export-domain-guest"


class ExportDomainOutput:
    """Write a guest into the export storage domain ``-os``."""

    api_version = HOOK_API_VERSION
    summary = "an export storage domain of oVirt or RHV, over NFS or in a directory"
    capabilities = ("ovf:ovirtexp",)
    options: tuple[PluginOption, ...] = ()
    #: The machines of oVirt have none unless somebody adds one.
    serial_console = False

    @hookimpl
    def v2v_output_check(self, request: OutputCheckRequest) -> None:
        """Check options, disks, programs, the domain, permissions and free space. Create nothing."""
        settings = request.settings
        _check_settings(settings)
        check_disks("-o rhv", request.guest.disks)
        require_for_output(*service_programs(settings.format))
        storage = Storage.of(settings, request.directory)
        with storage.mounted():
            domain = storage.domain()
            with _told(f"{storage.named(domain)} cannot be used"), VdsmFiles(domain) as files:
                for place in ("images", "master/vms"):
                    if not files.can_make_files_in(place):
                        raise DestinationError(
                            f"-o rhv: no files can be made in {storage.named(domain / place)}",
                            hint="run as root, or as the user vdsm; its file system must not be read-only",
                        )
            sizes = [disk.size for disk in request.guest.disks]
            check_space(domain / "images", sizes, preallocated=settings.allocation == "preallocated")
        if not runs_as_vdsm():
            request.report.warning(
                "files of an export storage domain belong to user and group 36 (vdsm, kvm), and only root can give them"
                " away: oVirt may be unable to import the guest"
            )

    @hookimpl
    def v2v_output_setup(self, request: OutputSetupRequest) -> OutputSetup:
        """Mount the domain, and make the images."""
        settings = request.settings
        _check_settings(settings)
        check_disks("-o rhv", request.target.disks)
        storage = Storage.of(settings, request.directory)
        if storage.is_nfs:
            request.ledger.record(_MOUNT, str(storage.local))
        storage.mount()
        domain = storage.domain()
        disks = tuple(_made_disks(request, storage, domain / "images"))
        return OutputSetup(
            disks=tuple(disk.service() for disk in disks),
            state={
                "domain": storage.named(domain),
                "machine": str(uuid.uuid4()),
                "created": datetime.now(UTC).isoformat(),
                "format": settings.format,
                "allocation": settings.allocation,
                "disks": [
                    {
                        "index": disk.index,
                        "image": disk.written.parent.name,
                        "volume": disk.written.name,
                        "size": disk.size,
                    }
                    for disk in disks
                ],
            },
            zeroed=True,
        )

    @hookimpl
    def v2v_output_finalize(self, request: OutputFinalizeRequest) -> OutputResult:
        """Describe the images, then the guest; unmount the domain."""
        storage = Storage.of(request.settings, request.directory)
        storage.mount()
        domain = storage.path(request.state["domain"])
        with _told(f"the guest cannot be written to {storage.named(domain)}"), VdsmFiles(domain) as files:
            disks = dict(_described_disks(files, request.state, domain.name))
            ovf = _write_guest(request, files, domain, storage, disks)
            others = [place for place in (*disks, ovf, str(Path(ovf).parent)) if not files.is_vdsms(place)]
        if others:
            _tell_owner(storage, domain, others, request.report)
        _unmount(storage, request.report)
        return OutputResult(created=tuple(storage.named(domain / place) for place in (*disks, ovf)))

    @hookimpl
    def v2v_output_abort(self, request: OutputAbortRequest) -> None:
        """Remove the guest and the images, and unmount the domain."""
        storage = Storage.of(request.settings, request.directory)
        things = [thing for thing in reversed(request.owned) if thing.kind in {_GUEST, _IMAGE}]
        try:
            if things:
                # a machine that was started anew since has no mounts any more
                storage.mount()
            for thing in things:
                _remove(storage, thing, request.report)
        except V2VError as err:
            left = ", ".join(thing.identity for thing in things)
            request.report.warning(f"these could not be removed and are left, if they are there: {left} ({err})")
        _unmount(storage, request.report)


def _check_settings(settings: OutputSettings) -> None:
    """Refuse options that make no sense.

    :raises UsageError: one was given.
    """
    if settings.password_file is not None:
        raise UsageError("-o rhv: the option -op cannot be used: there is nothing to log in to")
    if settings.format not in {"raw", "qcow2"}:
        raise UsageError(f"-o rhv: the format {settings.format!r} is not supported", hint="use raw or qcow2")


def _made_disks(request: OutputSetupRequest, storage: Storage, images: Path) -> Iterator[DiskFile]:
    """Make an image for each disk."""
    settings = request.settings
    with _told(f"no image can be made in {storage.named(images)}"), VdsmFiles(images) as files:
        for disk in request.target.disks:
            if disk.size is None:
                raise DestinationError(f"-o rhv: the size of disk {disk.index} is not known")
            image, volume = images / str(uuid.uuid4()), str(uuid.uuid4())
            request.ledger.record(_IMAGE, storage.named(image))
            files.make_directory(image.name)
            made = DiskFile(
                index=disk.index,
                written=image / volume,
                final=Path(storage.named(image / volume)),
                size=disk.size,
                format=settings.format,
            )
            preallocated = settings.allocation == "preallocated"
            make_disk(made, request.ledger, preallocated=preallocated, opener=files.open_new_disk)
            yield made


def _described_disks(files: VdsmFiles, state: Mapping[str, Any], domain_id: str) -> Iterator[tuple[str, OvfDisk]]:
    """Finish each disk and write what VDSM must know of it; give its place in the domain, and how the OVF has it."""
    created = datetime.fromisoformat(state["created"])
    for disk in state["disks"]:
        place = f"images/{disk['image']}/{disk['volume']}"
        described = OvfDisk(
            index=disk["index"],
            image_id=disk["image"],
            volume_id=disk["volume"],
            size=disk["size"],
            format=state["format"],
            allocation=state["allocation"],
            actual_size=files.finish_disk(place),
        )
        files.write_file(f"{place}.meta", volume_metadata(described, storage_domain_id=domain_id, created=created))
        files.make_durable(f"images/{disk['image']}")
        yield place, described


def _write_guest(
    request: OutputFinalizeRequest, files: VdsmFiles, domain: Path, storage: Storage, disks: Mapping[str, OvfDisk]
) -> str:
    """Write the OVF, and give its place in the domain. oVirt sees the guest as soon as it has its name."""
    machine = request.state["machine"]
    written = build_ovf(
        request.target,
        name=request.settings.name,
        vm_id=machine,
        storage_domain_id=domain.name,
        disks=tuple(disks.values()),
        flavour=Flavour.EXPORT_DOMAIN,
        created=datetime.fromisoformat(request.state["created"]),
        warn=request.report.warning,
    )
    directory = f"master/vms/{machine}"
    ovf = f"{directory}/{machine}.ovf"
    request.ledger.record(_GUEST, storage.named(domain / directory))
    files.make_directory(directory)
    files.write_file(f"{ovf}.partial", written)
    files.rename(f"{ovf}.partial", ovf)
    for place in (directory, "master/vms", "images"):
        files.make_durable(place)
    return ovf


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Say what was being done when the file system refused something.

    :raises DestinationError: in place of an ``OSError``.
    """
    try:
        yield
    except OSError as err:
        hint = "free some space" if err.errno == errno.ENOSPC else None
        raise DestinationError(f"-o rhv: {what}: {err.strerror}", hint=hint) from err


def _tell_owner(storage: Storage, domain: Path, places: list[str], report: Reporter) -> None:
    directories = sorted({f"{domain.name}/{Path(place).parent}" for place in places} - {f"{domain.name}/master/vms"})
    report.warning(
        "the files of the guest do not belong to user and group 36 (vdsm, kvm), and oVirt may be unable to import it;"
        f" as root, in {storage.name}, run: chown -R 36:36 {' '.join(directories)}"
    )


def _unmount(storage: Storage, report: Reporter) -> None:
    try:
        storage.unmount()
    except V2VError as err:
        report.warning(f"{storage.name} is still mounted on {storage.local}: {err}")


def _remove(storage: Storage, thing: OwnedObject, report: Reporter) -> None:
    path = storage.path(thing.identity)
    try:
        with VdsmFiles(path.parent) as files:
            files.remove_tree(path.name)
    except OSError as err:
        report.warning(f"{thing.identity} could not be removed and is left: {err.strerror}")
