# SPDX-License-Identifier: GPL-2.0-or-later
"""The answers that debconf remembers, ``/var/cache/debconf/config.dat``."""

from __future__ import annotations


def set_value(data: bytes, name: str, value: str) -> bytes:
    """Change the answer to a question. A question that was never registered stays so: nobody would ask for it."""
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
