# SPDX-License-Identifier: GPL-2.0-or-later
"""Updates, renames, setup, checks of disks: what Windows must finish before a conversion, and what does no harm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.windows.checks.updates import scheduled_checks, serious_renames
from v2v_convert_guestfs.windows.registry.values import Type, Value

CBS = r"Microsoft\Windows\CurrentVersion\Component Based Servicing"
MANAGER = r"Control\Session Manager"
PENDING = {"/Windows/WinSxS/pending.xml": b"<PendingTransaction/>"}
Examine = Callable[..., Any]


def renames(*paths: str) -> Value:
    r"""Return a PendingFileRenameOperations: pairs of a path and its new one, "" to delete it."""
    return Value(Type.MULTI_SZ, "\0".join([*paths, "", ""]).encode("utf-16-le"))


def test_a_guest_with_nothing_pending(examine: Examine) -> None:
    quiet = {
        rf"{CBS}\SessionsPending": {"Exclusive": 0, "TotalSessionPhases": 0},
        r"Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update": {"AUOptions": 4},
        r"Microsoft\Windows\CurrentVersion\Setup\State": {"ImageState": "IMAGE_STATE_COMPLETE"},
    }
    setup = {"Setup": {"SystemSetupInProgress": 0, "OOBEInProgress": 0, "SetupType": 0, "CmdLine": ""}}
    control = {MANAGER: {"BootExecute": ["autocheck autochk *"], "SetupExecute": []}}
    assert examine(control=control, software=quiet, system=setup).nothing


@pytest.mark.parametrize(
    ("software", "control", "files", "named"),
    [
        ({rf"{CBS}\RebootPending": {}}, {}, PENDING, r"Component Based Servicing\RebootPending, WinSxS\pending.xml"),
        ({rf"{CBS}\SessionsPending": {"Exclusive": 3}}, {}, PENDING, r"Component Based Servicing\SessionsPending"),
        ({rf"{CBS}\RebootInProgress": {}}, {}, {}, r"Component Based Servicing\RebootInProgress"),
        (
            {},
            # as p0w3rsh3ll/AutoRuns#100 shows it, but for the capitals
            {MANAGER: {"SetupExecute": [r"C:\Windows\System32\POQEXEC.EXE /display_progress \SystemRoot\WinSxS\p"]}},
            {"/Windows/winsxs/Pending.xml": b""},
            r"WinSxS\pending.xml, Session Manager\SetupExecute",
        ),
    ],
)
def test_half_installed_updates_are_a_blocker(
    software: dict[str, Any], control: dict[str, Any], files: dict[str, bytes], named: str, examine: Examine
) -> None:
    """See Azure/azure-cli#22053: moved machines hang at their start in a pending update, which has to be reverted."""
    told = examine(software=software, control=control, files=files)
    reason, remedy = told.blocker()
    assert reason.startswith("updates of the guest's Windows are half installed (")
    assert named in reason
    assert "let Windows finish its updates" in remedy
    assert told.warnings == []


@pytest.mark.parametrize(
    ("software", "named"),
    [
        ({rf"{CBS}\RebootPending": {}}, "(RebootPending)"),
        ({rf"{CBS}\SessionsPending": {"Exclusive": 1}}, "(SessionsPending)"),
        ({r"Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired": {"a": 1}}, "(RebootRequired)"),
        (
            {
                rf"{CBS}\RebootPending": {},
                r"Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired": {},
            },
            "(RebootPending, RebootRequired)",
        ),
    ],
)
def test_a_restart_that_is_due_is_told(software: dict[str, Any], named: str, examine: Examine) -> None:
    """See libguestfs/virt-v2v#159: a first boot that looks for such restarts by itself, and restarts for ever."""
    warning = examine(software=software).warning()
    assert warning.startswith("the guest's Windows waits for a restart to finish updates or installations " + named)


def test_a_list_of_an_update_that_nobody_waits_for(examine: Examine) -> None:
    warning = examine(files=PENDING).warning()
    assert warning.startswith("/Windows/WinSxS/pending.xml in the guest lists operations of an update, and nothing")


@pytest.mark.parametrize(
    "harmless",
    [
        (r"\??\C:\Users\joe\AppData\Local\Temp\nsb42.tmp\System.dll", ""),
        (r"\??\C:\Windows\Temp\{0F1E}\setup.exe", "", r"\??\C:\Program Files\Agent\old.dll", ""),
        (r"\??\C:\Program Files\Agent\new.dll", r"!\??\C:\Program Files\Agent\agent.dll"),
        (r"\??\C:\Windows\System32\spool\drivers\x64\3\Old\1\UNIDRV.DLL", ""),
        (r"\??\C:\Windows\System32\drivers\SETA1B2.tmp", ""),
        ("", ""),
        (),
    ],
)
def test_remains_of_installers_do_no_harm(harmless: tuple[str, ...], examine: Examine) -> None:
    """See chocolatey/choco#1768: such entries are there on most machines, and come back after every restart."""
    assert serious_renames(renames(*harmless).data) == []
    assert examine(control={MANAGER: {"PendingFileRenameOperations": renames(*harmless)}}).nothing


