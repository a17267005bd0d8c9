# SPDX-License-Identifier: GPL-2.0-or-later
"""Each step alone, on a conversion directory, with fake plugins: what it leaves, and what it refuses."""

from __future__ import annotations

import dataclasses
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from v2v_core import metadata, processes, served
from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import (
    ConversionError,
    CopyError,
    DestinationError,
    OptionError,
    PluginContractError,
    PluginNotFound,
    SourceError,
    UsageError,
    V2VError,
)
from v2v_core.events import Event, EventKind, Step
from v2v_core.hookspecs import ConvertSettings, OwnedObject
from v2v_core.model import Bus
from v2v_core.run_report import read_report
from v2v_core.settings import ConvertChoice, CopyChoice, InputChoice, RunChoice
from v2v_core.steps import cleanup, convert, copy, input_setup, output_check, output_finalize, output_setup
from v2v_core.steps.convert_apart import convert_apart
from v2v_core.testing import MARKER, read_endpoint, write_endpoint
from v2v_core.testing.fixtures import Install
from v2v_core.testing.images import tree_of

MB = 1024 * 1024
Trouble = Callable[[str, str], RunChoice]


def uri(directory: ConversionDir, name: str) -> str:
    return f"nbd+unix:///?socket={directory.path / name}"


def servers(directory: ConversionDir) -> set[str | None]:
    return {process.server for process in processes.find(directory.path)}


@pytest.fixture
def as_far_as_output_setup(choice: RunChoice, v2v_directory: ConversionDir) -> ConversionDir:
    input_setup.run(v2v_directory, choice.input)
    output_check.run(v2v_directory, choice.output)
    convert.run(v2v_directory, choice.convert)
    output_setup.run(v2v_directory, choice.output)
    return v2v_directory


def test_input_setup_leaves_metadata_and_endpoints(choice: RunChoice, v2v_directory: ConversionDir) -> None:
    guest = input_setup.run(v2v_directory, choice.input)
    assert metadata.read_source(v2v_directory.metadata_in) == guest
    assert [disk.size for disk in guest.disks] == [MB, MB]
    assert servers(v2v_directory) == {"in1", "in2", "base1", "base2"}
    assert [(disk.index, disk.size) for disk in served.read_source(v2v_directory).disks] == [(1, MB), (2, MB)]
    assert v2v_directory.done() == {Step.INPUT_SETUP}


def test_input_setup_that_is_run_again_starts_over(choice: RunChoice, v2v_directory: ConversionDir) -> None:
    """After a crash in the conversion, the half converted disks are discarded, and nothing is served twice."""
    input_setup.run(v2v_directory, choice.input)
    before = processes.find(v2v_directory.path)
    write_endpoint(uri(v2v_directory, "in1"), MARKER)
    input_setup.run(v2v_directory, choice.input)
    after = processes.find(v2v_directory.path)
    assert not {process.pid for process in before} & {process.pid for process in after}
    assert len(after) == len(before)
    assert read_endpoint(uri(v2v_directory, "in1"))[: len(MARKER)] != MARKER


def test_a_tpm_is_reported_in_a_warning(v2v_directory: ConversionDir, v2v_install: Install) -> None:
    v2v_install(
        "v2v-input-t",
        {"v2v.input": {"t-tpm": "t_inputs:WithTpm"}},
        {
            "t_inputs": "from v2v_core.api import *\n"
            "class WithTpm:\n @hookimpl\n def v2v_input_setup(self, request):\n"
            "  return InputResult(guest=Guest(name='g', tpm='2.0', os='win11', disks=(SourceDisk(index=1),)), "
            "disks=(NbdkitPlugin(name='memory', parameters=(('size', '1M'),)),))\n"
        },
    )
    events: list[Event] = []
    input_setup.run(v2v_directory, InputChoice(mode="t-tpm"), [events.append])
    (warning,) = [event.text for event in events if event.kind is EventKind.WARNING]
    assert "recovery keys" in warning
    guest = metadata.read_source(v2v_directory.metadata_in)
    assert (guest.tpm, guest.os) == ("2.0", "win11")


