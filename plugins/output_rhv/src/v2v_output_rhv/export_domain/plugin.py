# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o rhv -os EXPORT-DOMAIN``: the hooks. oVirt imports the guest from the images and the OVF in the domain.

The images have their final names from the beginning. oVirt does not look for them until the OVF, which is written last,
refers to them::

    UUID/images/IMAGE/VOLUME        the disk
    UUID/images/IMAGE/VOLUME.meta   its description for VDSM
    UUID/master/vms/VM/VM.ovf       the guest
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from v2v_core.api import (
    AbortResult,
    OutputAbortRequest,
    OutputCheckRequest,
    OutputFinalizeRequest,
    OutputHooks,
    OutputPrecheckRequest,
    OutputResult,
    OutputSetup,
    OutputSetupRequest,
    OwnedObject,
    PluginOption,
    Reporter,
    V2VError,
    hookimpl,
)
from v2v_core.output_files import DiskFile, make_disk
from v2v_output_rhv.export_domain.checks import check_destination, check_place, check_settings
from v2v_output_rhv.export_domain.ownership import VdsmFiles
from v2v_output_rhv.export_domain.storage import Storage, naming_failures
from v2v_output_rhv.ovf import PROFILE, Flavour, OvfDisk, build_ovf
from v2v_output_rhv.volumes import check_sizes, volume_metadata

#: Kinds of objects in the ledger.
_MOUNT = "nfs-mount"
_IMAGE = "export-domain-image"
_GUEST = "export-domain-guest"


class ExportDomainOutput(OutputHooks):
    """Write a guest into the export storage domain ``-os``."""

    api_version = 1
    summary = "an export storage domain of oVirt or RHV, over NFS or in a directory"
    options: tuple[PluginOption, ...] = ()
    capabilities = ("ovf:ovirtexp",)
    profile = PROFILE

    @hookimpl
    def v2v_output_precheck(self, request: OutputPrecheckRequest) -> None:
        """Check the options, the programs, the domain and permissions. Create nothing.

        A guest of the same name need not be looked for: a domain holds any number of them, under their ids.
        """
        check_settings(request.settings)
        check_place(request)

    @hookimpl
    def v2v_output_check(self, request: OutputCheckRequest) -> None:
        """Check the options, the disks, the programs, the domain, permissions and free space. Create nothing."""
        check_settings(request.settings)
        check_destination(request)

    @hookimpl
    def v2v_output_setup(self, request: OutputSetupRequest) -> OutputSetup:
        """Mount the domain, and create the images."""
        settings = request.settings
        check_settings(settings)
        check_sizes("-o rhv", request.disks)
        storage = Storage.of(settings, request.directory)
        if storage.is_nfs:
            request.ledger.record(_MOUNT, str(storage.local))
        storage.mount()
        domain = storage.domain()
        disks = tuple(_make_disks(request, storage, domain / "images"))
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
            # on NFS, the domain is mounted below the directory of the run: after a reboot, it is not mounted
            rewritable=not storage.is_nfs,
        )

    @hookimpl
    def v2v_output_finalize(self, request: OutputFinalizeRequest) -> OutputResult:
        """Write the descriptions of the images, then the OVF, and unmount the domain."""
        storage = Storage.of(request.settings, request.directory)
        storage.mount()
        domain = storage.path(request.state["domain"])
        with naming_failures(f"the guest cannot be written to {storage.named(domain)}"), VdsmFiles(domain) as files:
            disks = dict(_described_disks(files, request.state, domain.name))
            ovf = _write_guest(request, files, domain, storage, disks)
            not_vdsms = [place for place in (*disks, ovf, str(Path(ovf).parent)) if not files.is_vdsms(place)]
        if not_vdsms:
            _warn_of_owner(storage, domain, not_vdsms, request.report)
        _unmount(storage, request.report)
        return OutputResult(created=tuple(storage.named(domain / place) for place in (*disks, ovf)))

    @hookimpl
    def v2v_output_abort(self, request: OutputAbortRequest) -> AbortResult:
        """Remove the guest and the images, and unmount the domain. If one of them fails, the next attempt goes on."""
        storage = Storage.of(request.settings, request.directory)
        created = [thing for thing in reversed(request.owned) if thing.kind in {_GUEST, _IMAGE}]
        try:
            if created:
                # if the machine was restarted in between, the domain is no longer mounted
                storage.mount()
            left = [thing for thing in created if not _remove(storage, thing, request.report)]
        except V2VError as err:
            request.report.warning(f"the unfinished guest could not be removed from {storage.name}: {err.message}")
            left = created
        # the next attempt mounts the domain again
        mount_stays = not _unmount(storage, request.report) or bool(left)
        return AbortResult(
            left=tuple(thing for thing in request.owned if thing in left or (thing.kind == _MOUNT and mount_stays))
        )


def _make_disks(request: OutputSetupRequest, storage: Storage, images: Path) -> Iterator[DiskFile]:
    """Create an image for each disk."""
    settings = request.settings
    with naming_failures(f"no image can be made in {storage.named(images)}"), VdsmFiles(images) as files:
        for disk in request.disks:
            image, volume = images / str(uuid.uuid4()), str(uuid.uuid4())
            request.ledger.record(_IMAGE, storage.named(image))
            files.make_directory(image.name)
            made = DiskFile(
                index=disk.index,
                written=image / volume,
                final=Path(storage.named(image / volume)),
                # known: core has served the source by now
                size=disk.size or 0,
                format=settings.format,
            )
            preallocated = settings.allocation == "preallocated"
            make_disk(made, request.ledger, preallocated=preallocated, opener=files.open_new_disk)
            yield made


def _described_disks(files: VdsmFiles, state: Mapping[str, Any], domain_id: str) -> Iterator[tuple[str, OvfDisk]]:
    """Finish each disk and write its ``.meta`` file; yield its path in the domain, and the disk as the OVF has it."""
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
    """Write the OVF, and return its path in the domain. oVirt sees the guest once the OVF has its final name."""
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


def _warn_of_owner(storage: Storage, domain: Path, places: list[str], report: Reporter) -> None:
    """Warn of files that do not belong to VDSM, and say how the administrator gives them to it."""
    directories = sorted({f"{domain.name}/{Path(place).parent}" for place in places} - {f"{domain.name}/master/vms"})
    report.warning(
        "the files of the guest do not belong to user and group 36 (vdsm, kvm), and oVirt may be unable to import it;"
        f" as root, in {storage.name}, run: chown -R 36:36 {' '.join(directories)}"
    )


def _unmount(storage: Storage, report: Reporter) -> bool:
    """Unmount the domain, or warn. Return whether it is no longer mounted."""
    try:
        storage.unmount()
    except V2VError as err:
        report.warning(f"{storage.name} is still mounted on {storage.local}: {err.message}")
        return False
    return True


def _remove(storage: Storage, thing: OwnedObject, report: Reporter) -> bool:
    """Remove an image or a guest, or warn. Return whether it is gone."""
    path = storage.path(thing.identity)
    try:
        with VdsmFiles(path.parent) as files:
            files.remove_tree(path.name)
    except OSError as err:
        report.warning(f"{thing.identity} could not be removed and is left behind: {err.strerror}")
        return False
    return True
