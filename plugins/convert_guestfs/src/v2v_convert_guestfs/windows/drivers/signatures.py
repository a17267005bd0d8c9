# SPDX-License-Identifier: GPL-2.0-or-later
"""Check, before anything is changed, whether the guest's Windows will take a driver: its program, and who signed it.

64-bit Windows since Vista starts no driver without a signature, except in test mode. With secure boot there is no test
mode. 32-bit Windows starts any driver.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from v2v_convert_guestfs.session import Blockers
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.registry.hives import HiveName
from v2v_convert_guestfs.windows.virtio_win.catalogue import Catalogue, Trust, read_catalogue
from v2v_convert_guestfs.windows.virtio_win.packages import DriverPackage
from v2v_convert_guestfs.windows.virtio_win.programs import (
    MACHINE_NAMES,
    MACHINES,
    NATIVE,
    Program,
    file_digest,
    read_program,
)

_OTHER = "give another virtio-win (VIRTIO_WIN), one that nobody changed"
_SIGNED = "give a virtio-win whose drivers Microsoft signed (VIRTIO_WIN), such as that of a distribution with support"
_PACKAGES = r"Microsoft\Windows\CurrentVersion\Component Based Servicing\Packages"
#: The updates with which Windows 7 and Server 2008 (R2) understand signatures with SHA-2.
_SHA2_UPDATES = ("KB4474419", "KB3033929")
#: From this date on, Windows 10 1607 with secure boot takes only certificates that Microsoft signed itself.
_CROSS_SIGNED_UNTIL = datetime.date(2015, 7, 29)


def fits(guest: WindowsGuest, package: DriverPackage) -> str | None:
    """Return why a driver's program cannot run in the guest, or None."""
    name = package.binary()
    if name is None:
        wanted = next((s.binary for s in package.installation.services if s.binary), f"{package.name}.sys")
        return f"{package.place} in virtio-win has {package.inf_name}, but not its driver {wanted}"
    place = f"{package.place}/{name} in virtio-win"
    program = read_program(package.files[name])
    if program is None:
        return f"{place} is no Windows driver, or a damaged one"
    return _program_fits(guest, place, program)


def _program_fits(guest: WindowsGuest, place: str, program: Program) -> str | None:
    if program.machine != MACHINES.get(guest.system.arch):
        needed = MACHINE_NAMES.get(MACHINES.get(guest.system.arch, 0), guest.system.arch)
        return f"{place} is a driver for {program.machine_name()}, the guest needs one for {needed}"
    if not program.complete:
        return f"{place} is cut off"
    if program.subsystem != NATIVE:
        return f"{place} is a program, not a driver"
    if program.version > guest.system.version:
        needs, has = (".".join(map(str, version)) for version in (program.version, guest.system.version))
        return f"{place} is for Windows NT {needs} or later, the guest has {has}"
    return None


@dataclass(frozen=True)
class _Case:
    guest: WindowsGuest
    package: DriverPackage
    binary: str
    label: str
    blockers: Blockers

    @property
    def enforced(self) -> bool:
        """Whether this Windows starts no driver without a signature."""
        return self.guest.system.arch != "i386" and self.guest.system.at_least(6) and not _test_mode(self.guest)

    @property
    def secure(self) -> bool:
        return self.guest.session.request.guest.secure_boot

    def decide(self, reason: str, remedy: str, *, stops: bool) -> None:
        if stops:
            self.blockers.add(reason, remedy)
        else:
            self.guest.session.report.warning(f"{reason}; {remedy}")


def check(guest: WindowsGuest, package: DriverPackage, blockers: Blockers) -> None:
    """Tell what keeps Windows from starting a driver that it boots with.

    :param package: its program fits (``fits``).
    """
    binary = package.binary()
    if binary is None:
        return
    case = _Case(guest, package, binary, f"{package.place}/{binary} in virtio-win", blockers)
    name = package.catalogue(guest.system.arch)
    if name is None:
        _without_catalogue(case)
        return
    catalogue = read_catalogue(package.files[name])
    stops = case.enforced or case.secure
    if catalogue is None:
        reason = f"{name}, the catalogue of {case.label}, is damaged, so the driver is not signed"
        case.decide(reason, _OTHER, stops=stops)
        return
    if not _lists(catalogue, package.files[binary]):
        reason = f"{case.label} is not the file that its catalogue {name} vouches for"
        case.decide(reason, _OTHER, stops=stops)
        return
    if not _lists(catalogue, package.files[package.inf_name]):
        reason = (
            f"{package.place}/{package.inf_name} in virtio-win is not the file that its catalogue {name} vouches for"
        )
        case.decide(f"{reason}, and Windows will not install it", _OTHER, stops=False)
    _check_signer(case, catalogue)
    _check_algorithm(case, catalogue)


def _without_catalogue(case: _Case) -> None:
    program = read_program(case.package.files[case.binary])
    if program is not None and program.signed:
        case.guest.session.report.debug(f"{case.label} has no catalogue, but carries a signature")
        return
    reason = f"{case.label} is not signed: it has no catalogue"
    if case.enforced or case.secure:
        case.decide(f"{reason}, and this Windows starts no such driver", _SIGNED, stops=True)
    else:
        case.decide(reason, _SIGNED, stops=False)


def _check_signer(case: _Case, catalogue: Catalogue) -> None:
    trust, by = catalogue.trust, f" ({catalogue.signer})" if catalogue.signer else ""
    if trust in {Trust.TEST, Trust.UNSIGNED}:
        reason = f"{case.label} is {trust}{by}"
        if case.secure:
            remedy = f"{_SIGNED}, or turn secure boot off at the source"
            case.decide(f"{reason}, and with secure boot Windows does not start it", remedy, stops=True)
        elif case.enforced:
            case.decide(f"{reason}, and Windows may refuse it when it boots (error 0xc0000428)", _SIGNED, stops=False)
        return
    late = catalogue.issued is None or catalogue.issued >= _CROSS_SIGNED_UNTIL
    if trust is Trust.CROSS_SIGNED and case.secure and late and case.guest.system.at_least(10, 0, 14393):
        reason = (
            f"{case.label} is {trust}{by}; with secure boot, Windows may refuse it when it boots (error 0xc0000428)"
        )
        case.decide(reason, _SIGNED, stops=False)


def _check_algorithm(case: _Case, catalogue: Catalogue) -> None:
    system = case.guest.system
    new = catalogue.digest not in {"", "sha1"} or "sha1" not in catalogue.algorithms
    if not new or not case.enforced or not (6, 0) <= system.version <= (6, 1):
        return
    packages = case.guest.registry.key(HiveName.SOFTWARE, _PACKAGES)
    names = [key.name.upper() for key in packages.keys()] if packages is not None else []  # noqa: SIM118
    if not any(update in name for name in names for update in _SHA2_UPDATES):
        reason = f"{case.label} is signed with SHA-2 alone, which this Windows does not seem to understand"
        case.decide(
            reason, "install KB4474419 in the guest at its hypervisor, or give an older virtio-win", stops=False
        )


def _lists(catalogue: Catalogue, data: bytes) -> bool:
    return any(file_digest(data, algorithm) in catalogue.members for algorithm in catalogue.algorithms)


def _test_mode(guest: WindowsGuest) -> bool:
    """Return whether Windows was in test mode when it last started."""
    key = guest.registry.key(HiveName.SYSTEM, rf"{guest.system.default}\Control")
    value = key.value("SystemStartOptions") if key is not None else None
    return "TESTSIGNING" in ((value.text if value is not None else None) or "").upper()
