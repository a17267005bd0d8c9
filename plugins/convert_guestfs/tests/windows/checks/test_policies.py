# SPDX-License-Identifier: GPL-2.0-or-later
"""Policies on devices and programs, antivirus programs, code integrity: what stops the conversion, what is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from v2v_convert_guestfs.windows.registry.values import dword, expand_sz

RESTRICTIONS = r"Policies\Microsoft\Windows\DeviceInstall\Restrictions"
NET, SCSI = "{4d36e972-e325-11ce-bfc1-08002be10318}", "{4D36E97B-E325-11CE-BFC1-08002BE10318}"
VIRTIO = r"PCI\VEN_1AF4"
USB = "{36fc9e60-c465-11cf-8056-444553540000}"
UNINSTALL = r"Microsoft\Windows\CurrentVersion\Uninstall"
Examine = Callable[..., Any]


def listed(name: str, *entries: str) -> dict[str, Any]:
    """Return a policy that is on, with its list: a value, and a key of the same name."""
    return {name: 1, f"{name}\\": {str(number): entry for number, entry in enumerate(entries, 1)}}


@pytest.mark.parametrize(
    ("policies", "what"),
    [
        ({"DenyUnspecified": 1}, "disks and network cards: DenyUnspecified"),
        ({"DenyUnspecified": 1, **listed("AllowDeviceClasses", USB)}, "disks and network cards: DenyUnspecified"),
        ({"DenyUnspecified": 1, **listed("AllowDeviceClasses", SCSI)}, "network cards: DenyUnspecified"),
        (listed("DenyDeviceClasses", USB, NET), "network cards: DenyDeviceClasses"),
        (listed("DenyDeviceIDs", r"pci\ven_1af4&dev_1041"), "network cards: DenyDeviceIDs"),
        (listed("DenyDeviceIDs", VIRTIO), "disks and network cards: DenyDeviceIDs"),
        (listed("DenyDeviceIDs", r"PCI\CC_0200"), "network cards: DenyDeviceIDs"),
        (
            {**listed("DenyDeviceClasses", NET), **listed("AllowDeviceIDs", VIRTIO)},
            "network cards: DenyDevice",
        ),
        (
            {
                "DenyUnspecified": 1,
                **listed("AllowDeviceClasses", NET),
                **listed("DenyDeviceIDs", r"PCI\VEN_1AF4&DEV_1001"),
            },
            "disks: DenyDeviceIDs",
        ),
    ],
)
def test_policies_that_forbid_virtio(policies: dict[str, Any], what: str, examine: Examine) -> None:
    """See libguestfs/virt-v2v#13: a warning of group policies in general, which was of no help."""
    reason, remedy = examine(software={RESTRICTIONS: policies}).blocker()
    assert reason.startswith(f"a policy of the guest forbids it to install virtio {what}")
    assert rf"HKLM\SOFTWARE\{RESTRICTIONS}" in reason
    assert "gpupdate" in remedy


@pytest.mark.parametrize(
    "policies",
    [
        {},
        {"DenyUnspecified": 0},
        {"DenyRemovableDevices": 1},
        listed("DenyDeviceClasses", USB),
        listed("DenyDeviceIDs", r"USB\Class_08", r"PCI\VEN_8086&DEV_1041", r"PCI\CC_0200FF"),
        # a list whose policy is off
        {"DenyDeviceClasses": 0, "DenyDeviceClasses\\": {"1": NET}},
        {"DenyUnspecified": 1, **listed("AllowDeviceClasses", NET, SCSI)},
        {"DenyUnspecified": 1, **listed("AllowDeviceIDs", VIRTIO)},
        {"AllowDenyLayered": 1, **listed("DenyDeviceClasses", NET, SCSI), **listed("AllowDeviceIDs", VIRTIO)},
        {"DenyUnspecified": "1", "DenyDeviceIDs": b"\x01"},
    ],
)
def test_policies_that_do_not(policies: dict[str, Any], examine: Examine) -> None:
    assert examine(software={RESTRICTIONS: policies}).nothing


@pytest.mark.parametrize("rule", ["Exe", "Script", "Msi"])
def test_applocker(rule: str, examine: Examine) -> None:
    key = rf"Policies\Microsoft\Windows\SrpV2\{rule}"
    assert examine(software={key: {"EnforcementMode": 1}}).warning().startswith("AppLocker restricts ")
    assert examine(software={key: {"EnforcementMode": 0}}).nothing


def test_software_restriction(examine: Examine) -> None:
    key = r"Policies\Microsoft\Windows\Safer\CodeIdentifiers"
    assert "software restriction policy" in examine(software={key: {"DefaultLevel": 0}}).warning()
    assert examine(software={key: {"DefaultLevel": 0x40000}}).nothing


