# SPDX-License-Identifier: GPL-2.0-or-later
"""The modern command and its subcommands."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from v2v_cli import v2v
from v2v_cli.doctor import examination
from v2v_core import __version__, discovery, pipeline
from v2v_core.conversion_dir import ConversionDir
from v2v_core.deep_inspection import DriverPlace, FilesystemFound, InspectResult, KernelFound
from v2v_core.discovery import Installed, Role
from v2v_core.errors import Obstacle, SourceError
from v2v_core.events import Event, EventKind, EventSink, Step
from v2v_core.finding import Finding, Status
from v2v_core.first_boot import FirstBootStatus, ScriptRun, ScriptState
from v2v_core.hookspecs import OutputResult
from v2v_core.model import (
    Bus,
    Capabilities,
    Change,
    Display,
    Fact,
    Firmware,
    Guest,
    Inspection,
    SourceDisk,
    TargetProfile,
    Verdict,
    WindowsInspection,
)
from v2v_core.settings import RunChoice
from v2v_core.testing.fake_plugins import FakeOutput

AtEnd = Callable[[ConversionDir], None]


def run(*words: str) -> int:
    return v2v.main(list(words))


@pytest.fixture
def choices(monkeypatch: pytest.MonkeyPatch, v2v_short_path: Path) -> list[RunChoice]:
    """Return the list of choices that the pipeline is called with."""
    called: list[RunChoice] = []
    left = ConversionDir.open_or_create(v2v_short_path / "left")
    left.events.write_text(Event(kind=EventKind.STEP_STARTED, step=Step.CONVERT).to_json() + "\n")

    def convert(choice: RunChoice, sinks: Sequence[Any] = (), *, at_end: AtEnd) -> OutputResult:
        called.append(choice)
        for sink in sinks:
            sink(Event(kind=EventKind.MESSAGE, step=Step.COPY, text="Copying disk 1/1", time=1.0))
        at_end(left)
        if choice.input.arguments == ("missing",):
            raise SourceError("no such guest")
        return OutputResult(created=("/out/guest.xml",))

    monkeypatch.setattr(pipeline, "run", convert)
    monkeypatch.setattr(pipeline, "convert_in_place", lambda choice, _sinks, *, at_end: called.append(choice))
    return called


def test_readable_options_and_short_ones_are_the_same(choices: list[RunChoice], tmp_path: Path) -> None:
    readable = f"convert a.img --input disk --input-option k=v --output local --output-storage D --dir {tmp_path}"
    assert run(*readable.split()) == 0
    assert run("convert", "a.img", "-i", "disk", "-io", "k=v", "-olocal", "-os", "D", "--dir", str(tmp_path)) == 0
    assert choices[0] == choices[1]
    assert choices[0].directory == tmp_path
    assert choices[0].input.options == (("k", "v"),)


def test_json_is_events_and_one_result(choices: list[RunChoice], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("convert", "--json", "a.img") == 0
    event, result = capsys.readouterr().out.splitlines()
    assert Event.from_json(event).text == "Copying disk 1/1"
    assert json.loads(result) == {"kind": "result", "created": ["/out/guest.xml"]}


def test_json_ends_with_the_error(choices: list[RunChoice], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("convert", "--json", "missing") == 4
    captured = capsys.readouterr()
    assert json.loads(captured.out.splitlines()[-1]) == {"kind": "error", "text": "no such guest", "code": 4}
    assert captured.err == "v2v: error: no such guest\n"


def test_report_file_is_checked_before_the_run(
    choices: list[RunChoice], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("convert", "a.img", "--report", str(tmp_path / "report.json")) == 0
    assert json.loads((tmp_path / "report.json").read_text())["outcome"] == "unfinished"
    choices.clear()
    assert run("convert", "a.img", "--report", str(tmp_path / "missing" / "report")) == 2
    assert "missing/report cannot be written" in capsys.readouterr().err
    assert run("convert", str(tmp_path / "a.img"), "--report", str(tmp_path / "a.img")) == 2
    assert run("convert", "a.img", "--json", "--report", "-") == 2
    assert choices == []


def test_report_of_a_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    event = Event(kind=EventKind.STEP_FAILED, step=Step.COPY, text="disk 1: gone", disk=1, code=7)
    (tmp_path / "events.jsonl").write_text(event.to_json() + "\n")
    assert run("report", str(tmp_path)) == 0
    assert capsys.readouterr().out.startswith("The conversion failed in the step copy (disk 1).\n")
    assert run("report", "--json", str(tmp_path)) == 0
    assert json.loads(capsys.readouterr().out)["failure"]["code"] == 7
    assert run("report", str(tmp_path / "nowhere")) == 1
    assert "v2v: error: " in capsys.readouterr().err


def test_in_place(choices: list[RunChoice]) -> None:
    assert run("convert", "--in-place", "a.img") == 0
    assert choices[0].input.in_place


def test_inspect(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(pipeline, "print_source", lambda choice, _sinks: Guest(name=choice.input.arguments[0]))
    assert run("inspect", "a.img") == 0
    assert "source name: a.img" in capsys.readouterr().out


_DEEP = InspectResult(
    inspection=Inspection(
        root="/dev/sda1",
        os_type="linux",
        distro="debian",
        arch="x86_64",
        major_version=12,
        product_name="Debian GNU/Linux 12 \x1b[31m(bookworm)",
        mountpoints=(("/", "/dev/sda1"),),
    ),
    firmware=Firmware.BIOS,
    boot_loader="GRUB 2",
    boot_disk=1,
    kernels=(
        KernelFound(
            version="6.1.0-18-amd64",
            drivers=(("virtio_pci", DriverPlace.BUILT_IN), ("virtio_blk", DriverPlace.MODULE)),
            in_boot_menu=True,
            default=True,
            chosen=True,
        ),
        KernelFound(version="2.6.9-89.EL", drivers=(("virtio_blk", DriverPlace.MISSING),)),
    ),
    filesystems=(FilesystemFound(device="/dev/sda1", kind="ext4", size=2**30, mountpoint="/"),),
    hypervisor_tools=("open-vm-tools",),
    capabilities=Capabilities(),
    changes=(Change(path="/etc/fstab", what="/dev/sda1 is /dev/vda1", why="new names of disks"),),
)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[InspectResult]]:
    """Let ``v2v inspect --deep`` find what the test puts here."""
    results = [_DEEP]

    def inspect_deeply(choice: RunChoice, sinks: Sequence[EventSink]) -> tuple[Guest, InspectResult]:
        for sink in sinks:
            sink(Event(kind=EventKind.WARNING, step=Step.CONVERT, text="/etc/fstab, line 3: no such disk", time=1.0))
            sink(Event(kind=EventKind.INFO, step=Step.CONVERT, text="The guest boots the kernel 6.1", time=1.0))
        name, keys = choice.input.arguments[0], choice.convert.settings.keys
        guest = Guest(
            name=name,
            display=Display(kind="vnc", password="Geheimnis"),
            disks=(SourceDisk(index=1, bus=Bus.SCSI, size=2**31, origin=f"/guests/{len(keys)}.vmdk"),),
        )
        return guest, results[0]

    monkeypatch.setattr(pipeline, "inspect_deeply", inspect_deeply)
    yield results


_FIRST_BOOT = FirstBootStatus(
    planned=True,
    finished=True,
    scripts=(
        ScriptRun(name="2000-drivers", state=ScriptState.DONE, exit_code=0, attempts=1, ended="29.11.2026 3:22"),
        ScriptRun(name="5000-\x1b[31mtools", state=ScriptState.GIVEN_UP, exit_code=249, attempts=5),
    ),
    log="a\nmsiexec: \x1b[2Jexit code 1603\n",
)


@pytest.fixture
def first_boot(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let ``v2v report --disk`` find the status that the test puts first; what it was called with comes after it."""
    told: list[Any] = [_FIRST_BOOT]

    def read_first_boot(choice: RunChoice, _sinks: Sequence[EventSink]) -> FirstBootStatus:
        told.append(choice)
        status = told[0]
        assert isinstance(status, FirstBootStatus)
        return status

    monkeypatch.setattr(pipeline, "read_first_boot", read_first_boot)
    return told


