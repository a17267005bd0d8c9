# SPDX-License-Identifier: GPL-2.0-or-later
"""Settings in systemd's .link files, such as the MTU: they are kept when a NIC is pinned to its name.

udev applies only the first .link file that matches a NIC. A pin must be that file, so it takes over the settings of the
file that was the first one on the source. The format is specified in systemd.link(5).
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.network.contents import contents_or_masked
from v2v_convert_guestfs.linux.network.ini import macs_of, sections
from v2v_convert_guestfs.linux.network.pairing import Pin
from v2v_convert_guestfs.session import Session
from v2v_core.api import Nic

#: A file in an earlier directory replaces those of the same name in later ones.
_DIRECTORIES = (
    "/etc/systemd/network",
    "/usr/local/lib/systemd/network",
    "/usr/lib/systemd/network",
    "/lib/systemd/network",
)
_OWN_DEFAULT = "99-default.link"
#: Beginnings of the names of pins, in order of preference. udev reads the files in the order of their names.
_BEGINNINGS = ("10-v2v-", "00-v2v-", "0-v2v-", "+v2v-")
#: Keys of [Match] that are evaluated here.
_EVALUATED = frozenset({"MACAddress", "PermanentMACAddress", "OriginalName", "Type", "Kind", "Driver", "Path"})
#: Keys of [Link] that only concern the name.
_NAMING = frozenset({"Name", "NamePolicy", "AlternativeName", "AlternativeNamesPolicy", "Description"})
_KERNEL_NAME = "eth0"


@dataclass(frozen=True)
class LinkFile:
    """A .link file with its drop-ins.

    :param text: the contents of the file and then of its drop-ins. :param changed: whether the administrator has
        written it or a drop-in.
    """

    path: str
    text: bytes
    changed: bool

    @property
    def base_name(self) -> str:
        """Return the name by which udev orders the files."""
        return self.path.rpartition("/")[2]

    def section(self, name: str) -> Mapping[str, str]:
        """Return the keys and values of a section."""
        return sections(self.text).get(name, {})

    def settings(self) -> list[str]:
        """Return the keys of [Link] that do not concern the name."""
        return sorted(set(self.section("Link")) - _NAMING)


def read_link_files(session: Session, files: GuestFiles) -> list[LinkFile]:
    """Return the .link files of the guest in the order in which udev tries them."""
    found: dict[str, tuple[str, bytes | None]] = {}
    drop_ins: dict[str, dict[str, bytes | None]] = {}
    for directory in _DIRECTORIES:
        for path, data in contents_or_masked(session, files, f"{directory}/*.link"):
            found.setdefault(path.rpartition("/")[2], (path, data))
        for path, data in contents_or_masked(session, files, f"{directory}/*.link.d/*.conf"):
            folder, _, name = path.rpartition("/")
            drop_ins.setdefault(folder.rpartition("/")[2].removesuffix(".d"), {}).setdefault(name, data)
    links = []
    for name, (path, data) in sorted(found.items()):
        if data is not None:
            more = [text for _, text in sorted(drop_ins.get(name, {}).items()) if text is not None]
            links.append(LinkFile(path, b"\n".join([data, *more]), bool(more) or path.startswith("/etc/")))
    return links


def matches(link: LinkFile, pin: Pin, driver: str | None) -> bool | None:
    """Return whether a file applied to a NIC on the source, or None if that is unknown.

    :param driver: the driver of the NIC on the source, or None if it is unknown.
    """
    match = link.section("Match")
    if macs := macs_of(match):
        return pin.mac in macs
    if name := link.section("Link").get("Name"):
        return name == pin.name
    answers = [_fits(match, "Type", "ether"), _fits(match, "Driver", driver), _fits_path(match)]
    if not match.get("Kind", "!").startswith("!"):
        return False
    answers.append(_fits(match, "OriginalName", _KERNEL_NAME) or _fits(match, "OriginalName", pin.name))
    if "OriginalName" in match and not answers[-1] and re.search(r"\beth", match["OriginalName"]):
        # Whether the kernel called it eth1 is unknown.
        answers[-1] = None
    if set(match) - _EVALUATED:
        answers.append(None)
    return False if False in answers else None if None in answers else True


def with_settings(pin: Pin, links: Sequence[LinkFile], driver: str | None) -> tuple[LinkFile | None, list[LinkFile]]:
    """Return the file whose settings a pin takes over, and those of which it is unknown whether it should."""
    unknown: list[LinkFile] = []
    for link in links:
        answer = matches(link, pin, driver)
        if answer:
            return (link if link.base_name != _OWN_DEFAULT or link.changed else None), unknown
        if answer is None and link.changed and link.settings():
            unknown.append(link)
    return None, unknown


def settings_of(link: LinkFile) -> bytes:
    """Return the settings of a file: the lines of [Link] without those about the name, and then other sections."""
    own: list[str] = []
    others: list[str] = []
    lines = own
    section = ""
    for line in re.sub(r"\\\r?\n", " ", link.text.decode("latin-1")).split("\n"):
        text = line.strip()
        if not text or text[0] in "#;":
            continue
        if header := re.fullmatch(r"\[([^\[\]]{1,80})\]", text):
            section = header[1]
            lines = own if section == "Link" else others
            if section not in {"Link", "Match"}:
                lines += ["", text]
        elif section and section != "Match" and (lines is others or _key(text) not in {"Name", "NamePolicy"}):
            lines.append(text)
    return "".join(f"{line}\n" for line in own + others).encode("latin-1")


def beginning(links: Sequence[LinkFile], pins: Sequence[Pin]) -> str:
    """Return the beginning of the pins' names, with which they come before the files that may match the same NICs."""
    macs = {pin.mac for pin in pins}
    before = [link.base_name for link in links if not (own := macs_of(link.section("Match"))) or macs & set(own)]
    first = min(before, default="~")
    return next((text for text in _BEGINNINGS if text < first), _BEGINNINGS[-1])


def lost_settings(link: LinkFile, nics: Sequence[Nic]) -> str | None:
    """Return why the settings of a file that may apply to one of the source's NICs may not apply on KVM, or None."""
    match = link.section("Match")
    keys = [key for key in ("Path", "Driver") if match.get(key, "*") not in {"*", "pci-*", "virtio_net"}]
    if not link.settings() or not link.changed or macs_of(match) or not keys:
        return None
    if all(matches(link, Pin(_KERNEL_NAME, nic.mac or "", ""), nic.model) is False for nic in nics):
        return None
    return f"it sets {', '.join(link.settings())} and matches by {keys[0]}={match[keys[0]]}"


def _fits(match: Mapping[str, str], key: str, value: str | None) -> bool | None:
    """Return whether a value fits the patterns of a key, or None if that cannot be known."""
    if key not in match:
        return True
    patterns = match[key].split()
    if value is None or not patterns or patterns[0].startswith("!"):
        return None
    return any(fnmatch.fnmatchcase(value, pattern) for pattern in patterns)


def _fits_path(match: Mapping[str, str]) -> bool | None:
    """Return whether any PCI device fits Path=, or None: the place of the NIC on the source is unknown."""
    patterns = match.get("Path", "*").split()
    return True if set(patterns) & {"*", "pci-*"} else None


def _key(line: str) -> str:
    return line.partition("=")[0].strip()
