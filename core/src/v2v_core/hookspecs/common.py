# SPDX-License-Identifier: GPL-2.0-or-later
"""What the hooks of all roles share: the markers, the ledger, and the hooks that a plugin of any role may have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import pluggy

from v2v_core.events import Event
from v2v_core.finding import Finding
from v2v_core.model import PluginOption, TargetProfile

PROJECT = "v2v"

#: Incremented when a hook or a record changes so that older plugins cannot work with it.
HOOK_API_VERSION = 1

hookspec = pluggy.HookspecMarker(PROJECT)

hookimpl = pluggy.HookimplMarker(PROJECT)


class Ledger(Protocol):
    """Records each object that a plugin creates outside the conversion directory, before it is created."""

    def record(self, kind: str, identity: str) -> None:
        """Write down, durably, that ``identity`` is about to be created. Only recorded objects are ever deleted."""


class NoLedger:
    """Stands in where a request carries no ledger, so that a plugin cannot create what no cleanup would find."""

    def record(self, kind: str, identity: str) -> None:
        """Refuse to record an object.

        :raises RuntimeError: always.
        """
        raise RuntimeError(f"this request carries no ledger: {kind} {identity} must not be created")


@dataclass(frozen=True, kw_only=True)
class OwnedObject:
    """An object outside the conversion directory that a plugin created, or was about to create."""

    kind: str
    identity: str


@dataclass(frozen=True, kw_only=True)
class AbortResult:
    """What an abort could not delete.

    :param left: objects that still exist, or may exist. They stay in the ledger, and the next cleanup asks again.
    """

    left: tuple[OwnedObject, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ProbeRequest:
    """What ``v2v doctor`` wants to know.

    :param quick: leave out what takes longer than a second or two, such as booting an appliance.
    """

    quick: bool = False


class ProbeHooks(Protocol):
    """A hook of every role: what the plugin needs on this machine."""

    @hookspec(firstresult=True)
    def v2v_probe(self, request: ProbeRequest) -> tuple[Finding, ...]:
        """Look for the programs, libraries and devices that this plugin needs. Optional; called by ``v2v doctor``.

        Change nothing, connect to no remote machine, and import no large library: ``importlib.util.find_spec`` finds
        out whether one is installed.

        Example::

            @hookimpl
            def v2v_probe(self, request: ProbeRequest) -> tuple[Finding, ...]:
                spec = find_spec("foosdk")
                where = spec.origin if spec is not None else None
                return (present_or("foosdk for Python", where, Status.MISSING, "not installed", "pip install foosdk"),)
        """
        return ()


class ObserverHooks(Protocol):
    """The role ``observer``: watches a run. An exception in an observer is logged and never fatal."""

    @hookspec
    def v2v_event(self, event: Event) -> None:
        """Take note of an event. Return promptly.

        Example::

            @hookimpl
            def v2v_event(self, event: Event) -> None:
                if event.kind is EventKind.STEP_FAILED:
                    syslog.syslog(f"{event.step} failed: {event.text}")
        """
        ...


class Plugin(Protocol):
    """Attributes that a plugin class may have. Each has a default."""

    #: The number of the hook API that the plugin was written for, as a literal: 1.
    api_version: int
    #: One line for the listing.
    summary: str
    #: The ``-io`` or ``-oo`` options that it understands.
    options: tuple[PluginOption, ...]
    #: For outputs: what guests can have at the target.
    profile: TargetProfile
    #: For inputs: the schemes of ``-ic`` URIs that select this mode when the user writes ``-i libvirt`` (``vpx``).
    uri_schemes: tuple[str, ...]
    #: Words that ``virt-v2v --machine-readable`` prints when the plugin is installed.
    capabilities: tuple[str, ...]
