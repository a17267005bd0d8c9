# SPDX-License-Identifier: GPL-2.0-or-later
"""The report as a text and as JSON. Texts of a hostile guest are harmless in both."""

from __future__ import annotations

import dataclasses
import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_cli.render.report import report_as_json, report_as_text
from v2v_core.errors import Obstacle
from v2v_core.events import Event, EventKind, Step
from v2v_core.model import (
    Bus,
    Capabilities,
    Change,
    ChangeKind,
    Fact,
    Firmware,
    Guest,
    Inspection,
    Nic,
    TargetDisk,
    TargetGuest,
    TargetRemovable,
    Verdict,
    WindowsInspection,
)
from v2v_core.run_report import CopiedDisk, DiskHashes, Outcome, RunReport, StepRun

GUEST = Guest(name="mail", hypervisor="vmware")
TARGET = TargetGuest(
    source=GUEST,
    inspection=Inspection(
        root="/dev/sda1",
        os_type="linux",
        distro="debian",
        arch="x86_64",
        major_version=12,
        product_name="Debian GNU/Linux 12",
        mountpoints=(("/", "/dev/sda1"),),
    ),
    capabilities=Capabilities(virtio_rng=True),
    firmware=Firmware.BIOS,
    disks=(TargetDisk(index=1, bus=Bus.VIRTIO_BLK, device="vda", boot_order=1, size=2 * 1024**3),),
    removables=(TargetRemovable(kind="cdrom", bus=Bus.SATA, device="sda"),),
    nics=(Nic(mac="52:54:00:00:00:01"),),
    changes=(
        Change(path="/etc/fstab", what="new names", why="disks have other names"),
        Change(path="open-vm-tools", what="package removed", why="it is VMware's", kind=ChangeKind.PACKAGE),
        Change(path="/etc/crypttab", what="new names", why="disks have other names"),
    ),
)
WARNING = Event(kind=EventKind.WARNING, step=Step.CONVERT, text="eth0 may be lost", hint="rename it")
NOTE = Event(kind=EventKind.INFO, step=Step.CONVERT, text="The guest boots the kernel 6.1")
STEPS = (
    StepRun(Step.INPUT_SETUP, 10.0, 11.25),
    StepRun(Step.CONVERT, 12.0, 132.0, infos=[NOTE], warnings=[WARNING]),
)
FINISHED = RunReport(outcome=Outcome.FINISHED, guest=GUEST, target=TARGET, changes=TARGET.changes, steps=STEPS)

TEXT = """\
The guest was converted and exists at the destination.

Guest
  name      mail
  came from vmware
  system    Debian GNU/Linux 12 (debian 12.0, x86_64)
  firmware  bios
  machine   q35, with a random number generator
  disk 1    vda, virtio-blk, 2.0 GiB, boots
  cdrom     sda, sata
  NIC 1     52:54:00:00:00:01, virtio, network 'default'

Warnings: please look at these
  * eth0 may be lost (rename it)

Changes to the guest (3)
  it is VMware's:
    open-vm-tools: package removed
  disks have other names:
    /etc/fstab: new names
    /etc/crypttab: new names

Worth knowing
  * The guest boots the kernel 6.1

Steps
  input_setup          1.2 s  finished
  convert            120.0 s  finished
"""


def failed(event: Event, *changes: Change) -> RunReport:
    steps = (StepRun(Step.CONVERT, 1.0, 2.0, failure=event),)
    return RunReport(outcome=Outcome.FAILED, guest=GUEST, target=None, changes=changes, steps=steps)


def failure(**fields: Any) -> Event:
    return Event(kind=EventKind.STEP_FAILED, step=Step.CONVERT, code=6, **fields)


def test_text() -> None:
    assert report_as_text(FINISHED) == TEXT


def test_json() -> None:
    report = json.loads(report_as_json(FINISHED))
    assert list(report) == [
        *("format", "version", "outcome", "guest", "system", "firmware", "hardware", "disks", "removables", "nics"),
        *("created", "changes", "facts", "copy", "notes", "warnings", "failure", "to_do", "steps"),
    ]
    assert report["guest"] == {"name": "mail", "hypervisor": "vmware", "memory": 2 * 1024**3, "vcpus": 1}
    assert report["system"]["mountpoints"] == [{"path": "/", "device": "/dev/sda1"}]
    assert report["disks"] == [
        {"index": 1, "bus": "virtio-blk", "device": "vda", "boot_order": 1, "size": 2 * 1024**3, "block_size": 512}
    ]
    assert [change["subject"] for change in report["changes"]] == ["file", "package", "file"]
    assert report["warnings"] == [{"step": "convert", "text": "eth0 may be lost", "hint": "rename it"}]
    assert report["to_do"] == ["rename it"]
    assert report["steps"][1] == {"step": "convert", "outcome": "finished", "started": 12.0, "seconds": 120.0}


