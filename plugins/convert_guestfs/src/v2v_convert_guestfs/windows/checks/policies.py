# SPDX-License-Identifier: GPL-2.0-or-later
"""Policies of the guest: which devices it may install, which programs may run, group policies, antivirus programs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from v2v_convert_guestfs.session import Blockers
from v2v_convert_guestfs.windows.checks.antivirus import antivirus_programs
from v2v_convert_guestfs.windows.checks.reading import WINDOWS, any_number, controls, number, software, text
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.registry.hives import Key
from v2v_core.api import visible

_RESTRICTIONS = r"Policies\Microsoft\Windows\DeviceInstall\Restrictions"
_VIRTIO = r"PCI\VEN_1AF4"


@dataclass(frozen=True)
class DeviceKind:
    """A kind of virtio devices, as policies name them: its class, and its numbers in identifiers."""

    name: str
    setup_class: str
    numbers: tuple[str, ...]
    pci_class: str

    def is_named(self, identifiers: frozenset[str]) -> bool:
        """Return whether one of the identifiers, in upper case, is one of a device of this kind."""
        return any(
            name == _VIRTIO
            or name.startswith(tuple(rf"{_VIRTIO}&DEV_{number}" for number in self.numbers))
            or re.fullmatch(rf"PCI\\(?:VEN_1AF4&)?CC_{self.pci_class}(?:00)?", name)
            for name in identifiers
        )


_KINDS = (
    DeviceKind("disks", "{4D36E97B-E325-11CE-BFC1-08002BE10318}", ("1001", "1042", "1004", "1048"), "0100"),
    DeviceKind("network cards", "{4D36E972-E325-11CE-BFC1-08002BE10318}", ("1000", "1041"), "0200"),
)
#: Rules of AppLocker for what the first boot runs.
_APPLOCKER = {"Exe": "programs", "Script": "scripts", "Msi": "installers"}
_GROUP_POLICY = rf"{WINDOWS}\Group Policy\History\{{35378EAC-683F-11D2-A89A-00C04FBBCFA2}}"
_LOCAL_POLICY = re.compile(r"local(?: group policy|gpo)?", re.IGNORECASE)
_MOST_NAMED = 5


def examine(guest: WindowsGuest, blockers: Blockers) -> None:
    """Collect the policies that keep virtio devices from being installed; warn of those that may be in the way."""
    _check_devices(guest, blockers)
    _check_programs(guest)
    _tell_of_powershell(guest)
    _warn_of_group_policies(guest)
    _warn_of_antivirus(guest)


def _check_devices(guest: WindowsGuest, blockers: Blockers) -> None:
    key = software(guest, _RESTRICTIONS)
    if key is None:
        return
    denied = {kind.name: why for kind in _KINDS if (why := why_denied(key, kind)) is not None}
    if denied:
        reasons = ", ".join(sorted(set(denied.values())))
        blockers.add(
            f"a policy of the guest forbids it to install virtio {' and '.join(denied)}: {reasons} in "
            rf"HKLM\SOFTWARE\{_RESTRICTIONS}",
            "lift the device installation restrictions for this guest until it has started on KVM (gpedit.msc, or the "
            "policy of the domain and gpupdate /force), then shut it down and convert it",
        )


def why_denied(key: Key, kind: DeviceKind) -> str | None:
    """Return the value of the restrictions that denies a kind of devices; None if they may be installed."""
    if kind.is_named(_listed(key, "DenyDeviceIDs")):
        return "DenyDeviceIDs"
    allowed = kind.is_named(_listed(key, "AllowDeviceIDs"))
    # Windows 10 can be told that the more specific rule counts.
    if allowed and number(key, "AllowDenyLayered"):
        return None
    if kind.setup_class in _listed(key, "DenyDeviceClasses"):
        return "DenyDeviceClasses"
    allowed = allowed or kind.setup_class in _listed(key, "AllowDeviceClasses")
    return "DenyUnspecified" if number(key, "DenyUnspecified") and not allowed else None


def _listed(key: Key, name: str) -> frozenset[str]:
    """Return a list of a policy in upper case; nothing if the policy is off."""
    below = key.key(name) if number(key, name) else None
    if below is None:
        return frozenset()
    return frozenset(found.text.strip().upper() for found in below.values().values() if found.text)


def _check_programs(guest: WindowsGuest) -> None:
    applocker = [
        what
        for name, what in _APPLOCKER.items()
        if number(software(guest, rf"Policies\Microsoft\Windows\SrpV2\{name}"), "EnforcementMode") == 1
    ]
    if applocker:
        guest.session.report.warning(
            f"AppLocker restricts {', '.join(applocker)} in the guest. Its rules usually leave the system itself "
            "alone, which runs the first boot; if they apply to services as well, the first boot does nothing. Allow "
            r"%ProgramFiles%\Guestfs before the conversion"
        )
    safer = software(guest, r"Policies\Microsoft\Windows\Safer\CodeIdentifiers")
    if number(safer, "DefaultLevel") == 0:
        guest.session.report.warning(
            "a software restriction policy of the guest forbids programs that it does not list: it may stop the first "
            r"boot. Allow %ProgramFiles%\Guestfs before the conversion"
        )


def _tell_of_powershell(guest: WindowsGuest) -> None:
    signed = text(software(guest, r"Policies\Microsoft\Windows\PowerShell"), "ExecutionPolicy") or text(
        software(guest, r"Microsoft\PowerShell\1\ShellIds\Microsoft.PowerShell"), "ExecutionPolicy"
    )
    environments = controls(guest, r"Control\Session Manager\Environment")
    locked = any(text(key, "__PSLockdownPolicy") in {"4", "8"} for key in environments)
    locked = locked or any_number(environments, "__PSLockdownPolicy", 4, 8)
    found = ["runs only signed scripts (AllSigned)"] if signed.lower() == "allsigned" else []
    found += ["is in constrained language mode (__PSLockdownPolicy)"] if locked else []
    if found:
        guest.session.report.info(
            f"PowerShell of the guest {' and '.join(found)}: the first boot does not need it. Scripts of your own "
            "(--firstboot) may"
        )


def _warn_of_group_policies(guest: WindowsGuest) -> None:
    key = software(guest, _GROUP_POLICY)
    below = () if key is None else key.keys()
    names = [text(one, "DisplayName") or text(one, "GPOName") or one.name for one in below]
    names = [name for name in dict.fromkeys(names) if not _LOCAL_POLICY.fullmatch(name.strip())]
    if names:
        guest.session.report.warning(
            f"group policies of a domain apply to the guest ({_few(names)}): what they change at its first start on "
            "KVM cannot be known here. If disks or network cards do not work there, look for policies on device "
            "installation"
        )


def _warn_of_antivirus(guest: WindowsGuest) -> None:
    names = antivirus_programs(guest.registry)
    if names:
        guest.session.report.warning(
            f"the guest has an antivirus program ({_few(names)}): some keep Windows from loading new "
            "drivers or stop the scripts of the first boot. If the guest does not start (0x7B), uninstall it at the "
            "source and convert the guest again"
        )


def _few(names: Sequence[str]) -> str:
    shown = visible(", ".join(name[:80] for name in names[:_MOST_NAMED]))
    return f"{shown} and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else shown