def test_source_without_disks_is_refused(v2v_directory: ConversionDir, choice: RunChoice, v2v_install: Install) -> None:
    v2v_install(
        "v2v-input-t",
        {"v2v.input": {"t-empty": "t_inputs:Empty", "t-odd": "t_inputs:Odd"}},
        {
            "t_inputs": "from v2v_core.api import *\n"
            "class Empty:\n @hookimpl\n def v2v_input_setup(self, request):\n"
            "  return InputResult(guest=Guest(name='bare'), disks=())\n"
            "class Odd:\n @hookimpl\n def v2v_input_setup(self, request):\n"
            "  return InputResult(guest=Guest(name='odd', disks=(SourceDisk(index=2),)), "
            "disks=(NbdkitPlugin(name='memory', parameters=(('size', '1M'),)),))\n"
        },
    )
    with pytest.raises(SourceError, match="'bare' has no disks"):
        input_setup.run(v2v_directory, InputChoice(mode="t-empty"))
    with pytest.raises(PluginContractError, match="not numbered 1, 2"):
        input_setup.run(v2v_directory, InputChoice(mode="t-odd"))
    assert not v2v_directory.metadata_in.exists()


def test_empty_disk_is_refused_by_number(choice: RunChoice, v2v_directory: ConversionDir) -> None:
    with pytest.raises(SourceError, match=r"disk 1 \(pattern1\) is empty"):
        input_setup.run(v2v_directory, InputChoice(mode="fake", options=(("size", "0"),)))


def test_unknown_input_option_is_refused_before_anything_is_served(
    choice: RunChoice, v2v_directory: ConversionDir
) -> None:
    with pytest.raises(OptionError, match="-i fake: option 'colour': unknown"):
        input_setup.run(v2v_directory, InputChoice(mode="fake", options=(("colour", "blue"),)))
    assert servers(v2v_directory) == set()


