# SPDX-License-Identifier: GPL-2.0-or-later
"""What a hook returns is checked to its last field, and the error names the plugin, the hook and the field."""

from __future__ import annotations

import dataclasses
import datetime
import math
from pathlib import Path
from typing import Any

import pytest

from v2v_core.discovery import Role
from v2v_core.errors import PluginContractError
from v2v_core.hook_results import problem_of
from v2v_core.hookspecs import (
    AbortResult,
    ConvertRequest,
    ConvertResult,
    ConvertSettings,
    CopyResult,
    InputResult,
    InputSetupRequest,
    OutputCheckResult,
    OutputPrecheckRequest,
    OutputResult,
    OutputSettings,
    OutputSetup,
    OutputSetupRequest,
    OwnedObject,
    hookimpl,
)
from v2v_core.ledger import LedgerBook
from v2v_core.model import (
    Bus,
    Capabilities,
    Change,
    Cpu,
    DiskService,
    Firmware,
    Guest,
    Inspection,
    NbdkitFilter,
    NbdkitPlugin,
    NbdUri,
    Nic,
    QemuImage,
    SourceDisk,
)
from v2v_core.plugins import check_plugin
from v2v_core.settings import OutputChoice
from v2v_core.testing import FakeConvert, FakeOutput, FakeReporter

BLAME = "'foo' of v2v-foo 1.0"
GUEST = Guest(name="g")


def checked(role: Role, plugin_class: Any) -> Any:
    return check_plugin(role, "foo", plugin_class, BLAME)


def set_up(tmp_path: Path, result: object) -> None:
    class Output(FakeOutput):
        @hookimpl
        def v2v_output_setup(self, request: OutputSetupRequest) -> Any:
            return result

    request = OutputSetupRequest(
        directory=tmp_path,
        settings=OutputSettings(name="g"),
        guest=GUEST,
        disks=(),
        ledger=LedgerBook(tmp_path).begin(Role.OUTPUT, OutputChoice(mode="foo"), "g"),
        report=FakeReporter(),
    )
    checked(Role.OUTPUT, Output).output_setup(request)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"disks": [{"path": Path("/d")}]}, r"state\['disks'\]\[0\]\['path'\] is a PosixPath"),
        ({"made": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)}, r"state\['made'\] is a datetime"),
        ({"ids": {"a", "b"}}, r"state\['ids'\] is a set"),
        ({"uri": b"nbd://"}, r"state\['uri'\] is a bytes"),
        ({"disks": {1: "a"}}, r"state\['disks'\] has the key 1, which is an int and not a str"),
        ({"speed": math.nan}, r"state\['speed'\] is nan"),
        ({"bus": Bus}, r"state\['bus'\] is an EnumType"),
        ({"disk": SourceDisk(index=1)}, r"state\['disk'\] is a SourceDisk"),
    ],
)
def test_a_state_that_cannot_be_stored_blames_the_plugin(tmp_path: Path, state: Any, expected: str) -> None:
    """godaddy/tartufo#69, wntrblm/nox#1022: "Object of type PosixPath is not JSON serializable", and not whose."""
    with pytest.raises(PluginContractError, match=expected) as refused:
        set_up(tmp_path, OutputSetup(disks=(), state=state))
    assert BLAME in refused.value.message
    assert "the state of v2v_output_setup is not JSON" in refused.value.message
    assert refused.value.exit_code == 3