WINDOWS = dataclasses.replace(
    TARGET,
    inspection=Inspection(
        root="/dev/sda2",
        os_type="windows",
        distro="windows",
        arch="i386",
        major_version=6,
        minor_version=1,
        product_name="Windows 7 Ultimate",
        windows=WindowsInspection(
            systemroot="/Windows",
            current_control_set="ControlSet001",
            default_control_set="ControlSet002",
            software_hive="/Windows/System32/config/SOFTWARE",
            system_hive="/Windows/System32/config/SYSTEM",
            build=7601,
            drive_letters=(("C", "/dev/sda2"),),
        ),
    ),
    changes=(
        Change(path=r"SYSTEM\Select", value="Current", what="set to 1", why="x", kind=ChangeKind.REGISTRY),
        Change(path=r"SYSTEM\Setup", value="", what="removed", why="x", kind=ChangeKind.REGISTRY),
        Change(path="/Windows/a.sys", what="created", why="x"),
    ),
)
FACTS = (
    Fact(name="the driver starts at boot", verdict=Verdict.PASSED, detail="Start is 0"),
    Fact(name="the catalogue is there", verdict=Verdict.UNKNOWN),
    Fact(name="the loader exists", verdict=Verdict.FAILED, detail="no winload.exe"),
)


def test_a_windows_guest_and_the_examination_of_the_result() -> None:
    report = dataclasses.replace(FINISHED, target=WINDOWS, changes=WINDOWS.changes, facts=FACTS)
    text = report_as_text(report)
    assert "  system    Windows 7 Ultimate (windows 6.1, i386)\n" in text
    assert "  Windows   a client, build 7601, in /Windows\n" in text
    assert "  registry  ControlSet001, starts next with ControlSet002\n  drives    C: /dev/sda2\n" in text
    changes = text.partition("Changes to the guest (3)\n")[2].partition("\n\n")[0]
    assert changes.split("\n") == [
        *("  x:", "    /Windows/a.sys: created"),
        *("  x:", r"    SYSTEM\Select, value Current: set to 1", r"    SYSTEM\Setup, default value: removed"),
    ]
    facts = text.partition("Examination of the result (1 passed, 1 failed, 1 unknown)\n")[2].partition("\n\n")[0]
    assert facts.split("\n") == [
        "  failed  the loader exists (no winload.exe)",
        "  unknown the catalogue is there",
        "  passed  the driver starts at boot (Start is 0)",
    ]
    made = json.loads(report_as_json(report))
    assert made["facts"][2] == {"name": "the loader exists", "verdict": "failed", "detail": "no winload.exe"}
    assert made["changes"][0] == {
        "subject": "registry",
        "path": r"SYSTEM\Select",
        "value": "Current",
        "what": "set to 1",
        "why": "x",
    }
    assert made["system"]["windows"]["drive_letters"] == [{"letter": "C", "device": "/dev/sda2"}]


def test_copied_disks_have_their_root_in_the_text_and_all_groups_in_json() -> None:
    hashes = DiskHashes(algorithm="blake3-64k", block=65536, group=4 * 1024**2, root="ab" * 32, groups={3: "cd" * 32})
    gib = 1024**3
    report = dataclasses.replace(
        FINISHED,
        copied=(
            CopiedDisk(index=1, size=8 * gib, copied=3 * gib, zeroed=gib, verified=True, hashes=hashes),
            CopiedDisk(index=2, size=gib),
        ),
    )
    lines = report_as_text(report).splitlines()
    first = f"  disk 1    3.0 GiB of 8.0 GiB copied, 1.0 GiB zeroed, read back and compared, blake3-64k {'ab' * 32}"
    assert lines[lines.index("Copy") + 1 :][:2] == [first, "  disk 2    not read back"]
    assert "cd" * 32 not in report_as_text(report)
    assert json.loads(report_as_json(report))["copy"] == [
        {
            "disk": 1,
            "size": 8 * gib,
            "copied": 3 * gib,
            "zeroed": gib,
            "verified": True,
            "hashes": {
                "algorithm": "blake3-64k",
                "block": 65536,
                "group": 4194304,
                "root": "ab" * 32,
                "groups": {"3": "cd" * 32},
            },
        },
        {"disk": 2, "size": gib, "copied": None, "zeroed": None, "verified": False, "hashes": None},
    ]


def test_facts_of_a_conversion_that_failed_are_shown() -> None:
    report = dataclasses.replace(failed(failure(text="it would not start")), facts=FACTS)
    assert "\n  failed  the loader exists (no winload.exe)\n" in report_as_text(report)


