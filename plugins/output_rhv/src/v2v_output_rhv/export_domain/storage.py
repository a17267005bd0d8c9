# SPDX-License-Identifier: GPL-2.0-or-later
"""The place that ``-os`` names: an NFS export, which is mounted below the conversion directory, or a directory."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from v2v_core.api import (
    DestinationError,
    OutputSettings,
    UsageError,
    V2VError,
    mounts_below,
    require_program,
    run_program,
    unmount,
)

#: A host name or address (IPv6 in brackets) and an absolute path, as in mount.nfs(8).
_EXPORT = re.compile(r"(\[[0-9A-Fa-f:.%a-z]+\]|[A-Za-z0-9_][A-Za-z0-9_.-]*):/.*")
#: Seconds; mount.nfs itself gives up after two minutes.
_PATIENCE = 180.0
#: An export domain contains no devices and no programs.
_OPTIONS = "nosuid,nodev,noexec"
_UUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True)
class Storage:
    """The place that the user named.

    :param name: its name in messages and in the ledger. :param local: where it is, or will be mounted.
    """

    name: str
    local: Path
    is_nfs: bool

    @classmethod
    def of(cls, settings: OutputSettings, directory: Path) -> Storage:
        """Parse ``-os``.

        :param directory: private to the plugin.
        :raises UsageError: ``-os`` is missing.
        """
        if settings.storage is None:
            raise UsageError(
                "-o rhv: no export storage domain was given",
                hint="name it with -os SERVER:/PATH, or mount it and name the directory with -os DIRECTORY",
            )
        if _EXPORT.fullmatch(settings.storage):
            return cls(settings.storage, directory / "export-domain", is_nfs=True)
        local = Path(os.path.abspath(settings.storage))  # noqa: PTH100 - Path.absolute() keeps ".."
        return cls(str(local), local, is_nfs=False)

    def named(self, path: Path) -> str:
        """Return the name of a path below the place that is valid outside of this run."""
        return f"{self._prefix}{path.relative_to(self.local)}" if self.is_nfs else str(path)

    def path(self, name: str) -> Path:
        """Return the local path of a name that ``named`` returned."""
        return self.local / name.removeprefix(self._prefix) if self.is_nfs else Path(name)

    @property
    def _prefix(self) -> str:
        return f"{self.name.rstrip('/')}/"

    def is_mounted(self) -> bool:
        """Check whether the place is mounted; a directory always is."""
        return not self.is_nfs or self.local in mounts_below(self.local.parent)

    def mount(self) -> None:
        """Mount the NFS export, unless it is mounted already. Do nothing for a directory.

        :raises DestinationError: the export cannot be mounted.
        """
        if self.is_mounted():
            return
        require_program("mount")
        self.local.mkdir(mode=0o700, exist_ok=True)
        try:
            run_program(["mount", "-t", "nfs", "-o", _OPTIONS, self.name, str(self.local)], timeout=_PATIENCE)
        except V2VError as err:
            raise DestinationError(
                f"-o rhv: the export storage domain {self.name} cannot be mounted: {err.message}",
                hint="run as root, with nfs-common (Debian, Ubuntu) or nfs-utils (Fedora, RHEL) installed; or mount it"
                " yourself and name the directory with -os",
            ) from err

    def unmount(self) -> None:
        """Unmount the NFS export if it is mounted. Do nothing for a directory.

        :raises V2VError: the export cannot be unmounted.
        """
        if self.is_nfs and self.is_mounted():
            unmount(self.local)

    @contextlib.contextmanager
    def mounted(self) -> Iterator[None]:
        """Keep the place mounted for the length of a ``with`` block."""
        self.mount()
        try:
            yield
        finally:
            self.unmount()

    def domain(self) -> Path:
        """Find the export domain in the place.

        :raises DestinationError: there is no domain or more than one, or the domain is not attached to a data center.
        """
        hint = "name the place that oVirt shows as the path of the export storage domain"
        try:
            entries = sorted(entry for entry in os.listdir(self.local) if _UUID.fullmatch(entry))  # noqa: PTH208
        except OSError as err:
            raise DestinationError(f"-o rhv: {self.name} cannot be read: {err.strerror}", hint=hint) from err
        if len(entries) != 1:
            held = f"the {len(entries)} domains {', '.join(entries[:3])}" if entries else "no storage domain"
            raise DestinationError(f"-o rhv: {self.name} holds {held}, and not one export storage domain", hint=hint)
        domain = self.local / entries[0]
        for needed in ("master/vms", "images"):
            if not (domain / needed).is_dir():
                raise DestinationError(
                    f"-o rhv: {self.named(domain / needed)} is not a directory: no data center uses this storage"
                    " domain, or it is not an export domain",
                    hint="attach the export domain to a data center in oVirt first",
                )
        return domain


@contextlib.contextmanager
def naming_failures(failure: str) -> Iterator[None]:
    """Turn an ``OSError`` into an error that says what failed.

    :raises DestinationError: in place of the ``OSError``.
    """
    try:
        yield
    except OSError as err:
        hint = "free some space" if err.errno == errno.ENOSPC else None
        raise DestinationError(f"-o rhv: {failure}: {err.strerror}", hint=hint) from err