@pytest.mark.parametrize("state", [{}, {"a": [1, 2.5, None, True, "x", {"b": ("c",)}]}, {"path": "\udce9"}])
def test_a_state_of_json_values_is_accepted(tmp_path: Path, state: dict[str, Any]) -> None:
    set_up(tmp_path, OutputSetup(disks=(), state=state))


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (OutputSetup(disks=(), state=[]), "whose state is a list and not a dict"),  # type: ignore[arg-type]
        (OutputSetup(disks=(), request_size="1M"), "whose request_size is a str and not an int"),  # type: ignore[arg-type]
        (OutputSetup(disks=(), zeroed=1), "whose zeroed is an int and not a bool"),  # type: ignore[arg-type]
        (OutputSetup(disks=(), copier=True), "whose copier is a bool and not a str"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_field_of_a_set_up(tmp_path: Path, result: OutputSetup, expected: str) -> None:
    with pytest.raises(PluginContractError, match=f"v2v_output_setup returned an OutputSetup {expected}"):
        set_up(tmp_path, result)


def test_identities_that_do_not_tell_the_disks_apart(tmp_path: Path) -> None:
    """Two disks of one identity would share what their journals say."""
    with pytest.raises(PluginContractError, match="v2v_output_setup returned 1 identities for 0 disks"):
        set_up(tmp_path, OutputSetup(disks=(), identities=("disk",)))


def test_a_wrong_field_deep_in_a_guest(tmp_path: Path) -> None:
    class Input:
        @hookimpl
        def v2v_input_setup(self, request: InputSetupRequest) -> InputResult:
            guest = Guest(name="g", disks=(SourceDisk(index=1, origin=Path("/d")),))  # type: ignore[arg-type]
            return InputResult(guest=guest, disks=(NbdUri(uri="nbd://x"),))

    with pytest.raises(PluginContractError, match=r"whose guest.disks\[0\].origin is a PosixPath and not a str"):
        checked(Role.INPUT, Input).input_setup(
            InputSetupRequest(directory=tmp_path, arguments=(), report=FakeReporter())
        )


def test_a_wrong_field_of_a_conversion(tmp_path: Path) -> None:
    class Convert(FakeConvert):
        @hookimpl
        def v2v_convert(self, request: ConvertRequest) -> ConvertResult:
            return ConvertResult(
                inspection=Inspection(root="/dev/sda1", os_type="linux", distro="debian", arch="x86_64"),
                capabilities=Capabilities(),
                firmware="uefi",  # type: ignore[arg-type]
            )

    request = ConvertRequest(
        directory=tmp_path, temporary=tmp_path, guest=GUEST, disks=(), settings=ConvertSettings(), report=FakeReporter()
    )
    with pytest.raises(
        PluginContractError, match=r"v2v_convert returned .* whose firmware is a str and not a Firmware"
    ):
        checked(Role.CONVERT, Convert).convert(request)


def test_a_wrong_claim(tmp_path: Path) -> None:
    class Output(FakeOutput):
        @hookimpl
        def v2v_output_precheck(self, request: OutputPrecheckRequest) -> OutputCheckResult:
            return OutputCheckResult(claims=("/d/guest.xml",))  # type: ignore[arg-type]

    request = OutputPrecheckRequest(directory=tmp_path, settings=OutputSettings(name="g"), report=FakeReporter())
    with pytest.raises(PluginContractError, match=r"whose claims\[0\] is a str and not a Path"):
        checked(Role.OUTPUT, Output).output_precheck(request)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (OutputResult(created=(Path("/d"),)), "created[0] is a PosixPath and not a str"),  # type: ignore[arg-type]
        (OutputResult(created="/d"), "created is a str and not a tuple"),  # type: ignore[arg-type]
        (OutputResult(created=None), "created is nothing and not a tuple"),  # type: ignore[arg-type]
        (AbortResult(left=("x",)), "left[0] is a str and not an OwnedObject"),  # type: ignore[arg-type]
        (AbortResult(left=(OwnedObject(kind="file", identity=3),)), "left[0].identity is an int and not a str"),  # type: ignore[arg-type]
        (CopyResult(index=1, size="1"), "size is a str and not an int"),  # type: ignore[arg-type]
        (CopyResult(index=1, size=1.5), "size is a float and not an int"),  # type: ignore[arg-type]
        (
            InputResult(guest=GUEST, disks=(QemuImage(path="/d", format="raw"),)),  # type: ignore[arg-type]
            "disks[0].path is a str and not a Path",
        ),
        (
            InputResult(guest=GUEST, disks=(NbdkitPlugin(name="file", parameters=(("a",),)),)),  # type: ignore[arg-type]
            "disks[0].parameters[0] has 1 members and not 2",
        ),
    ],
)
def test_other_results(result: object, expected: str) -> None:
    assert problem_of(result, type(result)) == expected


@pytest.mark.parametrize(
    "result",
    [
        OutputResult(created=["/d"]),  # type: ignore[arg-type]
        OutputCheckResult(claims=(Path("/d"),)),
        InputResult(
            guest=dataclasses.replace(GUEST, nics=(Nic(mac="52:54:00:12:34:56"),), cpu=Cpu(count=2)),
            disks=(
                QemuImage(path=Path("/d"), format="vmdk", backing=QemuImage(path=Path("/e"), format="raw")),
                NbdkitPlugin(name="ssh", parameters=(("host", "h"),), filters=(NbdkitFilter(name="retry"),)),
            ),
            domain_xml=b"<domain/>",
        ),
        ConvertResult(
            inspection=Inspection(
                root="r", os_type="linux", distro="d", arch="x86_64", mountpoints=(("/", "/dev/sda1"),)
            ),
            capabilities=Capabilities(block_bus=Bus.SATA),
            firmware=Firmware.UEFI,
            changes=(Change(path="/etc/fstab", what="w", why="y"),),
            nic_order=(1, 0),
        ),
    ],
)
def test_results_that_are_right(result: object) -> None:
    assert problem_of(result, type(result)) is None


def test_the_kinds_of_a_service() -> None:
    assert problem_of(NbdUri(uri="nbd://x"), DiskService, "disk") is None
    assert problem_of("nbd://x", DiskService, "disk") == "disk is a str and not a QemuImage or NbdkitPlugin or NbdUri"
    assert problem_of(NbdUri(uri=1), DiskService, "disk") == "disk.uri is an int and not a str"  # type: ignore[arg-type]
