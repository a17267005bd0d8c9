# SPDX-License-Identifier: GPL-2.0-or-later
"""Read the kernel command lines of the boot menu, whatever boot loader the guest has."""

from __future__ import annotations

import re

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.editors import bls, grub_cfg, grub_legacy, grubenv
from v2v_convert_guestfs.linux.editors.shell import assignments, unquoted

_LIMIT = 4 * 1024 * 1024
_MOST_ENTRIES = 100
_GRUB = ("/boot/grub2", "/boot/grub")
_ON_ESP = "/boot/efi/EFI/*/grub.cfg"
_BLS = ("/boot/loader/entries/*.conf", "/efi/loader/entries/*.conf", "/boot/efi/loader/entries/*.conf")
_LEGACY = ("/boot/grub/grub.conf", "/boot/grub/menu.lst")
_EXTLINUX = "/boot/extlinux/extlinux.conf"
_SETTINGS = "/etc/default/grub"
_VARIABLES = frozenset({"GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT"})


def command_lines(files: GuestFiles) -> list[str]:
    """Return the command lines of the entries that are not for rescue, of the first boot menu that has any.

    Without a menu, this is the command line in the settings from which the guest makes its menu.
    """
    for read in (_of_grub2, _of_other_loaders):
        if lines := read(files):
            return lines
    data = _read(files, _SETTINGS).decode("latin-1")
    values = [
        unquoted(data[variable.start : variable.end]) for variable in assignments(data) if variable.name in _VARIABLES
    ]
    return [" ".join(values)] if values else []


def _of_grub2(files: GuestFiles) -> list[str]:
    paths = [path for directory in _GRUB for path in files.glob(f"{directory}/grub.cfg")]
    for path in (*paths, *files.glob(_ON_ESP)):
        data = _read(files, path)
        entries = [entry for entry in _bls_entries(files) if entry] if grub_cfg.uses_bls(data) else []
        known = grub_cfg.variables(data)
        for place in (path.rpartition("/")[0], *_GRUB):
            known |= grubenv.parse(_read(files, f"{place}/grubenv"))
        lines = [
            grub_cfg.expand(entry.arguments, known)
            for entry in grub_cfg.menu(data, entries)
            if not any(re.search("rescue|recovery", text, re.IGNORECASE) for text in (*entry.path, entry.kernel))
        ]
        if lines:
            return lines
    return []


def _of_other_loaders(files: GuestFiles) -> list[str]:
    if found := [entry.options for entry in _bls_entries(files) if "rescue" not in entry.name]:
        return found
    for path in _LEGACY:
        if found := [entry.arguments for entry in grub_legacy.entries(_read(files, path)) if entry.kernel]:
            return found
    text = _read(files, _EXTLINUX).decode("latin-1")
    return re.findall(r"^[ \t]*append[ \t]+([^\n]*)", text, re.IGNORECASE | re.MULTILINE)


def _bls_entries(files: GuestFiles) -> list[bls.BlsEntry]:
    paths = [path for pattern in _BLS for path in files.glob(pattern)][:_MOST_ENTRIES]
    parsed = (bls.parse(path, files.read(path) or b"") for path in paths)
    return bls.in_order(entry for entry in parsed if entry is not None)


def _read(files: GuestFiles, path: str) -> bytes:
    return (files.read(path, limit=_LIMIT) or b"") if files.glob(path) else b""
