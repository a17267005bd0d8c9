# SPDX-License-Identifier: GPL-2.0-or-later
"""The work of the copy processes, made from the records of the served disks."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from v2v_core import metadata, served
from v2v_core.conversion_dir import ConversionDir
from v2v_core.copying import fence
from v2v_core.copying.conversions import forget_conversion, name_conversion
from v2v_core.copying.ends import changed_since, make_tasks, raw_file, service_identity
from v2v_core.copying.task import CopyPass, CopyTask
from v2v_core.file_versions import version_of
from v2v_core.model import DiskEndpoint, DiskService, Guest, NbdkitFilter, NbdkitPlugin, NbdUri, QemuImage, SourceDisk
from v2v_core.served import ServedDisk, ServedOutput, ServedSource
from v2v_core.settings import CopyChoice, OutputChoice

ASKED = OutputChoice(mode="fake", allocation="preallocated")


@pytest.fixture(autouse=True)
def first_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fence, "current", lambda _place: 5)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "source.img"
    path.write_bytes(b"x" * 4096)
    return path


def disk(directory: ConversionDir, service: DiskService | None, **more: object) -> ServedDisk:
    fields: dict[str, object] = {
        "base": "nbd://base",
        "overlay": directory.overlay / "disk1.qcow2",
        "version": None if service is None else version_of(service),
        **more,
    }
    return ServedDisk(index=1, size=4096, uri="nbd://in", service=service, **fields)  # type: ignore[arg-type]


def tasks_of(
    directory: ConversionDir,
    source: ServedDisk,
    choice: CopyChoice | None = None,
    service: DiskService | None = None,
    **more: object,
) -> list[CopyTask]:
    metadata.write_source(directory.metadata_in, Guest(name="g", disks=(SourceDisk(index=1, size=4096),)))
    served.write_source(directory, ServedSource(disks=(source,)))
    endpoint = DiskEndpoint(index=1, uri="nbd://out", size=4096)
    output = ServedOutput(owner=7, disks=(endpoint,), services=(service or NbdUri(uri="nbd://out"),), **more)  # type: ignore[arg-type]
    return make_tasks(directory, choice or CopyChoice(), output, ASKED)


def test_task_says_what_was_chosen(v2v_directory: ConversionDir, image: Path) -> None:
    choice = CopyChoice(connections=3, verify=True, hashing=True, request_seconds=9.0, bandwidth=10**9)
    (task,) = tasks_of(
        v2v_directory,
        disk(v2v_directory, QemuImage(path=image, format="raw")),
        choice,
        request_size=1 << 20,
        zeroed=True,
    )
    assert (task.index, task.size, task.epoch, task.place) == (1, 4096, 5, v2v_directory.path / "copy")
    assert (task.copy_pass, task.hashing, task.verify) == (CopyPass.WHOLE, True, True)
    assert (task.limits.connections, task.limits.request_seconds) == (3, 9.0)
    assert task.limits.bandwidth is not None
    assert (task.destination.zeroed, task.destination.request_size) == (True, 1 << 20)
    assert task.destination.allocation == "preallocated"
    assert (task.source.uri, task.source.base, task.source.overlay) == ("nbd://in", "nbd://base", True)


def test_base_pass_has_no_conversion_and_verifies_nothing(v2v_directory: ConversionDir, image: Path) -> None:
    name_conversion(v2v_directory)
    source = disk(v2v_directory, QemuImage(path=image, format="raw"))
    (task,) = tasks_of(v2v_directory, source, CopyChoice(from_base=True, verify=True))
    assert (task.copy_pass, task.conversion, task.verify) == (CopyPass.BASE, "", False)


def test_disk_without_a_base_has_no_base_pass(v2v_directory: ConversionDir) -> None:
    foreign = disk(v2v_directory, None, base=None, overlay=None)
    assert tasks_of(v2v_directory, foreign, CopyChoice(from_base=True)) == []
    (task,) = tasks_of(v2v_directory, foreign)
    assert (task.source.base, task.source.file, task.source.overlay) == (None, None, False)
    assert task.source.identity == "nbd://in"


def test_result_is_another_one_after_another_conversion_and_after_a_write(
    v2v_directory: ConversionDir, image: Path
) -> None:
    source = disk(v2v_directory, QemuImage(path=image, format="raw"))
    assert source.overlay is not None
    source.overlay.write_bytes(b"1")

    def name() -> str:
        return tasks_of(v2v_directory, source)[0].conversion

    name_conversion(v2v_directory)
    first = name()
    assert first
    assert name() == first
    os.utime(source.overlay, ns=(1, 1))
    touched = name()
    assert touched != first
    name_conversion(v2v_directory)
    assert name() not in {first, touched}
    # another converter leaves no name: nothing is known about its result
    forget_conversion(v2v_directory)
    assert name() != name()


def test_raw_files_on_both_ends_are_named(v2v_directory: ConversionDir, image: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.img"
    out.touch()
    source = disk(v2v_directory, QemuImage(path=image, format="raw"))
    for service in (
        QemuImage(path=out, format="raw"),
        NbdkitPlugin(name="file", parameters=(("file", str(out)),)),
    ):
        (task,) = tasks_of(v2v_directory, source, service=service)
        assert (task.source.file, task.destination.file) == (image, out)


@pytest.mark.parametrize(
    "service",
    [
        QemuImage(path=Path("source.img"), format="qcow2"),
        QemuImage(path=Path("source.img"), format="raw", offset=512),
        QemuImage(path=Path("source.img"), format="raw", size=512),
        QemuImage(path=Path("missing.img"), format="raw"),
        QemuImage(path=Path("/dev/null"), format="raw"),
        NbdkitPlugin(name="file", parameters=(("file", "source.img"),), filters=(NbdkitFilter(name="cow"),)),
        NbdkitPlugin(name="file", parameters=(("dir", "."), ("file", "source.img"))),
        NbdkitPlugin(name="split", parameters=(("file", "source.img"),)),
        NbdUri(uri="nbd://elsewhere"),
    ],
)
def test_file_that_does_not_hold_the_bytes_of_the_disk_is_not_read_directly(
    image: Path, service: DiskService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(image.parent)
    assert raw_file(service) is None


def test_destination_of_another_set_up_is_another_one(
    v2v_directory: ConversionDir, image: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.img"
    out.touch()
    source = disk(v2v_directory, QemuImage(path=image, format="raw"))
    service = QemuImage(path=out, format="raw")

    def identity() -> str:
        return tasks_of(v2v_directory, source, service=service)[0].destination.identity

    first = identity()
    assert identity() == first
    out.rename(tmp_path / "kept")
    out.touch()
    assert identity() != first


def test_sink_is_named_with_what_it_needs(v2v_directory: ConversionDir, image: Path) -> None:
    source = disk(v2v_directory, QemuImage(path=image, format="raw"))
    service = QemuImage(path=image, format="raw")
    (task,) = tasks_of(v2v_directory, source, service=service, sink=True, state={"transfer": 3})
    end = task.destination
    assert (end.sink, end.sink_directory, end.sink_state, end.file) == (
        "fake",
        v2v_directory.private("output"),
        '{"transfer": 3}',
        None,
    )


def test_compressed_images_are_written_once(v2v_directory: ConversionDir, image: Path) -> None:
    source = disk(v2v_directory, QemuImage(path=image, format="raw"))
    for compressed in (False, True):
        service = QemuImage(path=image, format="qcow2", compressed=compressed)
        (task,) = tasks_of(v2v_directory, source, service=service)
        assert task.destination.write_once is compressed


def test_source_that_suffers_from_a_second_connection_gets_one(v2v_directory: ConversionDir) -> None:
    for single in (False, True):
        service = NbdkitPlugin(name="vddk", parameters=(("file", "[x] y"),), single=single)
        (task,) = tasks_of(v2v_directory, disk(v2v_directory, service))
        assert task.source.connections == int(single)


def test_identity_holds_no_parameters_of_a_service() -> None:
    service = NbdkitPlugin(name="curl", parameters=(("url", "https://user:hunter2@host/disk"),))
    assert "hunter2" not in service_identity(service)
    assert service_identity(service) == service_identity(dataclasses.replace(service))
    other = NbdkitPlugin(name="curl", parameters=(("url", "https://user:hunter2@host/disk2"),))
    assert service_identity(service) != service_identity(other)


def test_image_that_was_written_meanwhile_is_noticed_also_below(tmp_path: Path, v2v_directory: ConversionDir) -> None:
    below, top = tmp_path / "below", tmp_path / "top"
    below.write_bytes(b"1")
    top.write_bytes(b"2")
    service = QemuImage(path=top, format="qcow2", backing=QemuImage(path=below, format="raw"))
    source = disk(v2v_directory, service)
    assert not changed_since(source)
    os.utime(below, ns=(5, 5))
    assert changed_since(source)
    assert not changed_since(dataclasses.replace(source, version=None))
