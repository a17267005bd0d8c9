# SPDX-License-Identifier: GPL-2.0-or-later
"""The contract of the role ``output``, as tests. Needs qemu-nbd, nbdkit and nbdcopy: disks are really written."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from v2v_core import metadata, processes
from v2v_core.conversion_dir import ConversionDir
from v2v_core.discovery import Role
from v2v_core.errors import OptionError, UsageError, V2VError
from v2v_core.events import Step
from v2v_core.hookspecs import (
    AbortResult,
    OutputAbortRequest,
    OutputCheckRequest,
    OutputFinalizeRequest,
    OutputPrecheckRequest,
    OutputResult,
    OutputResumeRequest,
    OutputSettings,
    OutputSetup,
    OutputSetupRequest,
    OutputSinkRequest,
    OwnedObject,
)
from v2v_core.ledger import OwnLedger
from v2v_core.model import Bus, Capabilities, Firmware, Guest, Inspection, Nic, SourceDisk, TargetDisk, TargetGuest
from v2v_core.plugins import LoadedPlugin
from v2v_core.reporting import StepReport
from v2v_core.serving import serve_destination
from v2v_core.settings import OutputChoice, RawOptions
from v2v_core.testing.contract import PluginContract, hint_is_given
from v2v_core.testing.endpoints import write_endpoint
from v2v_core.testing.fakes import FakeLedger, FakeReporter
from v2v_core.testing.hook_process import call_in_process
from v2v_core.testing.images import numbered_sectors, tree_of

#: What is written to the disks of the guest, by number.
_CONTENTS = {1: numbered_sectors(1024 * 1024), 2: b"second disk".ljust(512, b"\0") + b"\x5a" * (256 * 1024 - 512)}


@dataclass(frozen=True, kw_only=True)
class OutputExample:
    """A destination that the plugin can use.

    :param name: name of the guest at the destination.
    """

    name: str = "contract-guest"
    storage: str | None = None
    connection: str | None = None
    format: str | None = None
    allocation: str = "sparse"
    password_file: Path | None = None
    options: RawOptions = ()


@dataclass
class OutputRun:
    """One conversion as the output plugin sees it. It calls the hooks as the steps of core do, on one directory."""

    plugin: LoadedPlugin
    directory: ConversionDir
    settings: OutputSettings
    report: FakeReporter
    setup_result: OutputSetup | None = None
    #: A ledger that the test looks into; None for that of the directory.
    ledger: FakeLedger | None = None
    target: TargetGuest = field(init=False)
    #: The plugin's account in the ledger of the directory.
    account: OwnLedger = field(init=False)

    def __post_init__(self) -> None:
        choice = OutputChoice(mode=self.plugin.name)
        self.account = self.directory.ledger.begin(Role.OUTPUT, choice, self.settings.name)
        guest = Guest(
            name=self.settings.name,
            disks=tuple(SourceDisk(index=index, size=len(content)) for index, content in _CONTENTS.items()),
            nics=(Nic(mac="52:54:00:12:34:56"),),
        )
        self.target = TargetGuest(
            source=guest,
            inspection=Inspection(root="/dev/sda1", os_type="linux", distro="debian", arch="x86_64", major_version=12),
            capabilities=Capabilities(),
            firmware=Firmware.BIOS,
            disks=tuple(
                TargetDisk(index=i, bus=Bus.VIRTIO_BLK, device=f"vd{'ab'[i - 1]}", boot_order=i, size=len(content))
                for i, content in _CONTENTS.items()
            ),
            nics=guest.nics,
        )
        metadata.write_source(self.directory.metadata_in, guest)
        metadata.write_target(self.directory.metadata_out, self.directory.metadata_in, self.target)

    @property
    def state(self) -> dict[str, Any]:
        """The state that setup returned, as it is read from the file."""
        state = self.setup_result.state if self.setup_result is not None else {}
        restored: dict[str, Any] = json.loads(json.dumps(dict(state)))
        return restored

    def owned(self) -> tuple[OwnedObject, ...]:
        """Return what has been recorded so far."""
        return self.ledger.owned() if self.ledger is not None else self.directory.ledger.owned()

    def precheck_request(self) -> OutputPrecheckRequest:
        """Make the request of ``v2v_output_precheck``."""
        return OutputPrecheckRequest(
            directory=self.directory.private("output"), settings=self.settings, report=self.report
        )

    def precheck(self) -> None:
        """Call ``v2v_output_precheck``, if the plugin has it."""
        self.plugin.output_precheck(self.precheck_request())

    def check(self) -> None:
        """Call ``v2v_output_check``."""
        self.plugin.output_check(
            OutputCheckRequest(
                directory=self.directory.private("output"),
                settings=self.settings,
                guest=self.target.source,
                report=self.report,
            )
        )

    def setup_request(self) -> OutputSetupRequest:
        """Make the request of ``v2v_output_setup``."""
        return OutputSetupRequest(
            directory=self.directory.private("output"),
            settings=self.settings,
            guest=self.target.source,
            disks=self.target.source.disks,
            ledger=self.ledger or self.account,
            temporary=self.directory.overlay,
            report=self.report,
        )

    def setup(self) -> OutputSetup:
        """Call ``v2v_output_setup``."""
        self.setup_result = self.plugin.output_setup(self.setup_request())
        return self.setup_result

    def resume(self) -> OutputSetup:
        """Go on after an interruption, as ``v2v resume`` does: with the hook, or else with what is recorded."""
        assert self.setup_result is not None, "call setup first"
        if self.plugin.resumes:
            self.setup_result = self.plugin.output_resume(
                OutputResumeRequest(
                    directory=self.directory.private("output"),
                    settings=self.settings,
                    setup=replace(self.setup_result, state=self.state),
                    disks=self.target.source.disks,
                    owned=self.owned(),
                    ledger=self.ledger or self.account,
                    temporary=self.directory.overlay,
                    report=self.report,
                )
            )
        return self.setup_result

    def write_to_sink(self, index: int) -> None:
        """Write a disk through ``v2v_output_sink``, and read it back if that is possible, as copy does."""
        content = _CONTENTS[index]
        request = OutputSinkRequest(
            directory=self.directory.private("output"), index=index, size=len(content), state=self.state
        )
        with contextlib.closing(self.plugin.output_sink(request)) as sink:
            assert sink.connections >= 1
            assert sink.longest >= 1
            half = len(content) // 2
            sink.write(half, memoryview(content)[half:])
            sink.zero(0, half)
            sink.write(0, memoryview(content)[:half])
            sink.flush()
            if sink.readable:
                back = bytearray(len(content))
                sink.read(0, memoryview(back))
                same = back == content
                assert same, f"disk {index} differs when it is read back"

    def write(self, *only: int) -> None:
        """Serve the destinations, write the disks, and stop serving, as copy does.

        :param only: numbers of the disks to write; all if none are given.
        """
        assert self.setup_result is not None, "call setup first"
        report = StepReport(self.directory, Step.OUTPUT_SETUP, [])
        try:
            for disk, service in zip(self.target.disks, self.setup_result.disks, strict=True):
                if only and disk.index not in only:
                    continue
                endpoint = serve_destination(self.directory, disk.index, service, report)
                write_endpoint(endpoint.uri, _CONTENTS[disk.index])
        finally:
            processes.stop(self.directory.path, processes.serves("out"), grace=30.0)
            report.close()

    def finalize_request(self) -> OutputFinalizeRequest:
        """Make the request of ``v2v_output_finalize``."""
        return OutputFinalizeRequest(
            directory=self.directory.private("output"),
            settings=self.settings,
            target=self.target,
            state=self.state,
            metadata=self.directory.metadata_out,
            ledger=self.ledger or self.account,
            report=self.report,
        )

    def finalize(self) -> OutputResult:
        """Call ``v2v_output_finalize``."""
        return self.plugin.output_finalize(self.finalize_request())

    def abort_request(self, *, state: Mapping[str, Any] | None = None) -> OutputAbortRequest:
        """Make the request of ``v2v_output_abort``."""
        return OutputAbortRequest(
            directory=self.directory.private("output"),
            settings=self.settings,
            owned=self.owned(),
            state=self.state if state is None else state,
            report=self.report,
        )

    def abort(self) -> AbortResult:
        """Call ``v2v_output_abort``, and record what was deleted, as core does."""
        owned = self.owned()
        result = self.plugin.output_abort(self.abort_request())
        assert set(result.left) <= set(owned), "left must be a part of what was owned"
        if self.ledger is None:
            self.directory.ledger.gone(self.account.owner, (thing for thing in owned if thing not in result.left))
        return result


class OutputPluginContract(PluginContract):
    """The contract of an output plugin: subclass it, set ``plugin_class``, and write the fixture ``example``.

    Write the method ``read_disk``, too, unless the output keeps no data::

        class TestFooOutput(OutputPluginContract):
            plugin_class = FooOutput

            @pytest.fixture
            def example(self, tmp_path: Path) -> OutputExample:
                return OutputExample(storage=str(tmp_path))

            def read_disk(self, example: OutputExample, result: OutputResult, index: int) -> bytes:
                return Path(result.created[index - 1]).read_bytes()

    If the destination is not a local directory, override ``look`` and ``put_neighbour``, too.
    """

    role: ClassVar[Role] = Role.OUTPUT
    #: What is written can be read back from the destination.
    keeps_data: ClassVar[bool] = True
    #: Something exists at the destination after a conversion.
    creates: ClassVar[bool] = True
    #: The plugin cannot be used without ``-os`` or ``-oc``.
    needs_destination: ClassVar[bool] = True

    @pytest.fixture
    def example(self) -> OutputExample:
        """Return a destination that the plugin can use. Every plugin has its own."""
        raise NotImplementedError("write a fixture 'example' that returns an OutputExample")

    def read_disk(self, example: OutputExample, result: OutputResult, index: int) -> bytes:
        """Return the content of disk ``index`` (from 1) of the finished guest, with any padding after its end."""
        raise NotImplementedError("write a method read_disk, or set keeps_data = False")

    def look(self, example: OutputExample) -> dict[str, object]:
        """Return everything at the destination: by the name that the ledger uses, a fingerprint of each object."""
        return tree_of(Path(example.storage)) if example.storage is not None else {}

    def put_neighbour(self, example: OutputExample, name: str) -> None:
        """Put something at the destination that does not belong to the run."""
        if example.storage is not None:
            (Path(example.storage) / name).write_bytes(b"not of this run")

    @pytest.fixture
    def run(
        self,
        v2v_directory: ConversionDir,
        plugin: LoadedPlugin,
        example: OutputExample,
        report: FakeReporter,
    ) -> OutputRun:
        """Return a conversion whose output is the example. The destination already holds something of another owner."""
        self.put_neighbour(example, "neighbour")
        return OutputRun(plugin, v2v_directory, self._settings(plugin, example), report)

    @pytest.fixture
    def second_run(self, run: OutputRun, v2v_short_path: Path) -> Iterator[OutputRun]:
        """Yield another conversion to the same place and name."""
        directory = ConversionDir.open_or_create(v2v_short_path / "e")
        yield OutputRun(run.plugin, directory, run.settings, FakeReporter())
        processes.stop(directory.path, lambda _process: True, grace=5.0)

    def _settings(self, plugin: LoadedPlugin, example: OutputExample) -> OutputSettings:
        return OutputSettings(
            name=example.name,
            storage=example.storage,
            connection=example.connection,
            format=example.format or "raw",
            format_given=example.format is not None,
            allocation=example.allocation,
            password_file=example.password_file,
            options=plugin.check_options(example.options),
        )

    def test_check_creates_nothing(self, run: OutputRun, example: OutputExample) -> None:
        """Core does not call abort if nothing but check was called."""
        before = self.look(example)
        run.check()
        assert self.look(example) == before
        assert run.owned() == ()

    def test_precheck_needs_no_guest_and_creates_nothing(self, run: OutputRun, example: OutputExample) -> None:
        """Core calls it before the source is opened, with or without a name."""
        before = self.look(example)
        run.precheck()
        run.settings = replace(run.settings, name="")
        run.precheck()
        assert self.look(example) == before
        assert run.owned() == ()

    def test_missing_destination_is_a_usage_error(self, run: OutputRun) -> None:
        """Check raises it, before the conversion, with a hint."""
        run.settings = replace(run.settings, storage=None, connection=None)
        if not self.needs_destination:
            run.check()
            assert run.owned() == ()
            return
        with pytest.raises(UsageError) as refused:
            run.check()
        assert hint_is_given(refused.value)

    def test_unknown_option_is_refused(self, plugin: LoadedPlugin) -> None:
        """Core refuses it, because the plugin does not declare it."""
        with pytest.raises(OptionError) as refused:
            plugin.check_options((("no-such-option", "1"),))
        assert refused.value.key == "no-such-option"

    def test_state_is_json(self, run: OutputRun) -> None:
        """The state goes through a file: a tuple would come back as a list, and a path cannot be written."""
        setup = run.setup()
        assert json.loads(json.dumps(dict(setup.state))) == dict(setup.state)

    def test_what_is_created_was_recorded_before(self, run: OutputRun, example: OutputExample) -> None:
        """Only recorded objects are ever deleted, so at each record, all that exists has been recorded."""
        before = self.look(example)
        early: list[str] = []

        def compare(owned: tuple[OwnedObject, ...]) -> None:
            identities = [thing.identity for thing in owned]
            new = [key for key in self.look(example) if key not in before and not _covered(key, identities)]
            early.extend(new)

        ledger = FakeLedger(on_record=lambda _thing: compare(ledger.owned()))
        run.ledger = ledger
        run.setup()
        run.write()
        run.finalize()
        compare(ledger.owned())
        assert not early, f"created without, or before, a record in the ledger: {early}"
        assert bool(self.look(example).keys() - before.keys()) is self.creates

    def test_data_and_guest_arrive(self, run: OutputRun, example: OutputExample) -> None:
        """After finalize, the destination holds what was written to ``out1`` …"""
        run.check()
        run.setup()
        run.write()
        result = run.finalize()
        assert bool(result.created) is self.creates, "created names what the user now has"
        if self.keeps_data:
            for index, content in _CONTENTS.items():
                actual = self.read_disk(example, result, index)
                # not compared in the assert itself: pytest would look for the difference for minutes
                same, zeros_after = actual[: len(content)] == content, not actual[len(content) :].strip(b"\0")
                assert same, f"disk {index} differs"
                assert zeros_after, f"disk {index} has data after its end"

    def test_interrupted_run_goes_on_with_what_was_flushed(self, run: OutputRun, example: OutputExample) -> None:
        """An output that says it can: what was flushed before the interruption is still there afterwards."""
        setup = run.setup()
        if setup.rewritable or run.plugin.resumes:
            run.write(1)
            run.resume()
            run.write(2)
        else:
            # core sets it up anew
            run.abort()
            run.setup()
            run.write()
        result = run.finalize()
        if self.keeps_data:
            for index, content in _CONTENTS.items():
                same = self.read_disk(example, result, index)[: len(content)] == content
                assert same, f"disk {index} differs"

    def test_sink_writes_and_reads_back(self, run: OutputRun, example: OutputExample) -> None:
        """If setup asks for it, core writes the disks through ``v2v_output_sink``."""
        if not run.setup().sink:
            run.abort()
            return
        for index in _CONTENTS:
            run.write_to_sink(index)
        result = run.finalize()
        if self.keeps_data:
            for index, content in _CONTENTS.items():
                same = self.read_disk(example, result, index)[: len(content)] == content
                assert same, f"disk {index} differs"

    def test_steps_work_in_processes_of_their_own(self, run: OutputRun, example: OutputExample) -> None:
        """Nothing but the directory and the state passes from one hook to the next."""
        run.setup_result = call_in_process(self.plugin_class, "v2v_output_setup", run.setup_request())
        run.write()
        result: OutputResult = call_in_process(self.plugin_class, "v2v_output_finalize", run.finalize_request())
        assert bool(result.created) is self.creates
        if self.keeps_data:
            assert self.read_disk(example, result, 2)[: len(_CONTENTS[2])] == _CONTENTS[2]

    def test_abort_after_setup_takes_everything_back(self, run: OutputRun, example: OutputExample) -> None:
        """Abort deletes nothing that belongs to another owner, even if it was put there after setup."""
        run.setup()
        self.put_neighbour(example, "late-neighbour")
        run.write()
        recorded = [thing.identity for thing in run.owned()]
        assert run.abort().left == ()
        left = self.look(example)
        self.put_neighbour(example, "neighbour")
        self.put_neighbour(example, "late-neighbour")
        assert left.keys() == self.look(example).keys()
        assert not [key for key in left if _covered(key, recorded)]
        assert not run.report.warnings

    def test_abort_after_finalize_takes_everything_back(self, run: OutputRun, example: OutputExample) -> None:
        """Finalize may fail at its very end."""
        before = self.look(example)
        run.setup()
        run.write()
        run.finalize()
        run.abort()
        assert self.look(example) == before

    def test_abort_twice_is_harmless(self, run: OutputRun, example: OutputExample) -> None:
        """A cleanup that was killed before it recorded what it deleted is run again, with the same objects."""
        before = self.look(example)
        run.setup()
        request = run.abort_request()
        for _ in range(2):
            assert run.plugin.output_abort(request).left == ()
        assert self.look(example) == before

    def test_abort_deletes_nothing_when_nothing_was_recorded(self, run: OutputRun, example: OutputExample) -> None:
        """Setup may have failed at its very beginning."""
        before = self.look(example)
        run.abort()
        assert self.look(example) == before

    def test_abort_in_a_new_process_after_setup_was_killed(self, run: OutputRun, example: OutputExample) -> None:
        """Abort then has the ledger, but no state."""
        before = self.look(example)
        call_in_process(self.plugin_class, "v2v_output_setup", run.setup_request(), kill=True)
        call_in_process(self.plugin_class, "v2v_output_abort", run.abort_request(state={}))
        assert self.look(example) == before

    def test_abort_in_a_new_process_after_finalize_was_killed(self, run: OutputRun, example: OutputExample) -> None:
        """Abort then has the ledger and the state."""
        before = self.look(example)
        run.setup()
        run.write()
        call_in_process(self.plugin_class, "v2v_output_finalize", run.finalize_request(), kill=True)
        call_in_process(self.plugin_class, "v2v_output_abort", run.abort_request())
        assert self.look(example) == before

    def test_guest_of_an_earlier_run_is_not_harmed(
        self, run: OutputRun, second_run: OutputRun, example: OutputExample
    ) -> None:
        """A second conversion to the same name is refused, or gets another one. Its abort leaves the first guest."""
        run.setup()
        run.write()
        run.finalize()
        before = self.look(example)
        with contextlib.suppress(V2VError):
            second_run.check()
            second_run.setup()
        second_run.abort()
        assert self.look(example) == before

    def test_guest_of_an_earlier_run_is_not_replaced_unasked(
        self, run: OutputRun, second_run: OutputRun, example: OutputExample
    ) -> None:
        """A second conversion to the same name is refused, or makes a guest beside the first one."""
        run.setup()
        run.write()
        run.finalize()
        before = self.look(example)
        try:
            second_run.check()
            second_run.setup()
            second_run.write()
            second_run.finalize()
        except V2VError as refused:
            assert hint_is_given(refused)
            second_run.abort()
        assert {key: self.look(example).get(key) for key in before} == before

    def test_guest_that_is_to_be_replaced_stays_until_the_end(
        self, run: OutputRun, second_run: OutputRun, example: OutputExample
    ) -> None:
        """``--overwrite`` means a guest that is whole, the old one or the new one."""
        run.setup()
        run.write()
        run.finalize()
        before = self.look(example)
        second_run.settings = replace(second_run.settings, overwrite=True)
        with contextlib.suppress(V2VError):
            second_run.check()
            second_run.setup()
            second_run.write()
        assert {key: self.look(example).get(key) for key in before} == before
        second_run.abort()
        assert self.look(example) == before

    @pytest.mark.parametrize(
        "name", ["../escape", "/escape", "a/b", ".", "..", "ünïcode & <xml> \"'", "-rf", "x" * 300]
    )
    def test_name_stays_inside_the_destination(self, run: OutputRun, example: OutputExample, name: str) -> None:
        """The source chooses the name, which may be any text. The plugin makes it fit, or refuses it in one line."""
        before = self.look(example)
        run.settings = replace(run.settings, name=name)
        above = Path(example.storage).parent if example.storage is not None else None
        outside = _outside(above, example)
        try:
            run.check()
            run.setup()
        except V2VError as refused:
            assert "failed in v2v_output_" not in refused.message, "an exception that core had to wrap"
            assert "\n" not in refused.message
        assert _outside(above, example) == outside
        run.abort()
        assert self.look(example) == before

    def test_hooks_do_not_print(self, run: OutputRun, capfd: pytest.CaptureFixture[str]) -> None:
        """The hooks report through ``request.report``."""
        run.check()
        run.setup()
        run.write()
        run.finalize()
        run.abort()
        assert capfd.readouterr() == ("", "")

    def test_secrets_are_not_reported(self, run: OutputRun, plugin: LoadedPlugin) -> None:
        """They are neither in messages nor in the state nor in the ``repr`` of a record."""
        setup = run.setup()
        values = [v for option in plugin.options if option.secret for v in run.settings.options.all(option.name)]
        if run.settings.password_file is not None:
            values.append(run.settings.password_file.read_text(encoding="utf-8").strip())
        visible = run.report.said + repr(setup) + repr(run.settings) + json.dumps(run.state)
        assert not [value for value in values if value and value in visible]


def _covered(key: str, identities: list[str]) -> bool:
    return any(key == identity or key.startswith(f"{identity}/") for identity in identities)


def _outside(above: Path | None, example: OutputExample) -> list[str]:
    # if the destination is a server or a name, there is no directory of this machine around it
    if above is None or example.storage is None or not above.is_dir():
        return []
    return sorted(key for key in map(str, above.iterdir()) if key != example.storage)
