# SPDX-License-Identifier: GPL-2.0-or-later
"""What ``-os`` names: an NFS export, which is mounted below the conversion directory, or a directory."""

from __future__ import annotations

import contextlib
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
    require_for_output,
    run_program,
    unmount,
)

#: A name or address (of IPv6 in brackets) and an absolute path, as mount.nfs(8) has them.
_EXPORT = re.compile(r"(\[[0-9A-Fa-f:.%a-z]+\]|[A-Za-z0-9_][A-Za-z0-9_.-]*):/.*")
#: Seconds; mount.nfs gives up after two minutes by itself.
_PATIENCE = 180.0
#: Nothing in an export domain is a device or a program.
_OPTIONS = "nosuid,nodev,noexec"
_UUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True)
class Storage:
    """The place that the user named.

    :param name: what it is called in messages and in the ledger. :param local: where it is, or will be mounted.
    """

    name: str
    local: Path
    is_nfs: bool

    @classmethod
    def of(cls, settings: OutputSettings, directory: Path) -> Storage:
        """Understand ``-os``.

        :param directory: private to the plugin.
        :raises UsageError: it is missing.
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
        """Give what a path below the place is called outside of this run."""
        return f"{self._prefix}{path.relative_to(self.local)}" if self.is_nfs else str(path)

    def path(self, name: str) -> Path:
        """Give the path of what ``named`` named."""
        return self.local / name.removeprefix(self._prefix) if self.is_nfs else Path(name)

    @property
    def _prefix(self) -> str:
        return f"{self.name.rstrip('/')}/"

    def is_mounted(self) -> bool:
        """Tell whether it is there; a directory always is."""
        return not self.is_nfs or self.local in mounts_below(self.local.parent)

    def mount(self) -> None:
        """Mount it if it is an NFS export and is not mounted.

        :raises DestinationError: it cannot be mounted.
        """
        if self.is_mounted():
            return
        require_for_output("mount")
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
        """Unmount it if it is mounted and this run did that.

        :raises V2VError: it cannot be unmounted.
        """
        if self.is_nfs and self.is_mounted():
            unmount(self.local)

    @contextlib.contextmanager
    def mounted(self) -> Iterator[None]:
        """Have it mounted for a while."""
        self.mount()
        try:
            yield
        finally:
            self.unmount()

    def domain(self) -> Path:
        """Find the export domain in the place.

        :raises DestinationError: there is none, or not exactly one, or no data center uses it.
        """
        hint = "name the place that oVirt shows as the path of the export storage domain"
        try:
            entries = sorted(entry for entry in os.listdir(self.local) if _UUID.fullmatch(entry))  # noqa: PTH208
        except OSError as err:
            raise DestinationError(f"-o rhv: {self.name} cannot be read: {err.strerror}", hint=hint) from err
        if len(entries) != 1:
            found = f"the {len(entries)} domains {', '.join(entries[:3])}" if entries else "no storage domain"
            raise DestinationError(f"-o rhv: {self.name} holds {found}, and not one export storage domain", hint=hint)
        domain = self.local / entries[0]
        for needed in ("master/vms", "images"):
            if not (domain / needed).is_dir():
                raise DestinationError(
                    f"-o rhv: {self.named(domain / needed)} is not a directory: no data center uses this storage"
                    " domain, or it is no export domain",
                    hint="attach the export domain to a data center in oVirt first",
                )
        return domain
