# SPDX-License-Identifier: GPL-2.0-or-later
"""Decide what hardware a Windows guest gets, by the drivers that virtio-win or Windows itself has for it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from v2v_convert_guestfs.session import Blockers
from v2v_convert_guestfs.windows.drivers import boot_driver, fallback, signatures
from v2v_convert_guestfs.windows.drivers.plan import DIRECTORY, BootDriver, DriversPlan, Edits, GuestFile
from v2v_convert_guestfs.windows.drivers.services import enable_own, own_driver
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.registry.hives import HiveName
from v2v_convert_guestfs.windows.registry.values import LONGEST_VALUE, Value, dword, expand_sz
from v2v_convert_guestfs.windows.virtio_win.layout import releases_for
from v2v_convert_guestfs.windows.virtio_win.packages import DriverPackage, Selection, select
from v2v_convert_guestfs.windows.virtio_win.places import INSTALLED, REMEDY, find_virtio_win
from v2v_convert_guestfs.windows.virtio_win.sources import UnreadableError
from v2v_core.api import Bus, visible

#: The drivers of each bus by the names of their INFs; the other names are those of SUSE's drivers.
_BLOCK = {Bus.VIRTIO_BLK: ("viostor", "virtio_blk", "vrtioblk"), Bus.VIRTIO_SCSI: ("vioscsi",)}
_NET = ("netkvm", "virtio_net")
_WHY = "Windows installs the drivers for its new devices"
_DEVICE_PATH, _CURRENT_VERSION = "DevicePath", r"Microsoft\Windows\CurrentVersion"
_ADDED = r"%SystemRoot%\Drivers\VirtIO"
#: The ids of devices with virtio 1.0: PCI devices from 1040 on.
_MODERN = re.compile(r"PCI\\VEN_1AF4&DEV_10[4-7][0-9A-F]")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.+-]{0,100}")


@dataclass(frozen=True)
class _Available:
    """The drivers for the guest, and if there are none, why."""

    selection: Selection
    problem: str | None = None


def examine(
    guest: WindowsGuest,
    blockers: Blockers,
    *,
    environment: Mapping[str, str] | None = None,
    installed: tuple[Path, ...] = INSTALLED,
) -> DriversPlan:
    """Choose the guest's hardware and prepare its drivers, without changing anything.

    :param environment: says where virtio-win is; that of the process if None. :param installed: where it is otherwise.
    """
    available = _available(guest, blockers, environment, installed)
    edits = Edits()
    plan = _storage(guest, available, blockers, edits)
    plan = _network(guest, available, blockers, plan)
    _tell_fallback(guest, available, plan)
    _stay_stopped_after_a_crash(guest, edits)
    packages = available.selection.packages
    if packages:
        plan = _with_packages(guest, available.selection, plan, edits)
    return replace(plan, edits=tuple(edits.all))


def _available(
    guest: WindowsGuest, blockers: Blockers, environment: Mapping[str, str] | None, installed: tuple[Path, ...]
) -> _Available:
    found = find_virtio_win(environment, installed)
    if found.source is None:
        if found.named:
            blockers.add(str(found.problem), "name an ISO or a directory of virtio-win, or unset the variable")
        return _Available(Selection(), found.problem)
    place = found.source.place
    try:
        with contextlib.closing(found.source) as source:
            selection = select(source, guest.system)
    except UnreadableError as err:
        problem = f"virtio-win ({place}) cannot be read: {err}"
        if found.named:
            blockers.add(problem, "copy it again, or download it again")
        return _Available(Selection(), problem)
    for reason in selection.unfit.values():
        guest.session.report.debug(reason)
    for package in selection.packages.values():
        guest.session.report.debug(f"virtio-win: {package.inf_name} from {package.place}{_nearest(guest, package)}")
    if not selection.packages:
        name = guest.system.product_name or "this Windows"
        return _Available(selection, f"virtio-win ({place}) has no drivers for {name} ({guest.system.arch})")
    return _Available(_without_unfit(guest, selection))


def _nearest(guest: WindowsGuest, package: DriverPackage) -> str:
    best = releases_for(guest.system)[0]
    return "" if package.release == best else f", the nearest, because it has none for {best.directory}"


def _without_unfit(guest: WindowsGuest, selection: Selection) -> Selection:
    """Leave out the drivers that cannot run in the guest, and that it does not need to boot or for its network."""
    kept = {}
    for name, package in selection.packages.items():
        needed = name in {*_NET, *(block for names in _BLOCK.values() for block in names)}
        reason = signatures.fits(guest, package) if package.installation.services else None
        if reason is not None and not needed:
            guest.session.report.warning(f"{reason}; the guest does not get this driver")
            continue
        kept[name] = package
    return replace(selection, packages=kept)


def _storage(guest: WindowsGuest, available: _Available, blockers: Blockers, edits: Edits) -> DriversPlan:
    """Choose the bus of the disks, with its driver."""
    packages = available.selection.packages
    for bus in _wanted_buses(guest):
        for name in _BLOCK[bus]:
            if (package := packages.get(name)) is None:
                continue
            if (reason := signatures.fits(guest, package)) is not None:
                blockers.add(reason, "give another virtio-win (VIRTIO_WIN), one with drivers for this Windows")
                return DriversPlan(block_bus=bus, net_model="virtio", machine=_machine(guest, modern=True))
            signatures.check(guest, package, blockers)
            driver, files = boot_driver.install(guest, package, edits)
            return _virtio(guest, bus, driver, tuple(files), modern=_is_modern(package))
    for bus in _wanted_buses(guest):
        if (own := own_driver(guest, _BLOCK[bus][0])) is not None:
            enable_own(edits, guest, own, boot_driver.WHY)
            guest.session.report.info(f"The guest keeps its own driver {own.service} of virtio disks")
            return _virtio(guest, bus, own, (), modern=True)
    chosen = fallback.storage(guest, blockers, edits)
    return DriversPlan(
        block_bus=chosen.bus,
        net_model="virtio",
        machine=chosen.machine,
        virtio_1_0=chosen.machine != "i440fx",
        boot_driver=chosen.driver,
    )


def _wanted_buses(guest: WindowsGuest) -> tuple[Bus, ...]:
    """Return the buses of virtio disks, the wanted one first."""
    if guest.session.request.settings.block_driver == "virtio-scsi":
        return Bus.VIRTIO_SCSI, Bus.VIRTIO_BLK
    return Bus.VIRTIO_BLK, Bus.VIRTIO_SCSI


def _virtio(
    guest: WindowsGuest, bus: Bus, driver: BootDriver, files: tuple[GuestFile, ...], *, modern: bool
) -> DriversPlan:
    wanted = _wanted_buses(guest)[0]
    if bus is not wanted:
        guest.session.report.warning(
            f"There is no driver of {wanted.value} for this Windows, so the guest gets disks on {bus.value}; "
            f"for {wanted.value}, give a virtio-win that has it (VIRTIO_WIN)"
        )
    machine = _machine(guest, modern=modern)
    return DriversPlan(
        block_bus=bus, net_model="virtio", machine=machine, virtio_1_0=modern, boot_driver=driver, files=files
    )


def _machine(guest: WindowsGuest, *, modern: bool) -> str:
    r"""Return the machine. Windows before Vista, and drivers that know only virtio 0.9, get the old one."""
    if guest.system.arch == "aarch64":
        return "virt"
    return "q35" if modern and guest.system.at_least(6) else "i440fx"


def _is_modern(package: DriverPackage) -> bool:
    return any(_MODERN.match(name) for name in package.installation.ids)


def _network(guest: WindowsGuest, available: _Available, blockers: Blockers, plan: DriversPlan) -> DriversPlan:
    for name in _NET:
        if (package := available.selection.packages.get(name)) is None:
            continue
        if (reason := signatures.fits(guest, package)) is not None:
            blockers.add(reason, "give another virtio-win (VIRTIO_WIN), one with drivers for this Windows")
        return replace(plan, virtio_1_0=plan.virtio_1_0 and _is_modern(package))
    if own_driver(guest, _NET[0]) is not None:
        return plan
    return replace(plan, net_model=fallback.card(guest))


def _tell_fallback(guest: WindowsGuest, available: _Available, plan: DriversPlan) -> None:
    """Warn once, if the guest gets slower devices than it could."""
    slow = []
    if plan.block_bus not in _BLOCK:
        slow.append(f"{plan.block_bus.value.upper()} disks")
    if plan.net_model != "virtio":
        slow.append(f"network cards of the model {plan.net_model}")
    if slow:
        lacking = "virtio-win has no driver for them that fits this Windows"
        why = available.problem or next(iter(available.selection.unfit.values()), lacking)
        guest.session.report.warning(f"The guest gets {' and '.join(slow)}, which are slow: {why}; {REMEDY}")


def _stay_stopped_after_a_crash(guest: WindowsGuest, edits: Edits) -> None:
    """Let Windows show the error if it cannot boot, rather than start again and again."""
    why = "an error at boot stays on the screen"
    for control_set in guest.system.control_sets:
        edits.set(rf"{control_set}\Control\CrashControl", "AutoReboot", dword(0), why=why)


def _with_packages(guest: WindowsGuest, selection: Selection, plan: DriversPlan, edits: Edits) -> DriversPlan:
    directory = guest.files.find(f"{guest.system.systemroot}/{DIRECTORY}")
    directory = directory or f"{guest.system.systemroot}/{DIRECTORY}"
    waiting = {name: data for name, data in selection.files().items() if _NAME.fullmatch(name)}
    files = tuple(GuestFile(f"{directory}/{name}", data, _WHY) for name, data in sorted(waiting.items()))
    _extend_device_path(guest, edits)
    packages = selection.packages
    guest.session.findings.drivers = tuple(
        visible(f"{package.inf_name} {package.inf.driver_version[1]} from {package.place}")
        for _, package in sorted(packages.items())
    )
    return replace(
        plan,
        virtio_rng="viorng" in packages,
        virtio_balloon="balloon" in packages,
        virtio_socket="viosock" in packages,
        isa_pvpanic="pvpanic" in packages,
        files=plan.files + files,
        infs=tuple(sorted(f"{name}.inf" for name in packages if f"{name}.inf" in waiting)),
        agent_msi=selection.agent,
        balloon_service=("blnsvr.exe", waiting["blnsvr.exe"]) if "blnsvr.exe" in waiting else None,
    )


def _extend_device_path(guest: WindowsGuest, edits: Edits) -> None:
    r"""Let Windows look for drivers in ``%SystemRoot%\Drivers\VirtIO``, too."""
    key = guest.registry.key(HiveName.SOFTWARE, _CURRENT_VERSION)
    if key is None:
        guest.session.report.warning(
            rf"The guest's SOFTWARE hive has no key {_CURRENT_VERSION}, so Windows may not find its new drivers alone"
        )
        return
    value = key.value(_DEVICE_PATH)
    if value is None:
        # What Windows has without the value.
        new = expand_sz(rf"%SystemRoot%\inf;{_ADDED}")
    else:
        text = value.text
        if text is None:
            guest.session.report.warning(
                rf"{_CURRENT_VERSION}\{_DEVICE_PATH} in the guest's SOFTWARE hive is no text ({value}); "
                "it stays as it is, and Windows may not find its new drivers alone"
            )
            return
        if _ADDED.lower() in (part.strip().lower() for part in text.split(";")):
            return
        new = Value(value.type, f"{text.rstrip(';')};{_ADDED}\0".encode("utf-16-le"))
    if len(new.data) <= LONGEST_VALUE:
        edits.set(_CURRENT_VERSION, _DEVICE_PATH, new, why=_WHY, hive=HiveName.SOFTWARE)
