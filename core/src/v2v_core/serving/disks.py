# SPDX-License-Identifier: GPL-2.0-or-later
"""Serving the disks of a source and of a destination: from a description to a running endpoint.

::

    source       image ◀── qemu-nbd base1 (read-only)
                 image ◀── overlay/disk1.qcow2 ◀── qemu-nbd in1           a local image
                 nbdkit base1 ◀── overlay/disk1.qcow2 ◀── qemu-nbd in1    anything else
                 nbdkit far1 ◀── qemu-nbd base1 (read-only, one connection) ◀── overlay … in1
                                                                          where a second connection hurts
    in place     image ◀── qemu-nbd in1,  or  nbdkit in1                  no overlay: it is the guest that is changed
    destination  image ◀── qemu-nbd out1, or  nbdkit out1

The overlay of a local image is opened above the image itself, not above its ``base1``: the conversion then reads
through one program less.
"""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

from v2v_core import processes
from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import CommandError, DestinationError, SourceError, V2VError
from v2v_core.model import DiskEndpoint, DiskService, NbdkitPlugin, NbdUri, QemuImage
from v2v_core.nbd_uri import nbd_uri, size_of
from v2v_core.reporting import StepReport
from v2v_core.served import ServedDisk
from v2v_core.serving.nbdkit import nbdkit_argv, secrets_in_files
from v2v_core.serving.qemu_nbd import Node, block_node, create_overlay, nbd_node, qemu_nbd_argv, qemu_nbd_environment
from v2v_core.serving.server import start_server
from v2v_core.space import TEMPORARY_HINT, overlay_name


def serve_source(
    directory: ConversionDir,
    index: int,
    service: DiskService,
    origin: str,
    *,
    in_place: bool,
    report: StepReport,
    keep_overlay: bool = False,
    only_missing: bool = False,
) -> ServedDisk:
    """Serve a disk of the source on ``in<index>``: under an overlay, so that it is never written, unless in place.

    :param origin: what to call the disk in an error.
    :param keep_overlay: the overlay exists, and what it holds is kept.
    :param only_missing: leave servers of an earlier call alone if they still run.
    :raises SourceError: it cannot be served.
    """
    service = without_secrets(directory, "in", index, service)
    known = running_servers(directory) if only_missing else frozenset()
    try:
        if in_place:
            endpoint = _serve(directory, "in", index, service, report, known)
            return ServedDisk(index=index, size=_size(endpoint), uri=endpoint.uri, service=service, origin=origin)
        if not keep_overlay:
            known -= {f"in{index}"}
            if only_missing:
                processes.stop(directory.path, lambda process: process.server == f"in{index}")
        base, below = _serve_base(directory, index, service, report, known)
        overlay = directory.overlay / overlay_name(index)
        if not keep_overlay:
            overlay.unlink(missing_ok=True)
            create_overlay(overlay, below)
        socket = directory.socket("in", index)
        node = {"driver": "qcow2", "file": {"driver": "file", "filename": str(overlay)}}
        argv = qemu_nbd_argv(node, socket, scratch=True)
        endpoint = _start(directory, socket.name, argv, index, report, qemu_nbd_environment(), known)
    except V2VError as err:
        hint = err.hint or _hint(err)
        raise SourceError(f"disk {index} ({origin}) cannot be opened: {_reason(err)}", hint=hint) from err
    return ServedDisk(
        index=index,
        size=_size(endpoint),
        uri=endpoint.uri,
        base=base.uri,
        overlay=overlay,
        service=service,
        origin=origin,
    )


def serve_destination(directory: ConversionDir, index: int, service: DiskService, report: StepReport) -> DiskEndpoint:
    """Serve the destination of a disk on ``out<index>``. An NBD URI is used as it is, because it is served already.

    :return: the endpoint, with its size.
    :raises DestinationError: it cannot be served, or its server does not report its size.
    """
    service = without_secrets(directory, "out", index, service)
    try:
        if isinstance(service, NbdUri):
            return DiskEndpoint(index=index, uri=service.uri, size=size_of(service.uri))
        return _serve(directory, "out", index, service, report)
    except V2VError as err:
        raise DestinationError(
            f"the destination of disk {index} cannot be opened: {_reason(err)}", hint=err.hint or _hint(err)
        ) from err


def without_secrets(directory: ConversionDir, kind: str, index: int, service: DiskService) -> DiskService:
    """Return a service in a form that can be stored: with its secrets in files of the directory, which nbdkit reads.

    :param kind: ``in`` or ``out``.
    """
    return secrets_in_files(service, directory.private("input" if kind == "in" else "output"), f"{kind}{index}")


def written_file(service: DiskService) -> Path | None:
    """Return the local file or device that a destination writes; None if its server has the data elsewhere."""
    if isinstance(service, QemuImage):
        return service.path
    if isinstance(service, NbdkitPlugin) and service.name == "file":
        return next((Path(value) for name, value in service.parameters if name == "file"), None)
    return None


