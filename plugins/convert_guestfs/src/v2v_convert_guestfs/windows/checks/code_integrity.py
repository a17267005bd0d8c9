# SPDX-License-Identifier: GPL-2.0-or-later
"""What decides in the guest which drivers may be loaded, and what needs a hypervisor below Windows."""

from __future__ import annotations

import re

from v2v_convert_guestfs.windows.checks.reading import any_number, controls, number, software
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_core.api import visible

_POLICY = r"Policies\Microsoft\Windows\DeviceGuard"
_CODE_INTEGRITY = "System32/CodeIntegrity"
#: Application control policies that come with Windows: Smart App Control in its variants, Windows SE and S mode, the
#: list of vulnerable drivers that Microsoft forbids, and those that Windows keeps on the EFI system partition as well.
_OWN_POLICY = re.compile(
    r"\{(?:[0-9]283AC0F-FFF1-49AE-ADA1-8A933130CAD6|[0-9]678656C-05EF-481F-BC5B-EBD8C991502D|"
    r"5951A96A-E0B5-4D3D-8FB8-3E5B61030784|5DAC656C-21AD-4A02-AB49-649917162E70|82443E1E-8A39-4B4A-96A8-F40DDC00B9F3|"
    r"CDD5CB55-DB68-4D71-AA38-3DF2B6473A52|D2BDA982-CCF6-4344-AC5B-0B44427B6816)\}\.cip",
    re.IGNORECASE,
)
_MOST_NAMED = 3
_NESTED = "which needs nested virtualization, secure boot and UEFI on KVM"


def examine(guest: WindowsGuest) -> None:
    """Warn of memory integrity, Credential Guard and application control policies."""
    if not guest.system.at_least(10):
        return
    report = guest.session.report
    policy, guard = software(guest, _POLICY), controls(guest, r"Control\DeviceGuard")
    scenario = controls(guest, r"Control\DeviceGuard\Scenarios\HypervisorEnforcedCodeIntegrity")
    if any_number(scenario, "Enabled", 1) or number(policy, "HypervisorEnforcedCodeIntegrity") in {1, 2}:
        report.warning(
            f"memory integrity (HVCI) is on in the guest, {_NESTED} (a CPU with vmx or svm); without, it is off and "
            "Windows says so. With it, Windows loads no driver that is not made for it: use virtio drivers of a signed "
            "release, or turn it off before the conversion (core isolation)"
        )
    if any_number(controls(guest, r"Control\Lsa"), "LsaCfgFlags", 1, 2) or number(policy, "LsaCfgFlags") in {1, 2}:
        report.warning(
            f"Credential Guard is on in the guest, {_NESTED}; without, Windows starts, and credentials that it has "
            "saved under its protection cannot be read"
        )
    if any_number(guard, "Mandatory", 1):
        report.warning(
            f"virtualization-based security is mandatory in the guest, {_NESTED}: without, Windows does not start. "
            r"Delete the value Mandatory of HKLM\SYSTEM\CurrentControlSet\Control\DeviceGuard before the conversion "
            "if the host has no nested virtualization"
        )
    if any_number(controls(guest, r"Control\CI\Policy"), "VerifiedAndReputablePolicyState", 1):
        report.warning(
            "Smart App Control is on in the guest: it stops programs that are neither signed nor well known, and the "
            "service of the first boot may be one. If the first boot does nothing, turn it off and convert the guest "
            "again"
        )
    _check_policy_files(guest)


def _check_policy_files(guest: WindowsGuest) -> None:
    directory = f"{guest.system.systemroot}/{_CODE_INTEGRITY}"
    active = f"{directory}/CiPolicies/Active"
    names = guest.files.names(active) if guest.files.find(active) else ()
    found = [name for name in names if name.lower().endswith(".cip") and not _OWN_POLICY.fullmatch(name)]
    if guest.files.is_file(f"{directory}/SiPolicy.p7b"):
        found.insert(0, "SiPolicy.p7b")
    if found:
        more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        guest.session.report.warning(
            f"the guest has application control policies (WDAC: {visible(', '.join(found[:_MOST_NAMED]))}{more}) in "
            f"{directory}: if they do not allow the virtio drivers, Windows does not load them and does not start "
            "(0x7B), and if they do not allow the service of the first boot, that does nothing. Allow the publisher of "
            "the drivers, or use the policy in audit mode until the guest has started on KVM"
        )