@pytest.mark.parametrize(
    ("pair", "named"),
    [
        (
            (r"\??\C:\Windows\Temp\SET1.tmp", r"!\??\C:\Windows\System32\drivers\vmxnet3.sys"),
            r"C:\Windows\System32\drivers\vmxnet3.sys",
        ),
        ((r"*1\??\C:\WINNT\new.dll", r"*1!\??\C:\WINNT\system32\hal.dll"), r"C:\WINNT\system32\hal.dll"),
        ((r"\??\C:\Windows\System32\drivers\pvscsi.sys", ""), r"C:\Windows\System32\drivers\pvscsi.sys"),
    ],
)
def test_system_files_that_are_replaced_are_told(pair: tuple[str, str], named: str, examine: Examine) -> None:
    told = examine(control={MANAGER: {"PendingFileRenameOperations": renames(r"\??\C:\a.tmp", "", *pair)}})
    assert f"(PendingFileRenameOperations): {named}. To be sure" in told.warning()


def test_many_renames_are_told_briefly(examine: Examine) -> None:
    pairs = [part for number in range(9) for part in (rf"\??\C:\{number}", rf"!\??\C:\Windows\System32\{number}.dll")]
    assert (
        r"C:\Windows\System32\2.dll and 6 more. To be sure"
        in examine(control={MANAGER: {"PendingFileRenameOperations": renames(*pairs)}}).warning()
    )


@given(st.binary(max_size=400))
def test_any_value_is_understood_or_not(data: bytes) -> None:
    assert all(isinstance(path, str) for path in serious_renames(data))


def test_an_unfinished_setup_is_a_blocker(examine: Examine) -> None:
    state = {r"Microsoft\Windows\CurrentVersion\Setup\State": {"ImageState": "IMAGE_STATE_UNDEPLOYABLE"}}
    reason, remedy = examine(system={"Setup": {"SystemSetupInProgress": 1}}, software=state).blocker()
    assert "has not finished its setup or an upgrade (SystemSetupInProgress)" in reason
    assert "let the setup come to its end" in remedy


@pytest.mark.parametrize(
    ("setup", "state"),
    [
        ({"SystemSetupInProgress": 1, "OOBEInProgress": 1}, "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE"),
        ({"SystemSetupInProgress": 1}, "IMAGE_STATE_SPECIALIZE_RESEAL_TO_AUDIT"),
        # Windows XP and 2003 have no such state
        ({"SystemSetupInProgress": 1, "CmdLine": "setup -newsetup -mini"}, ""),
    ],
)
def test_a_template_is_told(setup: dict[str, Any], state: str, examine: Examine) -> None:
    told = examine(
        system={"Setup": setup}, software={r"Microsoft\Windows\CurrentVersion\Setup\State": {"ImageState": state}}
    )
    assert told.warning().startswith("the guest is a template that was prepared with sysprep")


def test_unanswered_questions_are_told(examine: Examine) -> None:
    assert "OOBEInProgress" in examine(system={"Setup": {"OOBEInProgress": 1}}).warning()


@pytest.mark.parametrize(
    ("command", "volumes"),
    [
        ("autocheck autochk *", []),
        ("autocheck autochk /k:C *", []),
        (r"autocheck autochk /r \??\C:", ["C:"]),
        (r"autocheck autochk /p \??\D:", ["D:"]),
        (r"autocheck AutoChk /m \??\Volume{0f1e-2d3c}", ["Volume{0f1e-2d3c}"]),
        ("autocheck lsdelete", []),
    ],
)
def test_a_scheduled_check_of_a_disk(command: str, volumes: list[str], examine: Examine) -> None:
    assert scheduled_checks([command]) == volumes
    told = examine(control={MANAGER: {"BootExecute": [command]}})
    assert (
        [f"(chkdsk) at its next start: {volumes[0]}. " in text for text in told.warnings] if volumes else told.nothing
    )


def test_values_of_a_wrong_type_are_no_facts(examine: Examine) -> None:
    manager = {"BootExecute": b"\xff", "SetupExecute": 7, "PendingFileRenameOperations": 7}
    setup = {"Setup": {"SystemSetupInProgress": "1", "OOBEInProgress": b"\x01\x02\x03", "CmdLine": 3}}
    software = {rf"{CBS}\SessionsPending": {"Exclusive": "yes"}}
    assert examine(control={MANAGER: manager}, system=setup, software=software).nothing
