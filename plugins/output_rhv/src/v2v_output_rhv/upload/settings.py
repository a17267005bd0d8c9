# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of ``-o rhv-upload``, and the time limits."""

from __future__ import annotations

import re
import shutil
import uuid
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import unquote, urlsplit

from v2v_core.api import DestinationError, OptionValues, OutputSettings, PluginOption, UsageError

_CA_FILE, _CLUSTER, _DIRECT = "rhv-cafile", "rhv-cluster", "rhv-direct"
_PROXY, _VERIFY, _DISK_UUID = "rhv-proxy", "rhv-verifypeer", "rhv-disk-uuid"

_EXAMPLE = "https://admin@internal@engine.example.com/ovirt-engine/api"
#: The engine accepts no other names of storage domains. Such a name needs no quotes in the engine's search language.
_STORAGE_NAME = re.compile(r"[-A-Za-z0-9_]+", re.ASCII)


def _option(name: str, text: str, *, flag: bool = False, repeatable: bool = False) -> PluginOption:
    alias = name.replace("rhv-", "ovirt-", 1)
    return PluginOption(name=name, help=text, flag=flag, repeatable=repeatable, aliases=(alias,))


OPTIONS = (
    _option(_CA_FILE, "file with the certificate of the authority of the engine and its hosts"),
    _option(_CLUSTER, "cluster for the guest; default: Default"),
    _option(_DIRECT, "upload only straight to the host, never through the engine", flag=True),
    _option(_PROXY, "upload only through the engine: slower, for hosts that cannot be reached from here", flag=True),
    _option(_VERIFY, "verify certificates (default: true; the default of upstream virt-v2v is false)", flag=True),
    _option(_DISK_UUID, "id for a disk instead of a random one; once for each disk, in their order", repeatable=True),
)


class Route(StrEnum):
    """The way of the data: to the host, through the engine, or to the host and, if that fails, through the engine."""

    DIRECT = "direct"
    PROXY = "proxy"
    EITHER = "either"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long the engine may take, in seconds. Tests use shorter limits.

    :param disk: for creating an empty disk.
    :param per_gigabyte: for each 10^9 bytes of a preallocated disk, in addition to ``disk``.
    :param transfer: for starting a transfer. :param finalize: for finalizing a transfer.
    :param machine: for creating the virtual machine. :param removal: for removing one object.
    :param poll: between two requests for a state.
    :param idle: without a request to ovirt-imageio, until one is sent that keeps the transfer alive. The engine gives
        up after a minute at the earliest.
    """

    disk: float = 300
    per_gigabyte: float = 40
    transfer: float = 300
    finalize: float = 600
    machine: float = 300
    removal: float = 120
    poll: float = 1
    idle: float = 20


@dataclass(frozen=True, kw_only=True)
class UploadSettings:
    """The engine, and how to upload.

    :param url: URL of the engine's API. :param host: name or address of the engine.
    :param ca_file: absolute; None for the certificate authorities of this machine.
    :param disk_uuids: one for each disk of the guest, or none.
    """

    url: str
    host: str
    user: str
    password_file: Path = field(repr=False)
    storage: str
    cluster: str = "Default"
    ca_file: Path | None = None
    verify: bool = True
    route: Route = Route.EITHER
    disk_uuids: tuple[str, ...] = ()


def read_settings(settings: OutputSettings, directory: Path) -> UploadSettings:
    """Parse the options.

    :param directory: private directory of the plugin. The certificates are copied into it: a later step may run in
        another directory, where a relative path is wrong.
    :raises UsageError: an option is missing or has an invalid value. :raises DestinationError: a file cannot be read.
    """
    if settings.connection is None:
        raise UsageError("-o rhv-upload: no engine was named", hint=f"add -oc {_EXAMPLE}")
    if settings.password_file is None:
        raise UsageError("-o rhv-upload: no password was given", hint="write it into a file and add -op FILE")
    if settings.storage is None:
        raise UsageError("-o rhv-upload: no storage domain was named", hint="add -os NAME")
    if not _STORAGE_NAME.fullmatch(settings.storage):
        raise UsageError(
            f"-o rhv-upload: {settings.storage!r} cannot be the name of a storage domain",
            hint="-os takes the name of a storage domain of the engine: letters, digits, - and _",
        )
    if settings.format not in {"raw", "qcow2"}:
        raise UsageError(
            f"-o rhv-upload: the output format {settings.format!r} is not supported", hint="use raw or qcow2"
        )
    url, host, user = _engine(settings.connection)
    options = settings.options
    return UploadSettings(
        url=url,
        host=host,
        user=user,
        password_file=settings.password_file,
        storage=settings.storage,
        cluster=options.one(_CLUSTER) or "Default",
        ca_file=_keep_authorities(options.one(_CA_FILE), directory),
        verify=options.one(_VERIFY) != "false",
        route=_route(options),
        disk_uuids=_disk_uuids(options),
    )


def _engine(connection: str) -> tuple[str, str, str]:
    """Split ``-oc``. Return the URL of the API without the user, the host of the engine, and the user."""
    try:
        parts = urlsplit(connection)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if host is None or parts.scheme != "https" or parts.query or parts.fragment:
        raise UsageError(f"-o rhv-upload: -oc {connection!r} is not the URL of an engine", hint=f"like {_EXAMPLE}")
    # the name of a user contains an @, as in admin@internal, which may be written as %40
    user, _, _ = parts.netloc.rpartition("@")
    if ":" in user:
        raise UsageError("-o rhv-upload: -oc must not hold a password", hint="write it into a file and add -op FILE")
    path = parts.path.rstrip("/") or "/ovirt-engine/api"
    bracketed = f"[{host}]" if ":" in host else host
    url = f"https://{bracketed}" + (f":{port}" if port is not None else "") + path
    return url, host, unquote(user) or "admin@internal"


def _route(options: OptionValues) -> Route:
    if options.flag(_DIRECT) and options.flag(_PROXY):
        raise UsageError(f"-oo {_DIRECT} and -oo {_PROXY} exclude each other", hint="leave one of them out")
    if options.flag(_PROXY):
        return Route.PROXY
    return Route.DIRECT if options.flag(_DIRECT) else Route.EITHER


def _disk_uuids(options: OptionValues) -> tuple[str, ...]:
    ids: list[str] = []
    for text in options.all(_DISK_UUID):
        try:
            disk_id = str(uuid.UUID(text))
        except ValueError as err:
            raise UsageError(
                f"-oo {_DISK_UUID}={text} is not a UUID", hint="for example: -oo rhv-disk-uuid=$(uuidgen)"
            ) from err
        if disk_id in ids:
            raise UsageError(f"-oo {_DISK_UUID}={text} was given twice", hint="each disk needs an id of its own")
        ids.append(disk_id)
    return tuple(ids)


def _keep_authorities(given: str | None, directory: Path) -> Path | None:
    """Copy the file of the certificate authorities. If it is no longer readable, return the copy of an earlier step."""
    if given is None:
        return None
    kept = directory / "authorities.pem"
    try:
        shutil.copyfile(Path(given), kept)
    except OSError as err:
        if kept.exists():
            return kept
        raise DestinationError(
            f"-oo {_CA_FILE}: {given} cannot be read: {err.strerror}", hint="check the path"
        ) from err
    return kept
