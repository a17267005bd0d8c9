# SPDX-License-Identifier: GPL-2.0-or-later
"""Remove the tools of the old hypervisor: as much as possible now, the rest at first boot by their own uninstallers.

Their services and drivers do not start any more, and no device has a filter of theirs. The drivers of disks stay.
"""

from __future__ import annotations

from dataclasses import dataclass

from v2v_convert_guestfs.session import Blockers
from v2v_convert_guestfs.windows.firstboot.plan import TOOLS
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.registry.hives import HiveName
from v2v_convert_guestfs.windows.tools_removal import filters, installed, script, services
from v2v_convert_guestfs.windows.tools_removal.filters import FilterList
from v2v_convert_guestfs.windows.tools_removal.installed import Installed
from v2v_convert_guestfs.windows.tools_removal.products import PRODUCTS
from v2v_convert_guestfs.windows.tools_removal.services import Service
from v2v_core.api import Fact, Verdict

__all__ = ["ToolsPlan", "change", "examine", "facts"]

_RUN = tuple(f"{view}Microsoft\\Windows\\CurrentVersion\\Run" for view in ("", "WOW6432Node\\"))
_FACT = "every filter driver that Windows needs to start can be loaded"
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class ToolsPlan:
    """What is removed.

    :param installed: tools that are in the list of installed programs. :param services: what does not start any more.
    :param filters: all lists of filters, with what stays in each.
    """

    installed: tuple[Installed, ...]
    services: tuple[Service, ...]
    filters: tuple[FilterList, ...]


def examine(guest: WindowsGuest, blockers: Blockers) -> ToolsPlan:
    """Look for tools of other hypervisors, without changing anything."""
    lists = filters.look(guest)
    needed = frozenset(driver.lower() for each in lists for driver in each.left)
    plan = ToolsPlan(installed=installed.look(guest), services=services.look(guest, needed), filters=lists)
    guest.session.findings.tools = tuple(each.name for each in plan.installed)
    _warn(guest, plan)
    return plan


def change(guest: WindowsGuest, plan: ToolsPlan) -> None:
    """Stage the edits of the registry, and add the scripts that uninstall the tools."""
    filters.change(guest, plan.filters)
    services.change(guest, plan.services)
    for product in PRODUCTS:
        for value in product.run_values:
            for key in _RUN:
                guest.registry.delete_value(
                    HiveName.SOFTWARE, key, value, why=f"it starts {product.title} at each logon"
                )
        own = [each for each in plan.installed if each.product is product and _can_be_uninstalled(each)]
        if own and product.uninstalled:
            names = ", ".join(each.name for each in own)
            body = script.body_of(product, own)
            guest.first_boot.add(TOOLS, script.name_of(product), body, why=f"uninstalls {names}")


def facts(guest: WindowsGuest) -> tuple[Fact, ...]:
    """Return what can be seen of filter drivers, once all changes are written."""
    lacking = [each for each in filters.missing(guest, filters.look(guest)) if each.starting]
    detail = "; ".join(f"{each.driver} {each.why} ({each.filters.key})" for each in lacking[:_SHOWN])
    certain = any(each.broken for each in lacking)
    verdict = Verdict.FAILED if certain else Verdict.UNKNOWN if lacking else Verdict.PASSED
    return (Fact(name=_FACT, verdict=verdict, detail=detail),)


def _warn(guest: WindowsGuest, plan: ToolsPlan) -> None:
    report = guest.session.report
    for each in plan.installed:
        if not each.product.uninstalled:
            report.info(
                f"{each.name} stays installed: to uninstall it takes along virtio drivers. Its services do not start"
            )
        elif not _can_be_uninstalled(each):
            report.warning(
                f"{each.name} stays installed in the guest: its entry in the list of programs has no uninstaller that "
                "can be run without questions. Its services do not start; uninstall it in the converted guest"
            )
    lacking = filters.missing(guest, plan.filters)
    # Windows itself names some for classes of devices that the guest does not have.
    for lost in lacking:
        report.debug(f"the filter driver {lost.driver} {lost.why} ({lost.filters.key}, {lost.filters.name})")
    if listed := sorted({f"{each.driver} {each.why}" for each in lacking if each.starting}):
        report.warning(
            "Windows may not start: the guest's registry (UpperFilters, LowerFilters) names filter drivers that cannot "
            f"be loaded: {', '.join(listed[:_SHOWN])}. Repair or uninstall their programs at the source"
        )


def _can_be_uninstalled(each: Installed) -> bool:
    return each.product_code is not None or each.program is not None
