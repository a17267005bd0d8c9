# SPDX-License-Identifier: GPL-2.0-or-later
"""Packages and VMDKs with arbitrary headers: they are opened or refused with a reason, within limits.

The descriptors are in ``test_ovf.py`` and ``vmx/test_syntax.py``.
"""

from __future__ import annotations

import io
import lzma
import struct
import subprocess
import tarfile
import zipfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ova_files import descriptor, stream_optimized
from v2v_core.api import InputResult, InputSetupRequest, QemuImage, SourceError
from v2v_core.serving.qemu_nbd import block_node, json_name
from v2v_core.testing import FakeReporter, bounded
from v2v_input_vmware.ova.plugin import OvaInput

MIB = 1024 * 1024
SECRET = b"secret of the host"
FUZZ = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def open_ova(path: Path, directory: Path) -> InputResult:
    request = InputSetupRequest(directory=directory, arguments=(str(path),), report=FakeReporter())
    return OvaInput().v2v_input_setup(request)


def tar(path: Path, *members: tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@FUZZ
@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=40), st.sampled_from(["tar", "vmdk", "zip", "xz"]))
def test_no_damage_is_a_surprise(tmp_path: Path, at: int, noise: bytes, kind: str) -> None:
    """Overwrite bytes in the headers of archive and disk: the package is opened, or refused with a reason."""
    disk = tmp_path / "disk.vmdk"
    if not disk.exists():
        (tmp_path / "raw").write_bytes(b"disk" * 16384)
        stream_optimized(tmp_path / "raw", disk)
    data = bytearray(disk.read_bytes())
    if kind == "vmdk":
        data[at % 1536 : at % 1536 + len(noise)] = noise
    text = descriptor({"disk.vmdk": len(data)})
    path = tmp_path / "fuzz"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("g.ovf", text)
            archive.writestr("disk.vmdk", bytes(data))
    else:
        tar(path, ("g.ovf", text), ("disk.vmdk", bytes(data)))
    if kind == "xz":
        path.write_bytes(lzma.compress(path.read_bytes(), preset=0))
    if kind != "vmdk":
        whole = bytearray(path.read_bytes())
        whole[at % len(whole) : at % len(whole) + len(noise)] = noise
        path.write_bytes(whole)
    private = tmp_path / "private"
    private.mkdir(exist_ok=True)
    try:
        with bounded():
            result = open_ova(path, private)
    except SourceError as err:
        assert "\n" not in err.message
        return
    assert len(result.disks) == 1


def open_directory(tmp_path: Path, data: bytes) -> None:
    """Open a package with a disk of these bytes. If it is accepted, no file of the host is served."""
    directory, private = tmp_path / "ova", tmp_path / "private"
    for made in (directory, private):
        made.mkdir(exist_ok=True)
    (tmp_path / "host-secret").write_bytes(SECRET.ljust(MIB, b"."))
    (directory / "inside.vmdk").write_bytes(b"inside".ljust(MIB, b"."))
    (directory / "disk.vmdk").write_bytes(data)
    (directory / "g.ovf").write_bytes(descriptor({"disk.vmdk": len(data)}))
    try:
        with bounded():
            (image,) = open_ova(directory, private).disks
    except SourceError as err:
        assert "\n" not in err.message
        assert SECRET.decode() not in err.message
        return
    assert isinstance(image, QemuImage)
    # as core serves it; only this much is read of a disk that claims to be larger
    read = ["qemu-img", "dd", "-O", "raw", "bs=65536", "count=16", f"if={json_name(block_node(image))}"]
    target = tmp_path / "read"
    done = subprocess.run([*read, f"of={target}"], capture_output=True, check=False, timeout=60)
    if done.returncode == 0:
        assert SECRET not in target.read_bytes()


