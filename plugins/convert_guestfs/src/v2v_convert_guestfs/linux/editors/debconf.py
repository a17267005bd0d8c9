# SPDX-License-Identifier: GPL-2.0-or-later
"""The answers that debconf remembers in ``/var/cache/debconf/config.dat``, in stanzas with an empty line between."""

from __future__ import annotations

import re

from v2v_convert_guestfs.devices import DeviceNames


def set_value(data: bytes, name: str, value: str) -> bytes:
    """Change the answer to a question. A question that no package has registered is not added."""
    stanzas = data.decode("latin-1").split("\n\n")
    for position, stanza in enumerate(stanzas):
        lines = stanza.split("\n")
        if f"Name: {name}" not in lines:
            continue
        answers = [place for place, line in enumerate(lines) if line.startswith("Value:")]
        if answers:
            for place in answers:
                lines[place] = f"Value: {value}"
        else:
            template = next((place for place, line in enumerate(lines) if line.startswith("Template:")), None)
            lines.insert(lines.index(f"Name: {name}") + 1 if template is None else template + 1, f"Value: {value}")
        stanzas[position] = "\n".join(lines)
    return "\n\n".join(stanzas).encode("latin-1")


def rename_disks(data: bytes, names: DeviceNames) -> bytes:
    """Rename the disks to which the next upgrade of grub-pc installs the boot loader."""
    stanzas = data.decode("latin-1").split("\n\n")
    for position, stanza in enumerate(stanzas):
        if re.search(r"^Name: grub-pc/install_devices(?:_empty)?$", stanza, re.MULTILINE):
            stanzas[position] = "\n".join(
                names.rename_in(line) if line.startswith("Value: ") else line for line in stanza.split("\n")
            )
    return "\n\n".join(stanzas).encode("latin-1")