def test_too_little_space_is_found_first(
    choice: RunChoice, v2v_directory: ConversionDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type(shutil.disk_usage("/"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _place: usage(2 * MB, MB, MB))
    with pytest.raises(V2VError, match="not enough space for temporary files") as refused:
        input_setup.run(v2v_directory, choice.input)
    assert "VIRT_V2V_TMPDIR" in (refused.value.hint or "")


def test_step_without_the_one_before_is_refused(choice: RunChoice, v2v_directory: ConversionDir) -> None:
    for step in (
        lambda: output_check.run(v2v_directory, choice.output),
        lambda: convert.run(v2v_directory, choice.convert),
        lambda: output_setup.run(v2v_directory, choice.output),
        lambda: copy.run(v2v_directory, choice.copy),
        lambda: output_finalize.run(v2v_directory),
    ):
        with pytest.raises(V2VError) as refused:
            step()
        assert "internal error" not in refused.value.message
        assert str(v2v_directory.path) in refused.value.message


def test_wrong_allocation_is_a_usage_error(choice: RunChoice, v2v_directory: ConversionDir) -> None:
    input_setup.run(v2v_directory, choice.input)
    with pytest.raises(UsageError, match="neither sparse nor preallocated"):
        output_check.run(v2v_directory, dataclasses.replace(choice.output, allocation="thin"))


def test_convert_changes_the_disks_and_writes_the_target(choice: RunChoice, v2v_directory: ConversionDir) -> None:
    input_setup.run(v2v_directory, choice.input)
    target = convert.run(v2v_directory, choice.convert)
    assert metadata.read_target(v2v_directory.metadata_out) == target
    assert [(disk.device, disk.bus, disk.size) for disk in target.disks] == [
        ("vda", Bus.VIRTIO_BLK, MB),
        ("vdb", Bus.VIRTIO_BLK, MB),
    ]
    assert [nic.network for nic in target.nics] == ["lan"]
    for name in ("in1", "in2"):
        assert read_endpoint(uri(v2v_directory, name)).startswith(MARKER)
        assert not read_endpoint(uri(v2v_directory, name.replace("in", "base"))).startswith(MARKER)


def test_usage_error_of_a_converter_is_one_in_the_process_apart(
    choice: RunChoice, v2v_directory: ConversionDir
) -> None:
    input_setup.run(v2v_directory, choice.input)
    settings = ConvertSettings(extra={"nonsense": True})
    with pytest.raises(V2VError, match="makes no sense") as refused:
        convert_apart(v2v_directory, dataclasses.replace(choice.convert, settings=settings))
    assert refused.value.exit_code == UsageError.exit_code


def test_convert_orders_the_interfaces_as_the_guest_needs_them(
    v2v_directory: ConversionDir, v2v_install: Install
) -> None:
    v2v_install(
        "v2v-ordered",
        {"v2v.input": {"t-nics": "t_ordered:WithNics"}, "v2v.convert": {"t-order": "t_ordered:Ordering"}},
        {
            "t_ordered": "from v2v_core.api import *\n"
            "class WithNics:\n @hookimpl\n def v2v_input_setup(self, request):\n"
            "  return InputResult(guest=Guest(name='g', disks=(SourceDisk(index=1),), "
            "nics=tuple(Nic(network=name) for name in 'abc')), "
            "disks=(NbdkitPlugin(name='memory', parameters=(('size', '1M'),)),))\n"
            "class Ordering:\n @hookimpl\n def v2v_convert(self, request):\n"
            "  found = Inspection(root='/dev/sda1', os_type='linux', distro='x', arch='x86_64')\n"
            "  return ConvertResult(inspection=found, capabilities=Capabilities(), firmware=Firmware.BIOS, "
            "nic_order=(2, 0, 1), nic_macs={1: '00:50:56:01:02:03'})\n"
        },
    )
    input_setup.run(v2v_directory, InputChoice(mode="t-nics"))
    convert.run(v2v_directory, ConvertChoice(mode="t-order"))
    source = metadata.read_source(v2v_directory.metadata_in).nics
    target = metadata.read_target(v2v_directory.metadata_out).nics
    assert [nic.network for nic in target] == ["c", "a", "b"]
    assert [nic.network for nic in source] == ["a", "b", "c"]
    # The source states no MAC addresses: they were made, and the guest remembers one of them.
    assert len({nic.mac for nic in source if nic.mac_is_new and str(nic.mac).startswith("52:54:00:")}) == 3
    assert [nic.mac for nic in target] == [source[2].mac, source[0].mac, "00:50:56:01:02:03"]


def test_convert_reports_each_fact_and_change_once(
    choice: RunChoice, v2v_directory: ConversionDir, v2v_install: Install
) -> None:
    body = """
        import dataclasses
        from v2v_core.api import Change, ChangeKind, Fact, Verdict, hookimpl
        from v2v_core.testing import FakeConvert

        class C(FakeConvert):
            @hookimpl
            def v2v_convert(self, request):
                told, late = (Fact(name=name, verdict=Verdict.PASSED) for name in ("told", "late"))
                request.report.examined(told)
                change = Change(path="SYSTEM", what="a", why="b", kind=ChangeKind.REGISTRY, value="")
                result = FakeConvert().v2v_convert(request)
                return dataclasses.replace(result, facts=(told, late), changes=(*result.changes, change))
    """
    v2v_install("v2v-convert-t", {"v2v.convert": {"t-facts": "t_facts:C"}}, {"t_facts": dedent(body)})
    input_setup.run(v2v_directory, choice.input)
    convert.run(v2v_directory, ConvertChoice(mode="t-facts"))
    report = read_report(v2v_directory.path)
    assert [fact.name for fact in report.facts] == ["told", "late"]
    assert [(change.kind, change.value) for change in report.changes] == [("file", None), ("registry", "")]
    (convert_run,) = (run for run in report.steps if run.step is Step.CONVERT)
    assert convert_run.changes == list(report.changes), "the events say the same"


def test_convert_names_a_disk_that_is_not_served(choice: RunChoice, v2v_directory: ConversionDir) -> None:
    input_setup.run(v2v_directory, choice.input)
    processes.stop(v2v_directory.path, processes.serves("in", "base"))
    with pytest.raises(SourceError, match="disk 1 is not served at"):
        convert.run(v2v_directory, choice.convert)


def test_convert_apart_forwards_the_events_of_the_child(choice: RunChoice, v2v_directory: ConversionDir) -> None:
    input_setup.run(v2v_directory, choice.input)
    heard: list[Event] = []
    convert_apart(v2v_directory, choice.convert, [heard.append])
    assert [event.kind for event in heard] == [
        EventKind.STEP_STARTED,
        EventKind.MESSAGE,
        EventKind.CHANGE,
        EventKind.MESSAGE,
        EventKind.STEP_FINISHED,
    ]


def test_convert_apart_raises_the_error_of_the_child(
    in_trouble: Trouble, choice: RunChoice, v2v_directory: ConversionDir
) -> None:
    input_setup.run(v2v_directory, choice.input)
    with pytest.raises(ConversionError) as failed:
        convert_apart(v2v_directory, in_trouble("fail", "v2v_convert").convert)
    assert (failed.value.message, failed.value.hint) == ("asked to fail in v2v_convert", "do not ask")


_CONVERTERS = """
import os, signal, subprocess, sys
from v2v_core.api import hookimpl
from v2v_core.testing import FakeConvert

class LeavesADaemon(FakeConvert):
    @hookimpl
    def v2v_convert(self, request):
        subprocess.Popen(["sleep", "60"], close_fds=False, start_new_session=True)
        return FakeConvert().v2v_convert(request)

class DiesInTheMiddleOfALine(FakeConvert):
    @hookimpl
    def v2v_convert(self, request):
        os.write(int(sys.argv[2]), b'{"kind": "mess')
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def odd_converters(v2v_install: Install) -> None:
    targets = {"t-daemon": "t_converters:LeavesADaemon", "t-dies": "t_converters:DiesInTheMiddleOfALine"}
    v2v_install("v2v-convert-t", {"v2v.convert": targets}, {"t_converters": _CONVERTERS})


def test_convert_apart_does_not_wait_for_what_the_converter_leaves_running(
    choice: RunChoice, v2v_directory: ConversionDir, odd_converters: None
) -> None:
    input_setup.run(v2v_directory, choice.input)
    began = time.monotonic()
    convert_apart(v2v_directory, dataclasses.replace(choice.convert, mode="t-daemon"))
    assert time.monotonic() - began < 30
    assert None in servers(v2v_directory), "the daemon still runs; it is stopped at the end of the run"


def test_convert_apart_survives_a_child_that_dies_in_the_middle_of_a_line(
    choice: RunChoice, v2v_directory: ConversionDir, odd_converters: None
) -> None:
    input_setup.run(v2v_directory, choice.input)
    with pytest.raises(ConversionError, match="the conversion process was killed by signal 9"):
        convert_apart(v2v_directory, dataclasses.replace(choice.convert, mode="t-dies"))


def test_output_setup_serves_the_destinations(as_far_as_output_setup: ConversionDir, storage: Path) -> None:
    assert {"out1", "out2"} <= servers(as_far_as_output_setup)
    assert [(disk.index, disk.size) for disk in served.read_output(as_far_as_output_setup).disks] == [(1, MB), (2, MB)]
    assert as_far_as_output_setup.ledger.owned() == tuple(
        OwnedObject(kind="file", identity=str(storage / f"new name-disk{index}")) for index in (1, 2)
    )


def test_destination_that_is_too_small_is_refused_and_taken_back(
    choice: RunChoice, v2v_directory: ConversionDir, v2v_install: Install, storage: Path
) -> None:
    v2v_install(
        "v2v-output-t",
        {"v2v.output": {"t-small": "t_small:Small"}},
        {
            "t_small": "import dataclasses, os\nfrom v2v_core.api import *\nfrom v2v_core.testing import FakeOutput\n"
            "class Small(FakeOutput):\n @hookimpl\n def v2v_output_setup(self, request):\n"
            "  setup = FakeOutput().v2v_output_setup(request)\n"
            "  os.truncate(setup.state['images'][1], 512)\n  return setup\n"
        },
    )
    before = tree_of(storage)
    output = dataclasses.replace(choice.output, mode="t-small")
    input_setup.run(v2v_directory, choice.input)
    output_check.run(v2v_directory, output)
    convert.run(v2v_directory, choice.convert)
    with pytest.raises(DestinationError, match="the destination of disk 2 is too small: 512 bytes of 1048576"):
        output_setup.run(v2v_directory, output)
    assert tree_of(storage) != before
    cleanup.run(v2v_directory)
    assert tree_of(storage) == before


def test_copy_copies_and_flushes_and_can_be_repeated(
    as_far_as_output_setup: ConversionDir, choice: RunChoice, storage: Path
) -> None:
    heard: list[Event] = []
    source = read_endpoint(uri(as_far_as_output_setup, "in2"))
    copy.run(as_far_as_output_setup, choice.copy, [heard.append])
    assert (storage / "new name-disk2").read_bytes() == source
    assert {"out1", "out2"} <= servers(as_far_as_output_setup)
    write_endpoint(uri(as_far_as_output_setup, "in2"), b"\x77" * 512)
    copy.run(as_far_as_output_setup, choice.copy)
    assert (storage / "new name-disk2").read_bytes() == b"\x77" * 512 + source[512:]
    output_finalize.run(as_far_as_output_setup)
    assert {"out1", "out2"} & servers(as_far_as_output_setup) == set()
    assert {event.disk for event in heard if event.kind is EventKind.PROGRESS} == {1, 2}
    assert {event.text for event in heard if event.kind is EventKind.MESSAGE} == {
        "Copying disk 1/2",
        "Copying disk 2/2",
    }


def test_copy_that_fails_stops_the_other_disks_and_names_its_own(
    as_far_as_output_setup: ConversionDir, v2v_install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("V2V_DIRECTORY", str(as_far_as_output_setup.path))
    v2v_install(
        "v2v-copy-t",
        {"v2v.copy": {"t-one-hangs": "t_copy:OneHangs"}},
        {
            "t_copy": "import time\nfrom v2v_core.api import *\nfrom v2v_core.testing import HangingCopy\n"
            "class OneHangs:\n @hookimpl\n def v2v_copy(self, request):\n"
            "  if request.index == 1: return HangingCopy().v2v_copy(request)\n"
            "  time.sleep(0.5); raise CopyError('disk 2: gone', disk=2)\n"
        },
    )
    began = time.monotonic()
    with pytest.raises(CopyError) as failed:
        copy.run(as_far_as_output_setup, CopyChoice(mode="t-one-hangs", parallel=2))
    assert failed.value.disk == 2
    assert time.monotonic() - began < 20
    assert not [process for process in processes.find(as_far_as_output_setup.path) if process.server is None]


def test_error_of_a_copy_has_the_last_errors_of_the_servers(
    choice: RunChoice, v2v_directory: ConversionDir, v2v_install: Install
) -> None:
    """The copier learns only that something failed. Errors about a client that has disconnected are left out."""
    v2v_install(
        "v2v-output-t",
        {"v2v.output": {"t-full": "t_output:Full"}},
        {
            "t_output": "from v2v_core.api import *\nfrom v2v_core.testing import FakeOutput\n"
            "class Full(FakeOutput):\n @hookimpl\n def v2v_output_setup(self, request):\n"
            "  script = request.directory / 'full.sh'\n"
            '  script.write_text(\'case "$1" in get_size) echo 1M;; can_write) exit 0;; '
            'pwrite) echo "EIO the shelf is full" >&2; exit 1;; *) exit 2;; esac\')\n'
            "  script.chmod(0o755)\n"
            "  return OutputSetup(disks=(NbdkitPlugin(name='sh', parameters=(('script', str(script)),)),) * 2)\n"
        },
    )
    input_setup.run(v2v_directory, choice.input)
    output = dataclasses.replace(choice.output, mode="t-full")
    output_check.run(v2v_directory, output)
    convert.run(v2v_directory, choice.convert)
    output_setup.run(v2v_directory, output)
    with pytest.raises(CopyError, match=r"disk \d .*; the destination says: .*the shelf is full") as failed:
        copy.run(v2v_directory, dataclasses.replace(choice.copy, mode="nbdcopy"))
    assert failed.value.hint


#: An output with a copier of its own, which reads what the output has left for it.
OWN_COPIER = """
from v2v_core.api import *
from v2v_core.testing import FakeCopy, FakeOutput
class Own(FakeOutput):
    @hookimpl
    def v2v_output_setup(self, request):
        (request.directory / "address").write_text("here")
        return dataclasses.replace(super().v2v_output_setup(request), copier=COPIER)
class OwnCopy(FakeCopy):
    @hookimpl
    def v2v_copy(self, request):
        request.report.info(f"disk {request.index} goes " + (request.output_directory / "address").read_text())
        return super().v2v_copy(request)
"""


@pytest.fixture
def own_copier(choice: RunChoice, v2v_directory: ConversionDir, v2v_install: Install) -> Callable[[str], None]:
    """Return a function that runs the steps up to output setup with an output that recommends a copier."""

    def make(recommended: str) -> None:
        v2v_install(
            "v2v-output-t",
            {"v2v.output": {"t-own": "t_own:Own"}, "v2v.copy": {"t-own": "t_own:OwnCopy"}},
            {"t_own": f"import dataclasses\nCOPIER = {recommended!r}\n{OWN_COPIER}"},
        )
        input_setup.run(v2v_directory, choice.input)
        output = dataclasses.replace(choice.output, mode="t-own")
        output_check.run(v2v_directory, output)
        convert.run(v2v_directory, choice.convert)
        output_setup.run(v2v_directory, output)

    return make


@pytest.mark.parametrize(("mode", "expected"), [(None, ["disk 1 goes here", "disk 2 goes here"]), ("fake", [])])
def test_copier_of_the_user_comes_before_that_of_the_output(
    own_copier: Callable[[str], None], v2v_directory: ConversionDir, mode: str | None, expected: list[str]
) -> None:
    own_copier("t-own")
    heard: list[Event] = []
    results = copy.run(v2v_directory, CopyChoice(mode=mode), [heard.append])
    assert len(results) == 2
    assert [event.text for event in heard if event.text.startswith("disk ")] == expected


def test_core_copies_by_itself_unless_a_copier_is_named(as_far_as_output_setup: ConversionDir, storage: Path) -> None:
    results = copy.run(as_far_as_output_setup, CopyChoice())
    assert "copier: own" in (as_far_as_output_setup.path / "log" / "copy.log").read_text()
    assert all(result.digest for result in results)
    for index in (1, 2):
        assert (storage / f"new name-disk{index}").read_bytes() == read_endpoint(
            uri(as_far_as_output_setup, f"in{index}")
        )


def test_copier_that_does_not_exist_is_found_before_the_copy(own_copier: Callable[[str], None]) -> None:
    with pytest.raises(PluginNotFound, match="t-missing"):
        own_copier("t-missing")


@pytest.mark.parametrize("parallel", [0, -1])
def test_parallel_below_1_is_a_usage_error(
    as_far_as_output_setup: ConversionDir, choice: RunChoice, parallel: int
) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        copy.run(as_far_as_output_setup, dataclasses.replace(choice.copy, parallel=parallel))


def test_finalize_passes_the_state_to_the_plugin(
    as_far_as_output_setup: ConversionDir, choice: RunChoice, storage: Path
) -> None:
    copy.run(as_far_as_output_setup, choice.copy)
    created = output_finalize.run(as_far_as_output_setup).created
    assert created == tuple(str(storage / f"new name{end}") for end in ("-disk1", "-disk2", ".xml"))
    cleanup.run(as_far_as_output_setup)
    assert all(Path(path).exists() for path in created), "what is finished is not taken back"


def test_cleanup_takes_back_what_was_begun(as_far_as_output_setup: ConversionDir, storage: Path) -> None:
    cleanup.run(as_far_as_output_setup)
    assert [path.name for path in storage.iterdir()] == ["neighbour"]
    assert not as_far_as_output_setup.path.exists()
    assert processes.find(as_far_as_output_setup.path) == ()


def test_cleanup_names_what_an_abort_that_fails_leaves(
    choice: RunChoice, in_trouble: Trouble, v2v_directory: ConversionDir, storage: Path
) -> None:
    output = in_trouble("fail", "v2v_output_abort").output
    input_setup.run(v2v_directory, choice.input)
    output_check.run(v2v_directory, output)
    convert.run(v2v_directory, choice.convert)
    output_setup.run(v2v_directory, output)
    heard: list[Event] = []
    left = cleanup.run(v2v_directory, [heard.append])
    assert [thing.identity for thing in left] == [str(storage / f"new name-disk{index}") for index in (1, 2)]
    warning, kept = (event.text for event in heard if event.kind is EventKind.WARNING)
    assert "asked to fail in v2v_output_abort" in warning
    assert f"left behind: file {storage / 'new name-disk1'}, file {storage / 'new name-disk2'}" in warning
    assert f"run helper-v2v-cleanup --dir {v2v_directory.path} again" in kept
    assert v2v_directory.ledger.owned() == left
    assert list(v2v_directory.overlay.iterdir()) == []


def test_cleanup_names_what_is_left_when_the_plugin_is_gone(
    as_far_as_output_setup: ConversionDir, monkeypatch: pytest.MonkeyPatch, storage: Path
) -> None:
    monkeypatch.setenv("V2V_DISABLE_PLUGINS", "fake")
    heard: list[Event] = []
    assert len(cleanup.run(as_far_as_output_setup, [heard.append])) == 2
    warning, _kept = (event.text for event in heard if event.kind is EventKind.WARNING)
    assert str(storage / "new name-disk1") in warning
    monkeypatch.delenv("V2V_DISABLE_PLUGINS")
    assert cleanup.run(as_far_as_output_setup) == (), "the plugin is there again, and deletes the rest"
    assert [path.name for path in storage.iterdir()] == ["neighbour"]
    assert not as_far_as_output_setup.path.exists()


def test_cleanup_of_a_directory_in_which_nothing_happened(v2v_short_path: Path) -> None:
    made = ConversionDir.open_or_create(v2v_short_path / "new")
    cleanup.run(made)
    assert not made.path.exists()


def test_steps_do_not_leave_threads(as_far_as_output_setup: ConversionDir, choice: RunChoice) -> None:
    before = threading.active_count()
    copy.run(as_far_as_output_setup, choice.copy)
    assert threading.active_count() == before