NAMES = st.sampled_from(
    [
        *(
            '"inside.vmdk"',
            '"./inside.vmdk"',
            '"disk.vmdk"',
            '"../host-secret"',
            '"{secret}"',
            '"{secret}',
            "'{secret}'",
        ),
        *(
            '"sub/../../host-secret"',
            '"json:{{}}"',
            '"file:{secret}"',
            '"nbd://localhost/"',
            '""',
            '"inside.vmdk" "{secret}"',
        ),
    ]
)
EXTENTS = st.builds(
    "{} {} {} {} {}".format,
    st.sampled_from(["RW", "RDONLY", "NOACCESS", "rw"]),
    st.sampled_from(["2048", "1", "0", "-1", "99999999999999999999"]),
    st.sampled_from(["FLAT", "SPARSE", "VMFS", "VMFSSPARSE", "SESPARSE", "ZERO", "flat"]),
    NAMES,
    st.sampled_from(["0", "", "8", "-1"]),
)
SETTINGS = st.sampled_from(
    [
        'parentFileNameHint="{secret}"\nparentCID=12345678',
        'parentFileNameHint="inside.vmdk"\nparentCID=12345678',
        'ddb.adapterType = "lsilogic"',
        "# Extent description",
        "RW 2048 FLAT",
        "\0",
    ]
)
KINDS = st.sampled_from(
    ["monolithicFlat", "vmfs", "twoGbMaxExtentFlat", "twoGbMaxExtentSparse", "fullDevice", "vmfsRaw", "seSparse", "odd"]
)


@FUZZ
@given(KINDS, st.lists(EXTENTS | SETTINGS, max_size=3), st.sampled_from(["\n", "\r\n", "\n\n", "\n "]))
def test_no_descriptor_of_a_vmdk_opens_a_file_of_the_host(
    tmp_path: Path, kind: str, lines: list[str], end: str
) -> None:
    text = end.join(
        ["# Disk DescriptorFile", "version=1", "CID=fffffffe", "parentCID=ffffffff", f'createType="{kind}"', *lines, ""]
    )
    open_directory(tmp_path, text.format(secret=tmp_path / "host-secret").encode())


@FUZZ
@given(
    st.fixed_dictionaries(
        {
            "version": st.integers(0, 4),
            "flags": st.sampled_from([0, 1, 3, 0x30001, 0xFFFFFFFF]),
            "capacity": st.integers(0, 2**64 - 1) | st.sampled_from([2048, 0]),
            "grain": st.integers(0, 2**64 - 1) | st.sampled_from([128, 8]),
            "descriptor_at": st.integers(0, 2**64 - 1) | st.sampled_from([1, 0]),
            "descriptor_size": st.integers(0, 2**64 - 1) | st.sampled_from([20, 0]),
            "entries": st.integers(0, 2**32 - 1) | st.just(512),
            "redundant": st.integers(0, 2**64 - 1) | st.just(0),
            "directory": st.integers(0, 2**64 - 1) | st.sampled_from([21, 2**64 - 1]),
            "overhead": st.integers(0, 2**64 - 1) | st.just(128),
        }
    ),
    st.sampled_from(["", 'parentFileNameHint="{secret}"\nparentCID=12345678', 'RW 2048 FLAT "{secret}" 0']),
)
def test_no_header_of_a_vmdk_is_a_surprise(tmp_path: Path, fields: dict[str, int], text: str) -> None:
    """The header of sparse extents, field by field ("Virtual Disk Format 5.0")."""
    names = ("version", "flags", "capacity", "grain", "descriptor_at", "descriptor_size", "entries", "redundant",
             "directory", "overhead")  # fmt: skip
    header = struct.pack("<4sIIQQQQIQQQ", b"KDMV", *(fields[name] for name in names)).ljust(512, b"\0")
    embedded = f"# Disk DescriptorFile\nversion=1\nCID=fffffffe\n{text}\n".format(secret=tmp_path / "host-secret")
    tables = struct.pack("<I", 25).ljust(512, b"\0") * 8
    open_directory(tmp_path, header + embedded.encode().ljust(20 * 512, b"\0") + tables)
