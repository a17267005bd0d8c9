# SPDX-License-Identifier: GPL-2.0-or-later
"""Convert a Windows guest from start to end: look at everything, change everything, examine the result."""

from __future__ import annotations

from dataclasses import dataclass

from v2v_convert_guestfs import time_limits
from v2v_convert_guestfs.session import Blockers, Session
from v2v_convert_guestfs.windows import boot, drivers, guest_agent, network, tools_removal
from v2v_convert_guestfs.windows.capabilities import capabilities
from v2v_convert_guestfs.windows.checks import system
from v2v_convert_guestfs.windows.examine.expected import Expected
from v2v_convert_guestfs.windows.examine.result import examine_result, stop_on_failures
from v2v_convert_guestfs.windows.firstboot.install import InstalledFirstBoot, install
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.look import look
from v2v_core.api import Capabilities

_LONG_REGISTRY = "check the registry of the guest at its hypervisor: it is damaged, or larger than any that is known"


@dataclass(frozen=True)
class Plan:
    """The results of examining the guest, and the changes that follow from them."""

    drivers: drivers.DriversPlan
    boot: boot.BootPlan
    network: network.NetworkPlan
    tools: tools_removal.ToolsPlan


def convert_windows(session: Session, blockers: Blockers) -> Capabilities:
    """Convert a Windows guest whose file systems are mounted.

    :param blockers: the obstacles collected so far.
    :raises ConversionError: there are obstacles, a change failed, or the result is not as it must be.
    """
    # A damaged hive may keep the appliance busy for ever.
    with (
        session.stage("convert/look"),
        session.limited("reading the guest's registry", time_limits.INSPECTION_LIMIT, hint=_LONG_REGISTRY),
    ):
        guest = look(session, blockers)
        plan = _examine(guest, blockers)
    blockers.stop()
    first_boot = _change(guest, plan)
    _examine_result(guest, plan, first_boot)
    return capabilities(guest, plan.drivers, rtc_utc=plan.boot.rtc_utc)


def _examine(guest: WindowsGuest, blockers: Blockers) -> Plan:
    """Examine the guest and collect obstacles, without changing anything."""
    system.examine(guest, blockers)
    return Plan(
        drivers=drivers.examine(guest, blockers),
        boot=boot.examine(guest, blockers),
        network=network.examine(guest, blockers),
        tools=tools_removal.examine(guest, blockers),
    )


def _change(guest: WindowsGuest, plan: Plan) -> InstalledFirstBoot | None:
    """Change the guest, one room after the other. The registry is written last, and all at once."""
    session = guest.session
    with session.stage("convert/drivers"):
        drivers.change(guest, plan.drivers)
        guest_agent.change(guest, plan.drivers)
    with session.stage("convert/boot"):
        boot.change(guest, plan.boot)
    with session.stage("convert/network"):
        network.change(guest, plan.network)
    with session.stage("convert/tools"):
        tools_removal.change(guest, plan.tools)
    with session.stage("convert/first boot"):
        first_boot = install(guest)
    with session.stage("convert/registry"):
        guest.registry.commit()
    return first_boot


def _examine_result(guest: WindowsGuest, plan: Plan, first_boot: InstalledFirstBoot | None) -> None:
    """Examine what was written, by other readers than its writers.

    :raises ConversionError: a fact is not true.
    """
    session = guest.session
    expected = Expected(
        driver=plan.drivers.boot_driver,
        files=plan.drivers.files,
        first_boot=first_boot,
        addresses=plan.network.replayed,
        boot_facts=boot.facts,
    )
    with session.stage("convert/examine"):
        facts = (*examine_result(guest, expected), *tools_removal.facts(guest))
        for fact in facts:
            session.examined(fact)
    stop_on_failures(facts)
