# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugins: at least one each for the source, the conversion and the target; and what each finds on this machine."""

from __future__ import annotations

from collections.abc import Iterator

from v2v_core.discovery import Role, modes
from v2v_core.errors import V2VError
from v2v_core.finding import Finding, Status, present_or
from v2v_core.hookspecs import ProbeRequest
from v2v_core.plugins import load_plugin

_EXAMPLES = {Role.INPUT: "v2v-input-disk", Role.CONVERT: "v2v-convert-guestfs", Role.OUTPUT: "v2v-output-local"}


def probe_plugins() -> Iterator[Finding]:
    """Check that there is a plugin of each role that a conversion needs. None is imported."""
    for role, example in _EXAMPLES.items():
        names = ", ".join(mode.listed for mode in modes(role))
        yield present_or(f"{role} plugins", names or None, Status.MISSING, "none installed", f"pip install {example}")


def ask_plugins(*, quick: bool) -> Iterator[Finding]:
    """Call the ``v2v_probe`` of every installed plugin. A broken plugin is a finding, too."""
    for role in (Role.INPUT, Role.CONVERT, Role.COPY, Role.OUTPUT):
        for mode in modes(role):
            name = mode.plugin.name
            try:
                yield from load_plugin(role, name).probe(ProbeRequest(quick=quick))
            except V2VError as err:
                yield Finding(f"{role} plugin {name}", Status.OPTIONAL, err.message, err.hint)
