# SPDX-License-Identifier: GPL-2.0-or-later
"""What the user said about the engine and the upload, checked; and what a test may change."""

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
#: What the search of the engine takes for a name without quotes; no storage domain can have another one.
_STORAGE_NAME = re.compile(r"[-A-Za-z0-9_]+", re.ASCII)


def _option(name: str, text: str, *, flag: bool = False, repeatable: bool = False) -> PluginOption:
    alias = name.replace("rhv-", "ovirt-", 1)
    return PluginOption(name=name, help=text, flag=flag, repeatable=repeatable, aliases=(alias,))


OPTIONS = (
    _option(_CA_FILE, "file with the certificate of the engine's authority, which signs those of its hosts, too"),
    _option(_CLUSTER, "the cluster that the guest goes to; Default if not given"),
    _option(_DIRECT, "upload to the host and nowhere else, not through the engine", flag=True),
    _option(_PROXY, "upload through the engine: slower, for when the hosts are not reached from here", flag=True),
    _option(_VERIFY, "false: trust any certificate (upstream's default; here they are verified)", flag=True),
    _option(_DISK_UUID, "id of a disk, for each disk in their order, instead of a random one", repeatable=True),
)


class Route(StrEnum):
    """Which way the data goes: to the host, through the engine, or to the host and if that fails the other way."""

    DIRECT = "direct"
    PROXY = "proxy"
    EITHER = "either"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long the engine may take for something, in seconds.

    :param disk: to make an empty disk. :param per_gigabyte: more, for each 10^9 bytes that are written out for it.
    :param transfer: until a transfer can begin. :param finalize: until it is over. :param machine: to make the guest.
    :param removal: to delete one thing. :param poll: between two looks.
    """

    disk: float = 300
    per_gigabyte: float = 40
    transfer: float = 300
    finalize: float = 600
    machine: float = 300
    removal: float = 120
    poll: float = 1


@dataclass(frozen=True, kw_only=True)
class UploadSettings:
    """What the user said.

    :param url: of the engine's API. :param ca_file: absolute; None for the authorities of this machine.
    :param disk_uuids: as many as the guest has disks, or none.
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
    """Check the options.

    :param directory: private to the plugin. The authorities are kept in it: a later step may run elsewhere, when a
        relative path means nothing.
    :raises UsageError: options are missing or make no sense. :raises DestinationError: a file cannot be read.
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
        ca_file=_kept_authorities(options.one(_CA_FILE), directory),
        verify=options.one(_VERIFY) != "false",
        route=_route(options),
        disk_uuids=_disk_uuids(options),
    )


def _engine(connection: str) -> tuple[str, str, str]:
    """Give the URL of the API without the user, the engine's host, and the user."""
    try:
        parts = urlsplit(connection)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if host is None or parts.scheme != "https" or parts.query or parts.fragment:
        raise UsageError(f"-o rhv-upload: -oc {connection!r} is not the URL of an engine", hint=f"like {_EXAMPLE}")
    # a user has an @ of its own: admin@internal, and it may be written as %40
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
    found: list[str] = []
    for text in options.all(_DISK_UUID):
        try:
            known = str(uuid.UUID(text))
        except ValueError as err:
            raise UsageError(
                f"-oo {_DISK_UUID}={text} is not a UUID", hint="for example: -oo rhv-disk-uuid=$(uuidgen)"
            ) from err
        if known in found:
            raise UsageError(f"-oo {_DISK_UUID}={text} was given twice", hint="each disk needs an id of its own")
        found.append(known)
    return tuple(found)


def _kept_authorities(given: str | None, directory: Path) -> Path | None:
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