def test_first_boot_as_text(first_boot: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("report", "--disk", "a.img", "--disk", "b.img", "--disk-format", "raw") == 6
    choice = first_boot[1]
    assert (choice.input.mode, choice.input.arguments, choice.input.format) == ("disk", ("a.img", "b.img"), "raw")
    assert not choice.input.in_place
    assert capsys.readouterr().out == (
        "The first boot is finished. 1 of 2 scripts did not succeed.\n\nScripts\n"
        "  2000-drivers     done, exit code 0, 29.11.2026 3:22\n"
        "  5000-\ufffd[31mtools  given up, exit code 249, 5 attempts\n\n"
        "The end of the log\n  a\n  msiexec: \ufffd[2Jexit code 1603\n"
    )


def test_first_boot_as_json(first_boot: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("report", "--disk", "a.img", "--json") == 6
    record = json.loads(capsys.readouterr().out)
    assert (record["format"], record["version"], record["succeeded"]) == ("v2v-first-boot", 1, False)
    assert record["scripts"][0] == {
        "name": "2000-drivers",
        "state": "done",
        "exit_code": 0,
        "attempts": 1,
        "ended": "29.11.2026 3:22",
    }
    assert record["log"] == ["a", "msiexec: \ufffd[2Jexit code 1603"]


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (FirstBootStatus(planned=True, finished=True, scripts=_FIRST_BOOT.scripts[:1]), 0, "Every script succeeded."),
        (FirstBootStatus(planned=True, scripts=_FIRST_BOOT.scripts[:1]), 6, "is not finished"),
        (FirstBootStatus(planned=True, scripts=(ScriptRun(name="a", state=ScriptState.WAITING),)), 6, "a  waiting\n"),
        (FirstBootStatus(planned=False), 0, "nothing to do at its first boot"),
    ],
)
def test_exit_codes_of_the_first_boot(
    status: FirstBootStatus, code: int, said: str, first_boot: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    first_boot[0] = status
    assert run("report", "--disk", "a.img") == code
    assert said in capsys.readouterr().out


def test_report_refuses_what_it_would_ignore(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run("report") == 2
    assert run("report", str(tmp_path), str(tmp_path)) == 2
    assert run("report", str(tmp_path), "--disk", "a.img") == 2
    assert run("report", str(tmp_path), "--disk-format", "raw") == 2
    assert run("report", str(tmp_path), "--root", "first") == 2
    assert "have no meaning without --disk" in capsys.readouterr().err


def test_a_shallow_inspection_refuses_what_it_would_ignore(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inspect", "a.img", "--root", "first") == 2
    err = capsys.readouterr().err
    assert "have no meaning without --deep" in err
    assert "hint: add --deep" in err
    # no conversion, and so no networks of a target
    assert run("inspect", "a.img", "--deep", "--map", "network:default") == 2
    assert "--map" in capsys.readouterr().err


@pytest.mark.usefixtures("found")
def test_deep_inspection_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inspect", "a.img", "--deep") == 0
    shown = capsys.readouterr()
    for line in (
        "    source name: a.img",
        "  system       Debian GNU/Linux 12 \N{REPLACEMENT CHARACTER}[31m(bookworm) (debian 12.0)",
        "  boot loader  GRUB 2, on disk 1",
        "  gets         q35, virtio-blk disks, virtio interfaces",
        "  6.1.0-18-amd64 (boots now, boots after a conversion)",
        "    virtio_pci: built in",
        "    virtio_blk: a module, not in the initramfs",
        "  2.6.9-89.EL (not found in the boot menu)",
        "    virtio_blk: missing",
        "  disk 1: 2.0 GiB, scsi, /guests/0.vmdk",
        "  /dev/sda1: ext4, 1.0 GiB, mounted at /",
        "  open-vm-tools",
        "What a conversion would change (1)",
        "    /etc/fstab: /dev/sda1 is /dev/vda1",
        "  * The guest boots the kernel 6.1",
        "  * /etc/fstab, line 3: no such disk",
        "The guest can be converted. Nothing was changed.",
    ):
        assert line in shown.out.splitlines()
    assert shown.err == ""


@pytest.mark.usefixtures("found")
def test_deep_inspection_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inspect", "a.img", "--deep", "--json") == 0
    text = capsys.readouterr().out
    assert "Geheimnis" not in text
    record = json.loads(text)
    assert (record["format"], record["version"], record["guest"]["name"]) == ("v2v-inspection", 1, "a.img")
    assert record["guest"]["disks"][0]["bus"] == "scsi"
    deep = record["deep"]
    assert (deep["convertible"], deep["obstacles"]) == (True, [])
    assert deep["system"]["mountpoints"] == [{"path": "/", "device": "/dev/sda1"}]
    assert deep["kernels"][0]["drivers"] == {"virtio_pci": "built-in", "virtio_blk": "module"}
    assert [kernel["drives_target"] for kernel in deep["kernels"]] == [True, False]
    assert deep["changes"][0]["subject"] == "file"
    assert record["notes"] == ["The guest boots the kernel 6.1"]
    assert record["warnings"][0]["text"] == "/etc/fstab, line 3: no such disk"


def test_deep_inspection_of_windows(found: list[InspectResult], capsys: pytest.CaptureFixture[str]) -> None:
    windows = WindowsInspection(
        systemroot="/Windows",
        current_control_set="ControlSet001",
        default_control_set="ControlSet001",
        software_hive="/a",
        system_hive="/b",
        build=20348,
        product="LanmanNT",
        group_policy=True,
        drive_letters=(("C:", "/dev/sda2"), ("D", "/dev/sdb1")),
    )
    assert _DEEP.inspection is not None
    system = replace(_DEEP.inspection, os_type="windows", distro="windows", windows=windows)
    fact = Fact(name="the loader exists", verdict=Verdict.PASSED)
    found[0] = replace(
        _DEEP, inspection=system, kernels=(), drivers=("viostor 100.92 (\x1b[2Jvirtio-win)",), facts=(fact,)
    )
    assert run("inspect", "a.img", "--deep") == 0
    text = capsys.readouterr().out
    assert "  Windows      a domain controller, build 20348, in /Windows\n  registry     ControlSet001\n" in text
    assert "  drives       C: /dev/sda2, D: /dev/sdb1\n  has          group policies\n" in text
    assert "Drivers that the guest gets\n  viostor 100.92 (\ufffd[2Jvirtio-win)\n" in text
    assert "Examination of the result (1 passed)\n  passed  the loader exists\n" in text
    assert run("inspect", "a.img", "--deep", "--json") == 0
    deep = json.loads(capsys.readouterr().out)["deep"]
    assert deep["system"]["windows"]["drive_letters"][1] == {"letter": "D", "device": "/dev/sdb1"}
    assert deep["drivers"] == ["viostor 100.92 (\ufffd[2Jvirtio-win)"]
    assert deep["facts"] == [{"name": "the loader exists", "verdict": "passed", "detail": ""}]


def test_deep_inspection_that_finds_an_obstacle(found: list[InspectResult], capsys: pytest.CaptureFixture[str]) -> None:
    hibernated = Obstacle(reason="the guest is hibernated", remedy="resume it")
    found[0] = replace(_DEEP, obstacles=(hibernated,), changes=(), capabilities=None)
    assert run("inspect", "a.img", "--deep") == 6
    lines = capsys.readouterr().out.splitlines()
    assert "  1. the guest is hibernated" in lines
    assert "     what to do: resume it" in lines
    assert lines[-1] == "The guest cannot be converted as it is. Nothing was changed."
    assert run("inspect", "a.img", "--deep", "--json") == 6
    deep = json.loads(capsys.readouterr().out)["deep"]
    assert deep["obstacles"] == [{"reason": "the guest is hibernated", "remedy": "resume it"}]


def test_deep_inspection_takes_the_keys_of_the_guest(
    found: list[InspectResult], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key").write_text("Geheimnis\n")
    assert found
    assert run("inspect", "a.img", "--deep", "--key", f"all:file:{tmp_path / 'key'}") == 0
    assert "/guests/1.vmdk" in capsys.readouterr().out


def test_inspect_as_json_without_looking_into_the_disks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pipeline, "print_source", lambda choice, _sinks: Guest(name=choice.input.arguments[0]))
    assert run("inspect", "a.img", "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["guest"]["name"], record["deep"], record["warnings"]) == ("a.img", None, [])


def test_inspect_lists_the_options_of_an_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inspect", "-i", "ova", "-io", "?") == 0
    assert "skip-manifest" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["version"], ["--version"]])
def test_version(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == 0
    assert capsys.readouterr().out == f"v2v {__version__}\n"


@pytest.mark.parametrize(
    "words", [["convrt"], ["convert"], ["convert", "--jso=x", "g"], ["inspect", "--nonsense", "g"]]
)
def test_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == 2
    assert capsys.readouterr().err.startswith("v2v: error: ")


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["convrt", "g"], "unknown command 'convrt'", "did you mean convert?"),
        (["frobnicate"], "unknown command 'frobnicate'", "'v2v --help' lists the commands"),
        (["inspire"], "unknown command 'inspire'", "'v2v --help' lists the commands"),
        (["plugins", "lsit"], "unknown command 'lsit'", "did you mean list? 'v2v plugins --help' lists"),
        (["--docter"], "unknown option --docter", "did you mean doctor?"),
        (["--hepl"], "unknown option --hepl", "did you mean --help?"),
        (["--frobnicate"], "unknown option --frobnicate", "'v2v --help' lists the commands"),
        (["plugins", "show", "loacl"], "no plugin is named 'loacl'", "did you mean local?"),
        (["convert", "--truncte", "g"], "unknown option --truncte", "--help lists the options"),
        (["convert", "--root", "sinlge", "g"], "unknown --root 'sinlge'", "did you mean single?"),
        (["convert", "--block-driver", "virtio_scsi", "g"], "unknown --block-driver", "did you mean virtio-scsi?"),
    ],
)
def test_only_what_is_near_is_suggested(
    words: list[str], message: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A suggestion for what is not near misleads the user (dahlia/optique#98)."""
    assert run(*words) == 2 or "plugin" in message
    error, hint_line = capsys.readouterr().err.splitlines()
    assert message in error
    assert hint_line.startswith(f"hint: {hint}")


def test_a_command_of_commands_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plugins") == 0
    shown = capsys.readouterr()
    assert "$ v2v plugins show" in shown.out
    assert shown.err == ""


@pytest.fixture
def one_broken_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Installed(
        role=Role.OUTPUT, name="broken", target="v2v_no_such_module:Output", distribution="v2v-broken", version="1"
    )
    monkeypatch.setattr(discovery, "installed", lambda role: (broken,) if role is Role.OUTPUT else ())


def test_broken_plugin_is_flagged_and_breaks_nothing(
    one_broken_plugin: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("plugins", "list") == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "broken" in line]
    assert line.split()[:5] == ["output", "broken", "v2v-broken", "1", "BROKEN:"]


def test_check_imports_and_fails(one_broken_plugin: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plugins", "list", "--check") == 3
    captured = capsys.readouterr()
    assert "BROKEN" in captured.out
    assert "broken: output broken" in captured.err


def test_show_broken_plugin(one_broken_plugin: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plugins", "show", "broken") == 3
    out = capsys.readouterr().out
    assert "distribution  v2v-broken 1" in out
    assert "BROKEN" in out


def test_show_an_output_whose_guests_cannot_have_everything(
    v2v_fakes: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("plugins", "show", "fake") == 0
    assert "have no serial console" not in capsys.readouterr().out
    profile = TargetProfile(serial_console=False, most_disks=4, firmware=(Firmware.BIOS,))
    monkeypatch.setattr(FakeOutput, "profile", profile, raising=False)
    assert run("plugins", "show", "fake") == 0
    shown = [line for line in capsys.readouterr().out.splitlines() if "guests there" in line]
    assert shown == [
        "  guests there  have no serial console",
        "  guests there  have at most 4 disks",
        "  guests there  boot with bios only",
    ]


def test_show_unknown_plugin(one_broken_plugin: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plugins", "show", "nonsense") == 3
    assert "no plugin is named 'nonsense' (installed: broken)" in capsys.readouterr().err


@pytest.mark.parametrize(("status", "code"), [(Status.OK, 0), (Status.OPTIONAL, 0), (Status.MISSING, 1)])
def test_doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: Status, code: int) -> None:
    monkeypatch.setattr(examination, "examine", lambda *, quick: (Finding("x", status, str(quick)),))
    assert run("doctor", "--quick") == code
    assert "x: True" in capsys.readouterr().out
    assert run("doctor", "--json") == code
    assert json.loads(capsys.readouterr().out)["findings"][0]["detail"] == "False"
