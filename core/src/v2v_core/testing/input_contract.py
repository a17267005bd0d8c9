# SPDX-License-Identifier: GPL-2.0-or-later
"""The contract of the role ``input``, as tests. Needs qemu-nbd, nbdkit and nbdcopy: disks are really served."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest

from v2v_core import processes
from v2v_core.conversion_dir import ConversionDir
from v2v_core.discovery import Role
from v2v_core.errors import OptionError, UsageError, V2VError
from v2v_core.events import Step
from v2v_core.hookspecs import InputResult, InputSetupRequest, InputVersionsRequest
from v2v_core.model import DiskEndpoint, Guest, OptionValues
from v2v_core.plugins import LoadedPlugin
from v2v_core.reporting import StepReport
from v2v_core.serving import serve_source
from v2v_core.settings import RawOptions
from v2v_core.testing.contract import PluginContract, hint_is_given
from v2v_core.testing.endpoints import read_endpoint, write_endpoint
from v2v_core.testing.fakes import FakeLedger, FakeReporter
from v2v_core.testing.images import fingerprint, tree_of


@dataclass(frozen=True, kw_only=True)
class InputExample:
    """A guest that the plugin can read, and the expected result.

    :param contents: content of each disk of the guest.
    :param files: files of the source. A conversion must leave them as they are.
    """

    contents: tuple[bytes, ...]
    arguments: tuple[str, ...] = ()
    connection: str | None = None
    format: str | None = None
    transport: str | None = None
    password_file: Path | None = None
    options: RawOptions = ()
    files: tuple[Path, ...] = ()


class InputPluginContract(PluginContract):
    """The contract of an input plugin: subclass it, set ``plugin_class``, and write the fixture ``example``.

    ::

        class TestFooInput(InputPluginContract):
            plugin_class = FooInput

            @pytest.fixture
            def example(self, tmp_path: Path) -> InputExample:
                image = tmp_path / "guest.foo"
                image.write_bytes(b"foo" * 512)
                return InputExample(arguments=(str(image),), contents=(b"foo" * 512,), files=(image,))
    """

    role: ClassVar[Role] = Role.INPUT
    #: The plugin cannot be used without arguments.
    needs_arguments: ClassVar[bool] = True
    #: Its disks can be served writable, for a conversion in place.
    in_place: ClassVar[bool] = True

    @pytest.fixture
    def example(self) -> InputExample:
        """Return a guest that the plugin can read. Every plugin has its own."""
        raise NotImplementedError("write a fixture 'example' that returns an InputExample")

    @pytest.fixture
    def directory(self, v2v_directory: ConversionDir) -> ConversionDir:
        """Return a conversion directory. The test fails if it leaves a process behind."""
        return v2v_directory

    @pytest.fixture
    def request_of(
        self, directory: ConversionDir, plugin: LoadedPlugin, report: FakeReporter
    ) -> Callable[[InputExample], InputSetupRequest]:
        """Return a function that makes core's request of an example."""

        def make(example: InputExample) -> InputSetupRequest:
            return InputSetupRequest(
                directory=directory.private("input"),
                arguments=example.arguments,
                connection=example.connection,
                format=example.format,
                transport=example.transport,
                password_file=example.password_file,
                options=plugin.check_options(example.options),
                ledger=FakeLedger(),
                report=report,
            )

        return make

    @pytest.fixture
    def serve(self, directory: ConversionDir) -> Iterator[Callable[[InputResult, bool], list[DiskEndpoint]]]:
        """Yield a function that serves the disks of a result as core does. Its second argument is "in place"."""
        report = StepReport(directory, Step.INPUT_SETUP, [])

        def serve_all(result: InputResult, in_place: bool) -> list[DiskEndpoint]:
            return [
                serve_source(directory, index, service, f"disk {index}", in_place=in_place, report=report).endpoint
                for index, service in enumerate(result.disks, start=1)
            ]

        yield serve_all
        processes.stop(directory.path, processes.serves("in", "base", "far"))
        report.close()

    def test_versions_can_be_asked_for_later(
        self,
        plugin: LoadedPlugin,
        example: InputExample,
        request_of: Callable[[InputExample], InputSetupRequest],
    ) -> None:
        """They are those of the setup as long as the source has not changed."""
        asked = request_of(example)
        result = plugin.input_setup(asked)
        assert len(result.versions) in {0, len(result.disks)}
        now = plugin.input_versions(
            InputVersionsRequest(
                directory=asked.directory,
                report=asked.report,
                arguments=asked.arguments,
                connection=asked.connection,
                transport=asked.transport,
                password_file=asked.password_file,
                options=asked.options,
            )
        )
        assert (now is not None) >= bool(result.versions), "versions need the hook v2v_input_versions"
        if now is not None and result.versions:
            assert now.versions == result.versions

    def test_guest_is_described(
        self,
        plugin: LoadedPlugin,
        example: InputExample,
        request_of: Callable[[InputExample], InputSetupRequest],
    ) -> None:
        """The guest has a name, and its disks are numbered from 1 and named."""
        result = plugin.input_setup(request_of(example))
        assert isinstance(result.guest, Guest)
        assert result.guest.name
        assert len(result.disks) == len(example.contents)
        assert [disk.index for disk in result.guest.disks] == list(range(1, len(example.contents) + 1))
        assert all(disk.origin for disk in result.guest.disks), "origin is what a disk is called in messages"

    def test_metadata_survives_the_way_through_the_file(
        self,
        plugin: LoadedPlugin,
        example: InputExample,
        request_of: Callable[[InputExample], InputSetupRequest],
        directory: ConversionDir,
    ) -> None:
        """The next step reads nothing but ``metadata.in``."""
        from v2v_core import metadata

        result = plugin.input_setup(request_of(example))
        sized = tuple(replace(disk, size=512) for disk in result.guest.disks)
        guest = replace(result.guest, disks=sized)
        metadata.write_source(directory.metadata_in, guest, domain_xml=result.domain_xml)
        assert metadata.read_source(directory.metadata_in) == guest

    def test_disks_are_served_with_their_size_and_content(
        self,
        plugin: LoadedPlugin,
        example: InputExample,
        request_of: Callable[[InputExample], InputSetupRequest],
        serve: Callable[[InputResult, bool], list[DiskEndpoint]],
    ) -> None:
        """Core serves the disks as the result describes them."""
        endpoints = serve(plugin.input_setup(request_of(example)), False)
        assert [endpoint.size for endpoint in endpoints] == [len(content) for content in example.contents]
        for endpoint, content in zip(endpoints, example.contents, strict=True):
            # not compared in the assert itself: pytest would look for the difference for minutes
            same = read_endpoint(endpoint.uri) == content
            assert same, f"the content of disk {endpoint.index} differs"

    def test_writing_to_the_guest_leaves_the_source_as_it_is(
        self,
        plugin: LoadedPlugin,
        example: InputExample,
        request_of: Callable[[InputExample], InputSetupRequest],
        serve: Callable[[InputResult, bool], list[DiskEndpoint]],
    ) -> None:
        """What the conversion writes goes to the overlay."""
        before = {path: fingerprint(path) for path in example.files}
        for endpoint in serve(plugin.input_setup(request_of(example)), False):
            write_endpoint(endpoint.uri, b"\xa5" * 512)
            assert read_endpoint(endpoint.uri).startswith(b"\xa5" * 512)
        assert {path: fingerprint(path) for path in example.files} == before

    def test_disks_can_be_served_for_a_conversion_in_place(
        self,
        plugin: LoadedPlugin,
        example: InputExample,
        request_of: Callable[[InputExample], InputSetupRequest],
        serve: Callable[[InputResult, bool], list[DiskEndpoint]],
    ) -> None:
        """Or the plugin refuses it, with a hint."""
        request = replace(request_of(example), in_place=True)
        if not self.in_place:
            with pytest.raises(V2VError) as refused:
                serve(plugin.input_setup(request), True)
            assert hint_is_given(refused.value)
            return
        for endpoint in serve(plugin.input_setup(request), True):
            write_endpoint(endpoint.uri, b"\xa5" * 512)
            assert read_endpoint(endpoint.uri).startswith(b"\xa5" * 512)

    def test_setup_writes_nothing_outside_its_directory(
        self,
        plugin: LoadedPlugin,
        example: InputExample,
        request_of: Callable[[InputExample], InputSetupRequest],
        directory: ConversionDir,
    ) -> None:
        """Nothing outside its directory has to be undone."""
        places = {path.parent for path in example.files}
        own = f"{directory.private('input')}/"
        before = {place: tree_of(place) for place in (*places, directory.path)}
        plugin.input_setup(request_of(example))
        after = {place: tree_of(place) for place in before}
        assert _without(after, own) == _without(before, own)

    def test_setup_can_be_run_again(
        self,
        plugin: LoadedPlugin,
        example: InputExample,
        request_of: Callable[[InputExample], InputSetupRequest],
    ) -> None:
        """A run that is resumed after a crash starts over."""
        assert plugin.input_setup(request_of(example)) == plugin.input_setup(request_of(example))

    def test_unknown_option_is_refused(self, plugin: LoadedPlugin) -> None:
        """Core refuses it, because the plugin does not declare it."""
        with pytest.raises(OptionError) as refused:
            plugin.check_options((("no-such-option", "1"),))
        assert refused.value.key == "no-such-option"

    def test_missing_arguments_are_a_usage_error(
        self,
        plugin: LoadedPlugin,
        example: InputExample,
        request_of: Callable[[InputExample], InputSetupRequest],
    ) -> None:
        """The error has a hint."""
        request = replace(request_of(example), arguments=())
        if not self.needs_arguments:
            assert plugin.input_setup(request).guest.name
            return
        with pytest.raises(UsageError) as refused:
            plugin.input_setup(request)
        assert hint_is_given(refused.value)

    def test_guest_that_does_not_exist_is_an_error_of_one_line(
        self,
        plugin: LoadedPlugin,
        example: InputExample,
        request_of: Callable[[InputExample], InputSetupRequest],
    ) -> None:
        """The plugin raises a ``V2VError``, and not an exception that core has to wrap."""
        request = replace(request_of(example), arguments=("/nonexistent/guest",))
        if not self.needs_arguments:
            assert plugin.input_setup(replace(request, arguments=())).guest.name
            return
        with pytest.raises(V2VError) as refused:
            plugin.input_setup(request)
        assert "failed in v2v_input_setup" not in refused.value.message
        assert "\n" not in refused.value.message

    def test_setup_does_not_print(
        self,
        plugin: LoadedPlugin,
        example: InputExample,
        request_of: Callable[[InputExample], InputSetupRequest],
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """The plugin reports through ``request.report``."""
        plugin.input_setup(request_of(example))
        assert capfd.readouterr() == ("", "")

    def test_values_of_secret_options_are_not_reported(
        self,
        plugin: LoadedPlugin,
        example: InputExample,
        request_of: Callable[[InputExample], InputSetupRequest],
        report: FakeReporter,
    ) -> None:
        """They are neither in messages nor in the ``repr`` of the result or the request."""
        request = request_of(example)
        result = plugin.input_setup(request)
        for value in _secrets(plugin, request.options, example.password_file):
            assert value not in report.said + repr(request) + repr(result)


def _without(trees: dict[Path, dict[str, object]], prefix: str) -> dict[Path, dict[str, object]]:
    return {
        place: {name: what for name, what in tree.items() if not f"{name}/".startswith(prefix)}
        for place, tree in trees.items()
    }


def _secrets(plugin: LoadedPlugin, options: OptionValues, password_file: Path | None) -> list[str]:
    values = [value for option in plugin.options if option.secret for value in options.all(option.name)]
    if password_file is not None:
        values.append(password_file.read_text(encoding="utf-8").strip())
    return [value for value in values if value]