def test_what_was_created_is_named() -> None:
    finished = StepRun(Step.OUTPUT_FINALIZE, 1.0, 2.0, created=["/out/web-sda", "/out/we\x1bb.xml"])
    report = dataclasses.replace(FINISHED, steps=(*FINISHED.steps, finished))
    assert "\nWhat there is now\n  /out/web-sda\n  /out/we b.xml\n" in report_as_text(report).replace("\ufffd", " ")
    assert json.loads(report_as_json(report))["created"][0] == "/out/web-sda"


def test_obstacles_are_listed_one_by_one() -> None:
    obstacles = (Obstacle(reason="no kernel", remedy="install one"), Obstacle(reason="no space", remedy="make some"))
    report = failed(failure(text="2 reasons: …", obstacles=obstacles), Change(path="/a", what="b", why="c"))
    text = report_as_text(report)
    assert text.startswith("The conversion failed in the step convert.\n")
    assert "  1. no kernel\n     what to do: install one\n  2. no space\n     what to do: make some\n" in text
    assert "Changes before it ended" in text
    made = json.loads(report_as_json(report))["failure"]
    assert made["obstacles"] == [dataclasses.asdict(obstacle) for obstacle in obstacles]


def test_single_reason_has_its_remedy() -> None:
    text = report_as_text(failed(failure(text="disk 2 is gone", hint="bring it back", disk=2)))
    assert text.startswith("The conversion failed in the step convert (disk 2).\n")
    assert "  disk 2 is gone\n  what to do: bring it back\n" in text


def test_run_that_did_not_end() -> None:
    report = RunReport(
        outcome=Outcome.UNFINISHED, guest=None, target=None, changes=(), steps=(StepRun(Step.COPY, 1.0),)
    )
    assert "did not end in the step copy" in report_as_text(report)
    assert json.loads(report_as_json(report))["steps"][0]["seconds"] is None


def hostile(text: str) -> RunReport:
    """Return a report in which everything that may come from a guest, a server or a file is this text."""
    target = dataclasses.replace(
        TARGET,
        source=Guest(name=text, hypervisor=text),
        inspection=dataclasses.replace(
            TARGET.inspection,
            product_name=text,
            distro=text,
            arch=text,
            mountpoints=((text, text),),
            windows=WindowsInspection(
                **dict.fromkeys(("systemroot", "software_hive", "system_hive", "product"), text),
                **dict.fromkeys(("current_control_set", "default_control_set"), text),
                drive_letters=((text, text),),
            ),
        ),
        nics=(Nic(network=text, mac=text, model=text),),
    )
    event = failure(text=text, hint=text, obstacles=(Obstacle(reason=text, remedy=text),) * 2)
    warnings = [Event(kind=EventKind.WARNING, step=Step.COPY, text=text, hint=text)]
    return RunReport(
        outcome=Outcome.FAILED,
        guest=target.source,
        target=target,
        changes=(
            Change(path=text, what=text, why=text),
            Change(path=f"/{text}", what=text, why=text, value=text, kind=ChangeKind.REGISTRY),
        ),
        facts=(Fact(name=text, verdict=Verdict.FAILED, detail=text),),
        steps=(StepRun(Step.COPY, 1.0, 2.0, failure=event, infos=warnings, warnings=warnings),),
    )


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for member in value.values() for text in strings(member)]
    if isinstance(value, list):
        return [text for member in value for text in strings(member)]
    return [value] if isinstance(value, str) else []


NASTY = [
    "\x1b[2Jgone",
    "\x9b31m",
    "bell\x07",
    "a\rb",
    "a\nb",
    "nul\0",
    "del\x7f",
    "\u202egnp.exe",
    "\u2066x",
    "a\u2028b",
]


@pytest.mark.parametrize("text", NASTY)
def test_nothing_talks_to_a_terminal(text: str) -> None:
    harmful = {c for c in text if unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp"}}
    shown, lines = report_as_text(hostile(text)), len(report_as_text(hostile("x")).splitlines())
    assert not harmful - {"\n"} & set(shown)
    assert len(shown.splitlines()) == lines, "no line can be forged"
    made = report_as_json(hostile(text))
    assert all(c == "\n" or " " <= c <= "~" for c in made)
    # nor does the text that a program reads from the JSON and prints
    assert not harmful & set("".join(strings(json.loads(made))))


def test_path_does_not_look_like_another() -> None:
    change = Change(path="/etc/fs\u200btab", what="w", why="y")
    report = dataclasses.replace(FINISHED, changes=(change,))
    assert "/etc/fs\N{REPLACEMENT CHARACTER}tab: w" in report_as_text(report)
    assert json.loads(report_as_json(report))["changes"][0]["path"] == "/etc/fs\N{REPLACEMENT CHARACTER}tab"


@given(st.text(st.characters()))
def test_any_text_can_be_written(text: str) -> None:
    made = report_as_text(hostile(text))
    made.encode()
    assert not [c for c in made if c != "\n" and unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"}]
    assert json.loads(report_as_json(hostile(text)))["version"] == 1
