# SPDX-License-Identifier: GPL-2.0-or-later
"""What ``-o rhv-upload`` checks before the conversion begins."""

from __future__ import annotations

from collections.abc import Iterable

from v2v_core.api import DestinationError, OutputCheckRequest, OutputPrecheckRequest, UsageError
from v2v_output_rhv.upload.destination import Destination, find_destination
from v2v_output_rhv.upload.disks import check_count, disk_format
from v2v_output_rhv.upload.engine import System, session
from v2v_output_rhv.upload.service import check_client
from v2v_output_rhv.upload.settings import UploadSettings

#: Characters; the longest name that the engine's database holds, and the longest that an engine accepts by default.
_LONGEST_NAME, _USUAL_LIMIT = 255, 64


def check_place(request: OutputPrecheckRequest, settings: UploadSettings) -> None:
    """Check what does not depend on the guest, and the name if it is known. Create nothing.

    :raises UsageError: the options do not fit the storage. :raises DestinationError: something prevents the output.
    """
    check_client()
    with session(settings) as system:
        destination = find_destination(system, settings)
        disk_format(request.settings, block=destination.block)
        check_space(destination, 0, known=False)
        if request.settings.name:
            # a warning comes with the check, which is called for every guest
            check_name(system, request.settings.name)
        check_disk_uuids(system, settings.disk_uuids)


def check_destination(request: OutputCheckRequest, settings: UploadSettings) -> None:
    """Check the engine, storage, cluster, names, ids and programs. Create nothing.

    :raises UsageError: the options do not fit the guest or the storage.
    :raises DestinationError: something prevents the output.
    """
    check_count(settings.disk_uuids, len(request.guest.disks))
    check_client()
    with session(settings) as system:
        destination = find_destination(system, settings)
        form, sparse = disk_format(request.settings, block=destination.block)
        needed = sum(disk.size or 0 for disk in request.guest.disks)
        check_space(destination, needed, known=destination.block or not sparse)
        warning = check_name(system, request.settings.name)
        check_disk_uuids(system, settings.disk_uuids)
    if warning is not None:
        request.report.warning(warning)
    if form != request.settings.format:
        request.report.info(f"{destination.storage_name} is block storage: sparse disks on it are {form}")


def check_space(destination: Destination, needed: int, *, known: bool) -> None:
    """Check that the storage domain has space for the disks.

    :param needed: bytes. :param known: exactly so much will be used; otherwise ``needed`` is an upper limit.
    :raises DestinationError: there is not enough space.
    """
    if destination.free is None:
        return
    usable = destination.free - destination.reserve
    if usable <= 0 or (known and usable < needed):
        raise DestinationError(
            f"there is not enough space in the storage domain {destination.storage_name!r}: {needed} bytes are needed, "
            f"{destination.free} are free"
            + (f", of which {destination.reserve} are reserved" if destination.reserve else ""),
            hint="free some space, or name another storage domain with -os",
        )


def check_name(system: System, name: str) -> str | None:
    """Check that the guest can have its name. Return a warning if the name may be refused later.

    :raises UsageError: no engine accepts the name. :raises DestinationError: another virtual machine has the name.
    """
    if not name or len(name) > _LONGEST_NAME or not all(c.isalpha() or c in "0123456789_.-" for c in name):
        shown = name if len(name) <= _USUAL_LIMIT else f"{name[:_USUAL_LIMIT]}…"
        raise UsageError(
            f"the engine accepts no virtual machine called {shown!r}",
            hint="choose another name with -on: letters, digits, - _ and ., at most 64 of them",
        )
    # quoted: the name can be a keyword of the engine's search language
    if any(found.name == name for found in system.vms_service().list(search=f'name="{name}"', case_sensitive=True)):
        raise DestinationError(
            f"the engine has a virtual machine {name!r} already",
            hint="remove it, or choose another name with -on; --overwrite replaces no virtual machine of an engine",
        )
    if len(name) > _USUAL_LIMIT:
        return f"the name is longer than {_USUAL_LIMIT} characters: an engine with the default settings will refuse it"
    return None


def check_disk_uuids(system: System, disk_uuids: Iterable[str]) -> None:
    """Check that the engine has no disks with these ids.

    :raises DestinationError: it has one.
    """
    import ovirtsdk4 as sdk

    for disk_uuid in disk_uuids:
        try:
            disk = system.disks_service().disk_service(disk_uuid).get()
        except sdk.NotFoundError:
            continue
        raise DestinationError(
            f"the engine has a disk {disk_uuid} already ({disk.name or disk.alias})",
            hint="choose another -oo rhv-disk-uuid",
        )


def check_architecture(architecture: str, *, cluster: str, offered: str) -> None:
    """Check that the cluster has the architecture of the guest.

    :param cluster: its name. :param offered: its architecture, as the engine names it.
    :raises DestinationError: it has another one.
    """
    wanted = {"ppc64le": "ppc64", "i386": "x86_64", "i486": "x86_64", "i586": "x86_64", "i686": "x86_64"}
    if wanted.get(architecture, architecture) != offered:
        raise DestinationError(
            f"the cluster {cluster!r} is {offered}, the guest is {architecture}",
            hint="name a cluster of that architecture with -oo rhv-cluster",
        )
