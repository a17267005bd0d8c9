# SPDX-License-Identifier: GPL-2.0-or-later
"""From the records of the served disks to the work of the copy processes: which ends there are, and what names them."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path

from v2v_core import served
from v2v_core.conversion_dir import ConversionDir
from v2v_core.copying import fence
from v2v_core.copying.bandwidth import share_rate
from v2v_core.copying.conversions import name_of_conversion
from v2v_core.copying.messages import Cause
from v2v_core.copying.task import CopyLimits, CopyPass, CopyTask, DestinationEnd, SourceEnd
from v2v_core.errors import CopyError
from v2v_core.file_versions import version_of
from v2v_core.model import DiskEndpoint, DiskService, NbdkitPlugin, QemuImage
from v2v_core.records import to_json
from v2v_core.served import ServedDisk, ServedOutput
from v2v_core.serving import written_file
from v2v_core.settings import CopyChoice, OutputChoice

#: The directory of the journals in a conversion directory.
PLACE = "copy"


def make_tasks(
    directory: ConversionDir, choice: CopyChoice, output: ServedOutput, asked: OutputChoice
) -> list[CopyTask]:
    """Return what the copy processes have to do.

    :param asked: what the user asked of the output.
    :raises CopyError: the file of a source or of a destination is gone.
    """
    place = directory.path / PLACE
    limits = CopyLimits(
        connections=choice.connections,
        request_seconds=choice.request_seconds,
        bandwidth=share_rate(place, choice),
    )
    epoch = fence.current(place)
    token = "" if choice.from_base else name_of_conversion(directory)
    destinations = {disk.index: disk for disk in output.disks}
    services = {disk.index: service for disk, service in zip(output.disks, output.services, strict=False)}
    named = {disk.index: identity for disk, identity in zip(output.disks, output.identities, strict=False)}
    tasks = []
    for disk in served.read_source(directory).disks:
        if disk.base is None and choice.from_base:
            continue
        try:
            source = source_end(disk)
        except OSError as err:
            raise _gone(disk.index, "source", Cause.SOURCE, err) from err
        try:
            destination = _destination_end(
                directory, output, asked, destinations[disk.index], services.get(disk.index), named.get(disk.index)
            )
        except OSError as err:
            raise _gone(disk.index, "destination", Cause.DESTINATION, err) from err
        tasks.append(
            CopyTask(
                index=disk.index,
                size=disk.size,
                source=source,
                destination=destination,
                place=place,
                copy_pass=CopyPass.BASE if choice.from_base else CopyPass.WHOLE,
                conversion=token and f"{token}{_overlay_version(disk)}",
                epoch=epoch,
                hashing=choice.hashing,
                verify=choice.verify,
                limits=limits,
            )
        )
    return tasks


def _gone(index: int, end: str, cause: Cause, err: OSError) -> CopyError:
    return CopyError(
        f"disk {index} could not be copied: its {end} {err.filename} cannot be read: {err.strerror}",
        disk=index,
        hint="bring it back, and run this step again",
        cause=cause,
    )


def is_remote(disk: ServedDisk) -> bool:
    """Return whether the data of a source comes over a network."""
    return isinstance(disk.service, NbdkitPlugin) and disk.service.remote


def is_written_once(output: ServedOutput) -> bool:
    """Return whether a destination cannot be overwritten: qemu refuses to write a compressed cluster again."""
    return any(isinstance(service, QemuImage) and service.compressed for service in output.services)


def source_end(disk: ServedDisk) -> SourceEnd:
    """Describe where a disk is read."""
    service = disk.service
    single = isinstance(service, NbdkitPlugin) and service.single
    return SourceEnd(
        uri=disk.uri,
        base=disk.base,
        overlay=disk.base is not None and disk.overlay is not None,
        file=None if disk.base is None else raw_file(service),
        connections=1 if single else 0,
        identity=disk.uri if service is None else service_identity(service),
        version=disk.version,
    )


def _destination_end(
    directory: ConversionDir,
    output: ServedOutput,
    asked: OutputChoice,
    endpoint: DiskEndpoint,
    service: DiskService | None,
    named: str | None,
) -> DestinationEnd:
    file = None if output.sink else raw_file(service)
    if named is not None:
        identity = f"{output.owner}:{named}"
    elif file is not None:
        identity = f"{output.owner}:{_file_identity(file)}"
    else:
        what = endpoint.uri if service is None else service_identity(service)
        identity = f"{output.owner}:{endpoint.index}:{what}"
    return DestinationEnd(
        uri=endpoint.uri,
        file=file,
        written=None if service is None else written_file(service),
        sink=asked.mode if output.sink else None,
        sink_directory=directory.private("output") if output.sink else None,
        sink_state=json.dumps(dict(output.state)) if output.sink else "{}",
        zeroed=output.zeroed,
        allocation=asked.allocation,
        request_size=output.request_size,
        identity=identity,
    )


def raw_file(service: DiskService | None) -> Path | None:
    """Return the local file or block device whose bytes are those of the disk; None if there is none."""
    if isinstance(service, QemuImage):
        plain = service.backing is None and service.offset is None and service.size is None and not service.compressed
        path = service.path if plain and service.format == "raw" else None
    elif isinstance(service, NbdkitPlugin) and service.name == "file" and not service.filters:
        path = Path(service.parameters[0][1]) if [key for key, _ in service.parameters] == ["file"] else None
    else:
        path = None
    if path is None:
        return None
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    return path if stat.S_ISREG(mode) or stat.S_ISBLK(mode) else None


def service_identity(service: DiskService) -> str:
    """Return what names the disk behind a service. It holds no secret, and is the same after a reboot."""
    if isinstance(service, QemuImage):
        return f"{service.format}:{_file_identity(service.path)}"
    text = json.dumps(to_json(service, DiskService), sort_keys=True)
    # the name is compared, and never shown
    return f"{type(service).__name__}:{hashlib.sha256(text.encode()).hexdigest()}"


def _file_identity(path: Path) -> str:
    # without the number of the device, which may be another one after a reboot (btrfs, NFS, device mapper); that of a
    # node in /dev is another inode, too
    found = path.stat()
    name = os.fsencode(path.absolute()).decode("utf-8", "backslashreplace")
    return name if stat.S_ISBLK(found.st_mode) else f"{name}:{found.st_ino}"


def _overlay_version(disk: ServedDisk) -> str:
    # whatever was written to the disk after the conversion, by hand or by another program, makes it another result
    if disk.overlay is None:
        return ""
    try:
        found = disk.overlay.stat()
    except OSError:
        return ""
    return f"-{found.st_mtime_ns:x}-{found.st_size:x}"


def changed_since(disk: ServedDisk) -> bool:
    """Return whether the local files of a source were changed since it was set up."""
    now = None if disk.service is None else version_of(disk.service)
    return now is not None and disk.version is not None and now != disk.version
