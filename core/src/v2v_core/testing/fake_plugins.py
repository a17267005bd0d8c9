# SPDX-License-Identifier: GPL-2.0-or-later
"""Plugins of every role that need no hypervisor. They are registered by entry point or passed to ``check_plugin``.

Each can be made to fail, to crash or to hang in one of its hooks: with the options ``fail-in``, ``crash-in`` and
``hang-in`` (for the converter, settings of these names), or with ``failing``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from v2v_core.api import (
    AbortResult,
    Bus,
    Capabilities,
    Change,
    ConversionError,
    ConvertHooks,
    ConvertRequest,
    ConvertResult,
    ConvertSettings,
    CopyError,
    CopyHooks,
    CopyRequest,
    CopyResult,
    DestinationError,
    Event,
    Firmware,
    FirstBootStatus,
    Guest,
    InputHooks,
    InputResult,
    InputSetupRequest,
    Inspection,
    InspectResult,
    NbdkitPlugin,
    Nic,
    ObserverHooks,
    Obstacle,
    OptionValues,
    OutputAbortRequest,
    OutputCheckRequest,
    OutputFinalizeRequest,
    OutputHooks,
    OutputResult,
    OutputSetup,
    OutputSetupRequest,
    PluginOption,
    QemuImage,
    ScriptRun,
    ScriptState,
    SourceDisk,
    SourceError,
    UsageError,
    V2VError,
    hookimpl,
    libvirt_domain,
    run_program,
)

#: What the fake converter writes into the first sector of each disk.
MARKER = b"\x56" * 512

_SIZE = 1024 * 1024
_TROUBLE = (
    PluginOption(name="fail-in", help="hook in which to fail with an error of the plugin"),
    PluginOption(name="crash-in", help="hook in which to raise an exception that is not a V2VError"),
    PluginOption(name="hang-in", help="hook in which to hang"),
)


class FakeInput(InputHooks):
    """A guest whose disks have a recognisable pattern, or are the raw images that are named as arguments."""

    api_version = 1
    summary = "a fake guest, for tests"
    options = (
        PluginOption(name="disks", help="number of disks of the guest"),
        PluginOption(name="size", help="size of each disk, in bytes"),
        *_TROUBLE,
    )
    fail_in: str | None = None

    @hookimpl
    def v2v_input_setup(self, request: InputSetupRequest) -> InputResult:
        """Describe the guest."""
        _trouble("v2v_input_setup", request.options, self.fail_in, SourceError)
        images = [Path(argument).absolute() for argument in request.arguments]
        for image in images:
            if not image.is_file():
                raise SourceError(f"{image} is not a file", hint="name a raw image")
        count = len(images) or int(request.options.one("disks") or "1")
        size = request.options.one("size") or str(_SIZE)
        origins = [str(image) for image in images] or [f"pattern{index}" for index in range(1, count + 1)]
        return InputResult(
            guest=Guest(
                name="fake guest",
                hypervisor="fake",
                disks=tuple(SourceDisk(index=i, bus=Bus.SCSI, origin=origin) for i, origin in enumerate(origins, 1)),
                nics=(Nic(network="fake network", mac="52:54:00:00:00:01"),),
            ),
            disks=tuple(QemuImage(path=image, format="raw") for image in images)
            or tuple(NbdkitPlugin(name="pattern", parameters=(("size", size),)) for _ in range(count)),
        )


_FAKE_SYSTEM = Inspection(root="/dev/sda1", os_type="linux", distro="fakeos", arch="x86_64", major_version=1)


class FakeConvert(ConvertHooks):
    """Writes ``MARKER`` into the first sector of each disk and reports a Linux guest."""

    api_version = 1
    summary = "a fake conversion, for tests"
    fail_in: str | None = None

    @hookimpl
    def v2v_convert_check(self, request: ConvertSettings) -> None:
        """Refuse the setting ``nonsense``."""
        if "nonsense" in request.extra:
            raise UsageError("the setting nonsense makes no sense", hint="omit it")

    @hookimpl
    def v2v_convert(self, request: ConvertRequest) -> ConvertResult:
        """Mark the disks."""
        request.report.message("Marking the disks")
        for disk in request.disks:
            run_program(
                ["qemu-io", "-f", "raw", "-c", f"write -P {MARKER[0]:#x} 0 {len(MARKER)}", "-c", "flush", disk.uri],
                timeout=60,
            )
        change = Change(path="(first sector)", what="marked", why="to be recognised by the test")
        request.report.changed(change.path, change.what, change.why)
        _trouble("v2v_convert", request.settings.extra, self.fail_in, ConversionError)
        return ConvertResult(
            inspection=_FAKE_SYSTEM,
            capabilities=Capabilities(virtio_rng=True),
            firmware=Firmware.BIOS,
            boot_disk=1,
            changes=(change,),
        )

    @hookimpl
    def v2v_inspect(self, request: ConvertRequest) -> InspectResult:
        """Mark the disks, which are overlays. The setting ``obstacle`` is why the guest cannot be converted."""
        converted = self.v2v_convert(request)
        obstacle = request.settings.extra.get("obstacle")
        return InspectResult(
            inspection=converted.inspection,
            firmware=converted.firmware,
            capabilities=converted.capabilities,
            boot_disk=converted.boot_disk,
            obstacles=() if obstacle is None else (Obstacle(reason=obstacle, remedy="remove the obstacle"),),
            changes=() if obstacle is not None else converted.changes,
        )

    @hookimpl
    def v2v_first_boot(self, request: ConvertRequest) -> FirstBootStatus:
        """Report one script, in the state of the setting ``first_boot``."""
        state = ScriptState(request.settings.extra.get("first_boot", ScriptState.DONE))
        finished = state is not ScriptState.WAITING
        return FirstBootStatus(planned=True, finished=finished, scripts=(ScriptRun(name="fake", state=state),))


class FakeCopy(CopyHooks):
    """Copies a disk with nbdcopy and reports its end."""

    api_version = 1
    summary = "a fake copy, for tests"

    @hookimpl
    def v2v_copy(self, request: CopyRequest) -> CopyResult:
        """Copy one disk."""
        size = request.source.size or 0
        run_program(["nbdcopy", "--flush", request.source.uri, request.destination.uri], timeout=60)
        request.report.progress(size, size, disk=request.index)
        return CopyResult(index=request.index, size=size)


class FailingCopy(FakeCopy):
    """Fails for every disk."""

    summary = "a fake copy that fails, for tests"

    @hookimpl
    def v2v_copy(self, request: CopyRequest) -> CopyResult:
        """Fail, naming the disk."""
        raise CopyError(f"disk {request.index}: asked to fail", disk=request.index)


class HangingCopy(FakeCopy):
    """Waits for a program that does not end."""

    summary = "a fake copy that hangs, for tests"

    @hookimpl
    def v2v_copy(self, request: CopyRequest) -> CopyResult:
        """Hang."""
        _mark_hanging()
        run_program(["sleep", "600"])
        raise CopyError(f"disk {request.index}: the sleep was not interrupted", disk=request.index)


class FakeOutput(OutputHooks):
    """Raw images and the domain XML in the directory ``-os``.

    The images have their final names from the beginning, so that a test sees at once what was left behind.
    """

    api_version = 1
    summary = "images and XML in a directory, for tests"
    options = (PluginOption(name="request-size", help="size of a request of the copy, in bytes"), *_TROUBLE)
    fail_in: str | None = None

    @hookimpl
    def v2v_output_check(self, request: OutputCheckRequest) -> None:
        """Check that the directory exists and holds no guest of this name."""
        _trouble("v2v_output_check", request.settings.options, self.fail_in, DestinationError)
        place = _place(request.settings.storage)
        xml = place / f"{_file_name(request.settings.name)}.xml"
        if xml.exists():
            raise DestinationError(f"{xml} exists", hint="choose another name with -on")

    @hookimpl
    def v2v_output_setup(self, request: OutputSetupRequest) -> OutputSetup:
        """Create an empty image for each disk."""
        name, place = _file_name(request.settings.name), _place(request.settings.storage)
        images = []
        for disk in request.disks:
            image = place / f"{name}-disk{disk.index}"
            request.ledger.record("file", str(image))
            with image.open("xb") as stream:
                stream.truncate(disk.size or 0)
            images.append(image)
        _trouble("v2v_output_setup", request.settings.options, self.fail_in, DestinationError)
        request_size = request.settings.options.one("request-size")
        return OutputSetup(
            disks=tuple(QemuImage(path=image, format="raw") for image in images),
            state={"images": [str(image) for image in images]},
            request_size=int(request_size) if request_size is not None else None,
            zeroed=True,
            rewritable=True,
        )

    @hookimpl
    def v2v_output_finalize(self, request: OutputFinalizeRequest) -> OutputResult:
        """Write the XML."""
        xml = _place(request.settings.storage) / f"{_file_name(request.settings.name)}.xml"
        request.ledger.record("file", str(xml))
        with xml.open("xb") as stream:
            stream.write(libvirt_domain(request.metadata, name=request.settings.name, report=request.report))
        _trouble("v2v_output_finalize", request.settings.options, self.fail_in, DestinationError)
        return OutputResult(created=(*request.state["images"], str(xml)))

    @hookimpl
    def v2v_output_abort(self, request: OutputAbortRequest) -> AbortResult:
        """Delete the recorded files, and report their number."""
        _trouble("v2v_output_abort", request.settings.options, self.fail_in, DestinationError)
        for thing in request.owned:
            Path(thing.identity).unlink(missing_ok=True)
        request.report.info(f"took back {len(request.owned)} files")
        return AbortResult()


class FakeObserver(ObserverHooks):
    """Appends each event to the file that ``V2V_FAKE_OBSERVER`` names, or raises if its value is ``raise``."""

    api_version = 1
    summary = "writes events to a file, for tests"

    @hookimpl
    def v2v_event(self, event: Event) -> None:
        """Write the event to the file."""
        target = os.environ.get("V2V_FAKE_OBSERVER")
        if target == "raise":
            raise RuntimeError("an observer that always raises")
        if target:
            with Path(target).open("a", encoding="utf-8") as stream:
                stream.write(event.to_json() + "\n")


#: The entry points of the fakes, by group, as ``write_distribution`` takes them.
ENTRY_POINTS = {
    "v2v.input": {"fake": f"{__name__}:FakeInput"},
    "v2v.convert": {"fake": f"{__name__}:FakeConvert"},
    "v2v.copy": {
        "fake": f"{__name__}:FakeCopy",
        "fake-failing": f"{__name__}:FailingCopy",
        "fake-hanging": f"{__name__}:HangingCopy",
    },
    "v2v.output": {"fake": f"{__name__}:FakeOutput"},
    "v2v.observer": {"fake": f"{__name__}:FakeObserver"},
}


def failing(plugin_class: type[Any], hook: str) -> type[Any]:
    """Return a fake that fails in a hook, with an error of the plugin."""
    return type(f"Failing{plugin_class.__name__}", (plugin_class,), {"fail_in": hook})


def _trouble(hook: str, asked: OptionValues | Mapping[str, Any], fail_in: str | None, error: type[V2VError]) -> None:
    one = asked.one if isinstance(asked, OptionValues) else asked.get
    if hook in {fail_in, one("fail-in")}:
        raise error(f"asked to fail in {hook}", hint="do not ask")
    if one("crash-in") == hook:
        raise RuntimeError(f"asked to crash in {hook}")
    if one("hang-in") == hook and _mark_hanging():
        time.sleep(600)


def _mark_hanging() -> bool:
    """Create the file that ``V2V_FAKE_HANGING`` names. Return whether to hang: a second call must not."""
    marker = os.environ.get("V2V_FAKE_HANGING")
    if marker is None:
        return True
    try:
        Path(marker).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _place(storage: str | None) -> Path:
    if storage is None:
        raise UsageError("-o fake needs a directory", hint="name it with -os")
    place = Path(storage)
    if not place.is_dir():
        raise DestinationError(f"{place} is not a directory", hint="make it")
    return place.absolute()


def _file_name(name: str) -> str:
    # a file name has at most 255 bytes (NAME_MAX), and the suffixes need some
    return quote(name, safe=" ")[:200]


def read_events(path: Path) -> list[Event]:
    """Read what ``FakeObserver`` wrote, or the ``events.jsonl`` of a conversion directory."""
    return [Event.from_json(line) for line in path.read_text(encoding="utf-8").splitlines()]
