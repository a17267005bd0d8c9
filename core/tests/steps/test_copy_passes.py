# SPDX-License-Identifier: GPL-2.0-or-later
"""Both passes of the copy with the real copy process, on what a guest's disks can become between them."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from v2v_core import processes, served
from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import CopyError, UsageError
from v2v_core.events import Event, EventKind
from v2v_core.settings import CopyChoice, InputChoice, OutputChoice, RunChoice
from v2v_core.steps import convert, copy, copy_servers, input_setup, output_check, output_setup
from v2v_core.testing import MARKER, read_endpoint
from v2v_core.testing.fixtures import Install

MB = 1024 * 1024
BASE, WHOLE = CopyChoice(from_base=True), CopyChoice()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy, "PATIENCE", 0.3)
    monkeypatch.setattr(copy_servers, "_PAUSES", (0.1,) * 5)
    monkeypatch.setattr(copy_servers, "_INTERVAL", 0.2)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Return a raw image of 8 MiB with data, zeros and holes."""
    path = tmp_path / "source.img"
    with path.open("wb") as stream:
        stream.write(os.urandom(MB))
        stream.seek(3 * MB)
        stream.write(bytes(MB) + os.urandom(MB + 512))
        stream.truncate(8 * MB)
    return path


def set_up(
    directory: ConversionDir, choice: RunChoice, source: InputChoice, output: OutputChoice | None = None
) -> None:
    input_setup.run(directory, source)
    output_check.run(directory, output or choice.output)
    output_setup.run(directory, output or choice.output)


@pytest.fixture
def ready(choice: RunChoice, v2v_directory: ConversionDir, image: Path) -> ConversionDir:
    set_up(v2v_directory, choice, InputChoice(mode="fake", arguments=(str(image),)))
    return v2v_directory


def written(storage: Path) -> bytes:
    return (storage / "new name-disk1").read_bytes()


def converted(directory: ConversionDir) -> bytes:
    return read_endpoint(served.read_source(directory).disks[0].uri)


def change(directory: ConversionDir, *commands: str) -> None:
    """Change the disk that is being converted, as a converter does."""
    uri = served.read_source(directory).disks[0].uri
    words = [word for command in (*commands, "flush") for word in ("-c", command)]
    subprocess.run(["qemu-io", "-f", "raw", "-d", "unmap", *words, uri], check=True, stdout=subprocess.DEVNULL)


def test_base_then_conversion_then_the_rest(
    ready: ConversionDir, choice: RunChoice, storage: Path, image: Path
) -> None:
    (result,) = copy.run(ready, BASE)
    assert result.copied is not None
    assert result.copied <= 3 * MB + 64 * 1024
    assert written(storage) == image.read_bytes()
    change(ready, "write -P 1 100k 3k", "write -z 4096k 256k", "discard 0 128k", "write -P 2 7000k 68k")
    convert.run(ready, choice.convert)
    (result,) = copy.run(ready, WHOLE)
    assert written(storage) == converted(ready)
    assert written(storage).startswith(MARKER)
    assert result.copied is not None
    assert result.copied <= MB, "what the base pass has copied is not copied again"


def test_second_conversion_after_a_copy_replaces_what_the_first_one_has_left(
    ready: ConversionDir, choice: RunChoice, storage: Path
) -> None:
    """The overlay is made anew: blocks of the first conversion must not stay at the destination."""
    source = InputChoice(mode="fake", arguments=(served.read_source(ready).disks[0].origin or "",))
    change(ready, "write -P 1 6M 64k", "write -P 2 0 64k")
    convert.run(ready, choice.convert)
    copy.run(ready, WHOLE)
    input_setup.run(ready, source)
    output_check.run(ready, choice.output)
    output_setup.run(ready, choice.output)
    convert.run(ready, choice.convert)
    copy.run(ready, WHOLE)
    assert written(storage) == converted(ready)


@pytest.mark.parametrize("keep", [False, True])
def test_resumed_conversion_with_the_same_destination_leaves_nothing_of_the_first(
    ready: ConversionDir, choice: RunChoice, storage: Path, keep: bool
) -> None:
    """As after a power failure: the destination stays, and the overlay is thrown away."""
    from contextlib import closing

    from v2v_core.events import Step
    from v2v_core.reporting import StepReport
    from v2v_core.serving import revive

    change(ready, "write -P 1 6M 64k", "write -P 2 0 64k", "discard 3M 1M")
    convert.run(ready, choice.convert)
    copy.run(ready, WHOLE)
    processes.stop(ready.path, lambda _process: True)
    with closing(StepReport(ready, Step.COPY, [])) as report:
        revive(ready, report, keep_overlays=keep)
    change(ready, "write -P 3 7M 64k")
    if not keep:
        convert.run(ready, choice.convert)
    copy.run(ready, WHOLE)
    assert written(storage) == converted(ready)