@pytest.mark.parametrize("locked", ["4", dword(4), expand_sz("4")])
def test_powershell_is_only_mentioned(locked: Any, examine: Examine) -> None:
    told = examine(
        software={r"Policies\Microsoft\Windows\PowerShell": {"ExecutionPolicy": "AllSigned"}},
        control={r"Control\Session Manager\Environment": {"__PSLockdownPolicy": locked}},
    )
    assert told.nothing
    (info,) = told.infos
    assert info.startswith(
        "PowerShell of the guest runs only signed scripts (AllSigned) and is in constrained language mode"
    )
    assert examine(software={r"Policies\Microsoft\Windows\PowerShell": {"ExecutionPolicy": "RemoteSigned"}}).infos == []


def test_group_policies_of_a_domain(examine: Examine) -> None:
    history = r"Microsoft\Windows\CurrentVersion\Group Policy\History\{35378EAC-683F-11D2-A89A-00C04FBBCFA2}"
    local = {"0": {"DisplayName": "Local Group Policy", "GPOName": "Local Group Policy"}}
    assert examine(software={history: local}).nothing
    told = examine(software={history: {**local, "1": {"DisplayName": "Servers\x1b[2J"}, "2": {"GPOName": "{31B2}"}}})
    assert told.warning().startswith("group policies of a domain apply to the guest (Servers [2J, {31B2}): ")


@pytest.mark.parametrize("view", ["", "WOW6432Node\\"])
def test_antivirus(view: str, examine: Examine) -> None:
    programs = {
        "{1}": {"DisplayName": "McAfee VirusScan Enterprise", "Publisher": "McAfee, Inc."},
        "{2}": {"DisplayName": "CrowdStrike Windows Sensor"},
        "{3}": {"DisplayName": "VMware Tools", "Publisher": "VMware, Inc."},
        "{4}": {"Publisher": "Sophos"},
    }
    warning = examine(software={view + UNINSTALL: programs}).warning()
    assert "antivirus program (CrowdStrike Windows Sensor, McAfee VirusScan Enterprise): " in warning
    others = {
        "{3}": programs["{3}"],
        "{5}": {"DisplayName": "Resetter", "Publisher": "Esetup"},
        "{6}": {"DisplayName": 7},
    }
    assert examine(software={view + UNINSTALL: others}).nothing


@pytest.mark.parametrize(
    ("control", "software", "expected"),
    [
        (
            {r"Control\DeviceGuard\Scenarios\HypervisorEnforcedCodeIntegrity": {"Enabled": 1}},
            {},
            "memory integrity (HVCI) is on in the guest, which needs nested virtualization",
        ),
        (
            {},
            {r"Policies\Microsoft\Windows\DeviceGuard": {"HypervisorEnforcedCodeIntegrity": 2}},
            "memory integrity (HVCI) is on in the guest",
        ),
        ({r"Control\Lsa": {"LsaCfgFlags": 1}}, {}, "Credential Guard is on in the guest"),
        ({r"Control\DeviceGuard": {"Mandatory": 1}}, {}, "virtualization-based security is mandatory in the guest"),
        ({r"Control\CI\Policy": {"VerifiedAndReputablePolicyState": 1}}, {}, "Smart App Control is on in the guest"),
    ],
)
def test_code_integrity(control: dict[str, Any], software: dict[str, Any], expected: str, examine: Examine) -> None:
    """See virtio-win/kvm-guest-drivers-windows#1280: Windows Server 2025 did not start with these settings."""
    assert examine(control=control, software=software).warning().startswith(expected)
    # Windows 7 does not know them, whatever is in its registry
    assert examine(control=control, software=software, version=(6, 1), build=7601).nothing


def test_code_integrity_that_is_off(examine: Examine) -> None:
    control = {
        r"Control\DeviceGuard\Scenarios\HypervisorEnforcedCodeIntegrity": {"Enabled": 0},
        r"Control\Lsa": {"LsaCfgFlags": 0, "RunAsPPL": 1},
        r"Control\CI\Policy": {"VerifiedAndReputablePolicyState": 2},
    }
    assert examine(control=control).nothing


def test_application_control_policies(examine: Examine) -> None:
    directory = "/Windows/System32/CodeIntegrity"
    own = {
        f"{directory}/driversipolicy.p7b": b"",
        f"{directory}/CiPolicies/Active/{{0283AC0F-FFF1-49AE-ADA1-8A933130CAD6}}.cip": b"",
        f"{directory}/CiPolicies/Active/{{82443e1e-8a39-4b4a-96a8-f40ddc00b9f3}}.cip": b"",
    }
    assert examine(files=own).nothing
    users = {
        f"{directory}/SIPolicy.p7b": b"",
        f"{directory}/CiPolicies/Active/{{AAAAAAAA-FFF1-49AE-ADA1-8A933130CAD6}}.CIP": b"",
    }
    warning = examine(files={**own, **users}).warning()
    assert (
        "(WDAC: SiPolicy.p7b, {AAAAAAAA-FFF1-49AE-ADA1-8A933130CAD6}.CIP) in /Windows/System32/CodeIntegrity" in warning
    )
