# SPDX-License-Identifier: GPL-2.0-or-later
"""Read which disks the guest's own kernel command lines name, before the boot loader's configuration is edited.

The default entry says which disk the root file system is on, and where the guest swaps. Entries of other systems say
nothing about this guest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from v2v_convert_guestfs.devices import links_in
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.disks_in_fstab import ANY, Mention
from v2v_convert_guestfs.linux.editors import bls, grub_cfg, grub_legacy, grubenv, shell

_GRUB2 = ("/boot/grub2/grub.cfg", "/boot/grub/grub.cfg")
_LEGACY = ("/boot/grub/grub.conf", "/boot/grub/menu.lst")
#: Bytes. With thirty kernels, a grub.cfg has about 200 KB.
_LIMIT = 4 * 1024 * 1024
_MOST_ENTRIES = 100
#: What each parameter says about the device that it names: its place and type in the words of fstab(5).
_PARAMETERS = {
    **dict.fromkeys(("root", "real_root"), ("/", "auto")),
    **dict.fromkeys(("resume", "real_resume"), ("none", "swap")),
    **dict.fromkeys(("crypt_root", "cryptdevice"), ("none", "crypto_LUKS")),
    "boot": ("/boot", "auto"),
}
_WORD = re.compile(r"(?<![\w.-])(?P<name>[a-z_]+)=(?P<device>/dev/[^\s\"']+)", re.ASCII)


def boot_mentions(files: GuestFiles) -> list[Mention]:
    """Return the disks that the default entry and the settings for later entries name, as lines of fstab(5) would.

    What cannot be read, because /boot is not mounted yet, is left out.
    """
    found = []
    for arguments in _command_lines(files):
        for match in _WORD.finditer(arguments):
            place, kind = _PARAMETERS.get(match["name"], ("none", ANY))
            # cryptdevice=DEVICE:NAME:OPTIONS, and a link by path has colons of its own
            device = next(iter(links_in(match["device"])), match["device"].partition(":")[0])
            if mention := Mention.of(device, place, kind):
                found.append(mention)
    return list(dict.fromkeys(found))


def _command_lines(files: GuestFiles) -> Iterator[str]:
    for path in files.glob("/etc/default/grub"):
        content = files.read(path) or b""
        for name in ("GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT"):
            yield shell.value(content, name) or ""
    for path in files.glob("/etc/kernel/cmdline"):
        yield (files.read(path) or b"").decode("latin-1")
    for path in (found for pattern in _GRUB2 for found in files.glob(pattern)):
        yield from _of_grub2(files, path)
    for path in (found for pattern in _LEGACY for found in files.glob(pattern)):
        saved = files.read(path.rpartition("/")[0] + "/default") or b""
        entry = grub_legacy.default_entry(files.read(path) or b"", saved)
        if entry is not None:
            yield entry.arguments


def _of_grub2(files: GuestFiles, path: str) -> Iterator[str]:
    content = files.read(path, limit=_LIMIT) or b""
    environment = grubenv.parse(files.read(path.rpartition("/")[0] + "/grubenv") or b"")
    entries = []
    if grub_cfg.uses_bls(content):
        paths = files.glob("/boot/loader/entries/*.conf")[:_MOST_ENTRIES]
        entries = bls.in_order(parsed for name in paths if (parsed := bls.parse(name, files.read(name) or b"")))
    entry = grub_cfg.default_entry(content, environment.get("saved_entry"), entries)
    if entry is not None:
        yield grub_cfg.expand(entry.arguments, {**grub_cfg.variables(content), **environment})