def test_write_by_hand_after_the_copy_is_copied_by_the_next_one(
    ready: ConversionDir, choice: RunChoice, storage: Path
) -> None:
    convert.run(ready, choice.convert)
    copy.run(ready, WHOLE)
    change(ready, "write -P 9 5M 64k", "write -P 8 0 512")
    copy.run(ready, WHOLE)
    assert written(storage) == converted(ready)


def test_copy_by_a_program_between_two_of_our_own(ready: ConversionDir, choice: RunChoice, storage: Path) -> None:
    copy.run(ready, BASE)
    change(ready, "write -P 1 6M 64k")
    convert.run(ready, choice.convert)
    copy.run(ready, CopyChoice(mode="nbdcopy"))
    change(ready, "discard 6M 64k", "write -z 0 64k")
    copy.run(ready, WHOLE)
    assert written(storage) == converted(ready)


@pytest.mark.parametrize("single", [False, True])
def test_source_that_ends_while_it_is_copied(
    choice: RunChoice, v2v_directory: ConversionDir, storage: Path, v2v_install: Install, single: bool
) -> None:
    v2v_install(
        "v2v-input-t",
        {"v2v.input": {"t-slow": "t_slow_input:Slow"}},
        {
            "t_slow_input": "from v2v_core.api import *\nclass Slow:\n @hookimpl\n"
            " def v2v_input_setup(self, request):\n"
            "  return InputResult(guest=Guest(name='g', disks=(SourceDisk(index=1),)), disks=(NbdkitPlugin("
            "name='pattern', parameters=(('size', '6M'),), filters=(NbdkitFilter(name='rate', "
            f"parameters=(('rate', '24M'), ('burstiness', '0.1'))),), single={single}),))\n"
        },
    )
    set_up(v2v_directory, choice, InputChoice(mode="t-slow"))
    heard: list[Event] = []
    killed = "far1" if single else "base1"

    def kill() -> None:
        deadline = time.monotonic() + 20
        while not any(event.total for event in heard) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.5)
        processes.stop(v2v_directory.path, lambda process: process.server == killed, grace=0.0)

    thread = threading.Thread(target=kill)
    thread.start()
    copy.run(v2v_directory, BASE, [heard.append])
    thread.join()
    (base,) = (disk.base for disk in served.read_source(v2v_directory).disks)
    assert base is not None
    copied = written(storage)
    assert len(copied) == 6 * MB
    assert copied == b"".join((i * 8).to_bytes(8, "big") for i in range(6 * MB // 8))
    assert [event.text for event in heard if event.kind is EventKind.WARNING and f"{killed} had ended" in event.text]


def test_compressed_destination_is_written_once(
    choice: RunChoice, v2v_directory: ConversionDir, image: Path, storage: Path, v2v_install: Install
) -> None:
    """qemu refuses to write a compressed cluster again."""
    v2v_install(
        "v2v-output-t",
        {"v2v.output": {"t-compressed": "t_compressed:Compressed"}},
        {
            "t_compressed": "import dataclasses, subprocess\nfrom v2v_core.api import *\n"
            "from v2v_core.testing import FakeOutput\n"
            "class Compressed(FakeOutput):\n @hookimpl\n def v2v_output_setup(self, request):\n"
            "  setup = super().v2v_output_setup(request)\n"
            "  for disk in setup.disks: subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', disk.path, '8M'])\n"
            "  disks = tuple(dataclasses.replace(d, format='qcow2', compressed=True) for d in setup.disks)\n"
            "  return dataclasses.replace(setup, disks=disks)\n"
        },
    )
    output = OutputChoice(mode="t-compressed", storage=str(storage), name="new name")
    set_up(v2v_directory, choice, InputChoice(mode="fake", arguments=(str(image),)), output)
    assert copy.run(v2v_directory, BASE) == ()
    change(v2v_directory, "write -P 1 100k 3k", "write -P 2 3M 68k", "write -z 4M 64k")
    convert.run(v2v_directory, choice.convert)
    copy.run(v2v_directory, WHOLE)
    assert read_endpoint(served.read_output(v2v_directory).disks[0].uri) == converted(v2v_directory)
    with pytest.raises(UsageError, match="a compressed image cannot be written a second time") as refused:
        copy.run(v2v_directory, WHOLE)
    assert "output_setup" in (refused.value.hint or "")
    set_up(v2v_directory, choice, InputChoice(mode="fake", arguments=(str(image),)), output)
    convert.run(v2v_directory, choice.convert)
    copy.run(v2v_directory, WHOLE)
    assert read_endpoint(served.read_output(v2v_directory).disks[0].uri) == converted(v2v_directory)


def test_source_that_is_gone_is_named(ready: ConversionDir, image: Path) -> None:
    image.unlink()
    processes.stop(ready.path, lambda process: process.server in {"base1", "in1"}, grace=0.0)
    with pytest.raises(CopyError, match=f"disk 1 could not be copied: its source {image} cannot be read: No such"):
        copy.run(ready, WHOLE)
