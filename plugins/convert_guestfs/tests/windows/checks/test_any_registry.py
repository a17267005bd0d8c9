# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever values the checks find in the registry: there is a blocker, a warning or nothing, and no traceback."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from v2v_convert_guestfs.session import Blockers
from v2v_convert_guestfs.windows.checks import system
from v2v_convert_guestfs.windows.registry.values import Type, Value
from v2v_convert_guestfs.windows.system import Product
from windows_guest import windows_guest

WINDOWS = r"Microsoft\Windows\CurrentVersion"
POLICIES = r"Policies\Microsoft\Windows"
RESTRICTIONS = rf"{POLICIES}\DeviceInstall\Restrictions"
#: The keys and values that the checks read.
SYSTEM = {
    "Setup": ("SystemSetupInProgress", "OOBEInProgress", "CmdLine"),
    r"ControlSet001\Control\Session Manager": (
        "BootExecute",
        "SetupExecute",
        "PendingFileRenameOperations",
        "PendingFileRenameOperations2",
    ),
    r"ControlSet001\Control\Session Manager\Environment": ("__PSLockdownPolicy",),
    r"ControlSet001\Control\Session Manager\Power": ("HiberbootEnabled",),
    r"ControlSet001\Control\DeviceGuard": ("Mandatory",),
    r"ControlSet001\Control\DeviceGuard\Scenarios\HypervisorEnforcedCodeIntegrity": ("Enabled",),
    r"ControlSet001\Control\CI\Policy": ("VerifiedAndReputablePolicyState",),
    r"ControlSet001\Control\Lsa": ("LsaCfgFlags",),
    r"ControlSet001\Services\ClusSvc": ("Start",),
    r"ControlSet001\Services\NTDS\Parameters": ("DSA Database file",),
}
SOFTWARE = {
    r"Microsoft\Windows NT\CurrentVersion": ("EditionID", "SystemRoot"),
    rf"{WINDOWS}\Component Based Servicing\SessionsPending": ("Exclusive",),
    rf"{WINDOWS}\Setup\State": ("ImageState",),
    rf"{WINDOWS}\Uninstall\{{1}}": ("DisplayName", "Publisher"),
    rf"{WINDOWS}\Group Policy\History\{{35378EAC-683F-11D2-A89A-00C04FBBCFA2}}\0": ("DisplayName", "GPOName"),
    RESTRICTIONS: ("DenyUnspecified", "AllowDenyLayered", "DenyDeviceIDs", "DenyDeviceClasses"),
    rf"{RESTRICTIONS}\DenyDeviceIDs": ("1", "2"),
    rf"{RESTRICTIONS}\DenyDeviceClasses": ("1",),
    rf"{POLICIES}\SrpV2\Exe": ("EnforcementMode",),
    rf"{POLICIES}\Safer\CodeIdentifiers": ("DefaultLevel",),
    rf"{POLICIES}\PowerShell": ("ExecutionPolicy",),
    rf"{POLICIES}\DeviceGuard": ("HypervisorEnforcedCodeIntegrity", "LsaCfgFlags"),
}
NUMBERS = st.sampled_from([0, 1, 2, 4, 0xFFFFFFFF]).map(lambda number: Value(Type.DWORD, number.to_bytes(4, "little")))
TEXTS = st.text(max_size=40).map(lambda text: Value(Type.SZ, text.encode("utf-16-le", "surrogatepass")))
ANYTHING = st.builds(Value, st.integers(0, 0xFFFFFFFF), st.binary(max_size=60))


@st.composite
def hives(draw: st.DrawFn, known: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    values = st.one_of(NUMBERS, TEXTS, ANYTHING)
    return {
        key: {name: draw(values) for name in names if draw(st.booleans())}
        for key, names in known.items()
        if draw(st.booleans())
    }


@settings(max_examples=150)
@given(system_hive=hives(SYSTEM), software=hives(SOFTWARE), product=st.sampled_from(Product))
def test_any_values(system_hive: dict[str, Any], software: dict[str, Any], product: Product) -> None:
    guest = windows_guest({}, system_hive, software, product=product)
    blockers = Blockers()
    system.examine(guest, blockers)
    for said in (*(part for reason in blockers.reasons for part in reason), *guest.report.warnings):
        assert said.isprintable()
        assert len(said) < 2000
    assert guest.registry.edits == []