def openable(image: QemuImage, place: Path, name: str) -> QemuImage:
    """Return an image with a path that can be passed to qemu.

    qemu takes the path as JSON, which is Unicode, but the name of a file may be any bytes. A path that is not UTF-8 is
    replaced by that of a symbolic link to it.

    :param place: a directory of mode 0700 for the link. :param name: of the link.
    """
    if image.backing is not None:
        image = dataclasses.replace(image, backing=openable(image.backing, place, f"{name}-backing"))
    if not _is_utf8(image.path):
        link = place / f"{name}-image"
        link.unlink(missing_ok=True)
        link.symlink_to(image.path.absolute())
        return dataclasses.replace(image, path=link)
    return image


def _is_utf8(path: Path) -> bool:
    """Return whether qemu finds the file by the text of its path: in other locales, the text has other bytes."""
    try:
        return str(path).encode() == os.fsencode(path)
    except UnicodeEncodeError:
        return False


def _serve_base(
    directory: ConversionDir, index: int, service: DiskService, report: StepReport, known: frozenset[str]
) -> tuple[DiskEndpoint, Node]:
    """Serve the disk as the source has it, read-only; return the endpoint, and the node to put the overlay on."""
    socket = directory.socket("base", index)
    if isinstance(service, QemuImage):
        node = block_node(openable(service, directory.private("input"), f"in{index}"))
        argv = qemu_nbd_argv(node, socket, readonly=True)
        return _start(directory, socket.name, argv, index, report, qemu_nbd_environment(), known), node
    plugin = _as_nbdkit(service)
    if plugin.single:
        # qemu-nbd takes any number of clients, and reads the source through one connection for all of them
        far = directory.socket("far", index)
        argv = nbdkit_argv(plugin, far, readonly=True)
        _start(directory, far.name, argv, index, report, _environment(service), known)
        argv, environment = qemu_nbd_argv(nbd_node(far), socket, readonly=True), qemu_nbd_environment()
    else:
        argv, environment = nbdkit_argv(plugin, socket, readonly=True), _environment(service)
    return _start(directory, socket.name, argv, index, report, environment, known), nbd_node(socket)


def _size(endpoint: DiskEndpoint) -> int:
    return endpoint.size if endpoint.size is not None else size_of(endpoint.uri)


def _serve(
    directory: ConversionDir,
    kind: str,
    index: int,
    service: DiskService,
    report: StepReport,
    known: frozenset[str] = frozenset(),
) -> DiskEndpoint:
    """Serve a disk as it is, writable."""
    socket = directory.socket(kind, index)
    if isinstance(service, QemuImage):
        place = directory.private("input" if kind == "in" else "output")
        argv = qemu_nbd_argv(block_node(openable(service, place, f"{kind}{index}")), socket)
    else:
        argv = nbdkit_argv(_as_nbdkit(service), socket, readonly=False)
    return _start(directory, socket.name, argv, index, report, _environment(service), known)


def running_servers(directory: ConversionDir) -> frozenset[str]:
    """Return the names of the servers that run now: ``in1``, ``out1`` …"""
    return frozenset(process.server for process in processes.find(directory.path) if process.server is not None)


def _as_nbdkit(service: NbdkitPlugin | NbdUri) -> NbdkitPlugin:
    if isinstance(service, NbdkitPlugin):
        return service
    # through nbdkit, for its retries and its TLS, and so that the far end sees one connection
    return NbdkitPlugin(name="nbd", parameters=(("uri", service.uri), ("shared", "true")), remote=True)


def _environment(service: DiskService) -> dict[str, str]:
    if isinstance(service, QemuImage):
        return qemu_nbd_environment()
    return dict(service.environment) if isinstance(service, NbdkitPlugin) else {}


def _start(
    directory: ConversionDir,
    name: str,
    argv: list[str],
    index: int,
    report: StepReport,
    environment: dict[str, str],
    known: frozenset[str] = frozenset(),
) -> DiskEndpoint:
    socket = directory.path / name
    if name in known:
        return DiskEndpoint(index=index, uri=nbd_uri(socket), size=size_of(nbd_uri(socket)))
    report.debug(f"disk {index}: {argv}")
    size = start_server(directory, name, argv, socket, environment=environment)
    return DiskEndpoint(index=index, uri=nbd_uri(socket), size=size)


#: Lines that qemu prints after the one with the reason.
_AFTERTHOUGHTS = ("Could not open backing image", "Is another process using the image")


_BLOCK_NODE = re.compile(r"^(?:qemu-\w+: )?[^']*'json:\{.*\}': ")


def _reason(error: V2VError) -> str:
    if isinstance(error, CommandError):
        lines = [line.strip() for line in error.stderr_tail.splitlines() if line.strip()]
        lines = [line for line in lines if not line.startswith(_AFTERTHOUGHTS)]
        # qemu begins with the whole block node; what went wrong comes after it
        last = _BLOCK_NODE.sub("", lines[-1]) if lines else error.message
        return last.removeprefix(f"{error.argv[0]}: ").removeprefix("error: ")
    return error.message


def _hint(error: V2VError) -> str | None:
    text = error.stderr_tail.lower() if isinstance(error, CommandError) else ""
    if "failed to get" in text and " lock" in text:
        return "it is in use: shut the guest down, and stop any other program that has the image open"
    if "permission denied" in text:
        return "make it readable for this user, or run this as a user who can read it"
    if "no space left" in text:
        return TEMPORARY_HINT
    if "connect" in text:
        return "check that the server runs, that its address is right, and that this machine reaches it"
    return None
