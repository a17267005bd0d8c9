# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulator of a guest for tests of its network: files by path, and the NICs of its source."""

from __future__ import annotations

import fnmatch
import re
from types import SimpleNamespace
from typing import cast

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.network import keep_names
from v2v_convert_guestfs.linux.network.addresses import assign
from v2v_convert_guestfs.session import Session
from v2v_convert_guestfs.wanted_addresses import asked_for
from v2v_core.api import ConvertSettings, Nic, StaticAddress

A, B = "00:50:56:aa:00:01", "00:50:56:aa:00:02"
#: The rule with which udev reads .link files.
RULE = "/usr/lib/udev/rules.d/80-net-setup-link.rules"


class Simulator:
    """The calls of libguestfs that look at files, on a mapping from path to content; a link begins with ``->``."""

    def __init__(
        self,
        files: dict[str, str],
        macs: tuple[str | None, ...],
        asked: tuple[StaticAddress, ...] = (),
        *,
        model: str | None = None,
        slots: tuple[int | None, ...] | None = None,
        new: bool = False,
    ) -> None:
        self.files = {RULE: "", **files}
        self.warnings: list[str] = []
        self.told: list[str] = []
        report = SimpleNamespace(warning=self.warnings.append, info=self.told.append, debug=lambda text: None)
        places = slots or (None,) * len(macs)
        nics = (
            Nic(mac=mac, model=model, pci_slot=slot, mac_is_new=new) for mac, slot in zip(macs, places, strict=True)
        )
        guest = SimpleNamespace(nics=tuple(nics))
        request = SimpleNamespace(guest=guest, settings=ConvertSettings(static_addresses=asked))
        session = SimpleNamespace(handle=self, report=report, request=request)
        session.changed = lambda path, what, why: None
        self.session = cast("Session", session)

    def glob_expand(self, pattern: str) -> list[str]:
        return fnmatch.filter(self.files, pattern)

    def is_symlink(self, path: str) -> bool:
        return self.files.get(path, "").startswith("->")

    def readlink(self, path: str) -> str:
        return self.files[path].removeprefix("->")

    def find(self, directory: str) -> list[str]:
        return [path.removeprefix(f"{directory}/") for path in self.files if path.startswith(f"{directory}/")]

    def exists(self, path: str) -> bool:
        return path in self.files

    def realpath(self, path: str) -> str:
        return path

    def is_file(self, path: str, followsymlinks: bool = False) -> bool:
        return path in self.files and not self.is_symlink(path)

    def filesize(self, path: str) -> int:
        return len(self.files[path].encode())

    def pread(self, path: str, count: int, offset: int) -> bytes:
        return self.files[path].encode()[offset : offset + count]

    def addresses(self) -> dict[str, bytes]:
        """Return the files to write for the addresses that the user asked for."""
        files = GuestFiles(self.session)
        found = asked_for(self.session)
        names = keep_names.examine(self.session, files, assign.need_names(self.session, files, found))
        return assign.examine(self.session, files, found, names.by_mac).contents

    def names(self) -> dict[str, str]:
        """Return the names that are pinned, with their MAC addresses."""
        pins = keep_names.examine(self.session, GuestFiles(self.session)).files
        text = "".join(content.decode() for content, _ in pins.values())
        return {name: mac for mac, name in re.findall(r"MACAddress=(\S+)\n[^[]*\n\[Link\]\nName=(\S+)", text)}

    def examine(self) -> dict[str, tuple[bytes, str]]:
        return keep_names.examine(self.session, GuestFiles(self.session)).files


def grub(arguments: str) -> dict[str, str]:
    return {"/boot/grub/grub.cfg": f"menuentry 'Debian' {{\n\tlinux /vmlinuz root=/dev/sda1 {arguments}\n}}\n"}
