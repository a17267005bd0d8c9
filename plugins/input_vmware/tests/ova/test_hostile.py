# SPDX-License-Identifier: GPL-2.0-or-later
"""Hostile OVAs: each is refused with a reason, within limits of time, memory and disk space, and is not changed.

Each is opened in a process of its own under limits of the kernel: its memory, the CPU that it may use, and the files
that it may write.
"""

from __future__ import annotations

import gzip
import io
import json
import lzma
import multiprocessing
import os
import resource
import stat
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from ova_files import descriptor, manifest, pack, stream_optimized
from v2v_core.api import InputSetupRequest, SourceError
from v2v_core.testing import FakeReporter, files_with_secret
from v2v_input_vmware.ova.package import Part, unpack_gzip
from v2v_input_vmware.ova.plugin import OvaInput

MIB = 1024 * 1024
SECRET = b"secret of the host" * 1000


def open_ova(path: Path, directory: Path) -> None:
    request = InputSetupRequest(directory=directory, arguments=(str(path),), report=FakeReporter())
    OvaInput().v2v_input_setup(request)


def _confined(path: Path, directory: Path, answer: Path) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
    resource.setrlimit(resource.RLIMIT_AS, (1500 * MIB, 1500 * MIB))
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 * MIB, 256 * MIB))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        open_ova(path, directory)
        said = ["accepted", "", ""]
    except SourceError as err:
        said = ["refused", err.message, err.hint or ""]
    except BaseException as err:
        said = ["failed", repr(err), ""]
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    answer.write_text(json.dumps([*said, str(grown)]))


def looked_at(path: Path) -> list[tuple[object, ...]]:
    """Return mode, owner, times and size of each file of a package, and the content of small files."""
    found: list[tuple[object, ...]] = []
    for each in sorted([path, *path.rglob("*")]):
        status = each.lstat()
        small = stat.S_ISREG(status.st_mode) and status.st_size < MIB
        times = (status.st_mtime_ns, status.st_ctime_ns)
        found.append(
            (each, status.st_mode, status.st_uid, *times, status.st_size, each.read_bytes() if small else None)
        )
    return found


def refusal(path: Path, tmp_path: Path) -> str:
    """Open an OVA under limits, assert that it is refused and unchanged, and return the message."""
    private, answer = tmp_path / "private", tmp_path / "answer"
    private.mkdir(exist_ok=True)
    before = looked_at(path)
    child = multiprocessing.get_context("fork").Process(target=_confined, args=(path, private, answer))
    child.start()
    child.join(60)
    assert child.exitcode == 0, "it used up what it may use"
    outcome, message, hint, grown = json.loads(answer.read_text())
    assert outcome == "refused", message
    assert hint
    assert int(grown) < 100 * 1024, "KiB of memory"
    assert looked_at(path) == before
    assert sum(found.stat().st_blocks * 512 for found in private.rglob("*")) < 100 * MIB
    return str(message)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    (tmp_path / "raw").write_bytes(b"disk" * (MIB // 4))
    return stream_optimized(tmp_path / "raw", tmp_path / "disk.vmdk")


def tar(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in members:
            info.size = len(data) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(data))
    return path


def member(
    name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, data


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (member("../escape.vmdk", b"x"), "outside"),
        (member("/etc/cron.d/evil", b"x"), "outside"),
        (member("a/../../escape", b"x"), "outside"),
        (member("link.vmdk", kind=tarfile.SYMTYPE, link="/etc/shadow"), "link"),
        (member("link.vmdk", kind=tarfile.LNKTYPE, link="disk.vmdk"), "link"),
        (member("device", kind=tarfile.CHRTYPE), "device"),
        (member("device", kind=tarfile.BLKTYPE), "device"),
        (member("fifo", kind=tarfile.FIFOTYPE), "device"),
        (member("disk.vmdk", b"twice"), "two files"),
        (member("./disk.vmdk", b"twice"), "two files"),
    ],
)
@pytest.mark.parametrize("suffix", [".ova", ".gz"])
def test_members(tmp_path: Path, disk: Path, bad: tuple[tarfile.TarInfo, bytes], why: str, suffix: str) -> None:
    good = [member("g.ovf", descriptor({"disk.vmdk": disk})), member("disk.vmdk", disk.read_bytes())]
    path = tar(tmp_path / "g.ova", *good, bad)
    if suffix == ".gz":
        path.write_bytes(gzip.compress(path.read_bytes()))
    assert why in refusal(path, tmp_path)
    assert not (tmp_path.parent / "escape.vmdk").exists()


@pytest.mark.parametrize("name", ["../escape", "/etc/evil", "link"])
def test_members_of_a_zip(tmp_path: Path, disk: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "g.zip", "w") as archive:
        archive.writestr("g.ovf", descriptor({"disk.vmdk": disk}))
        info = zipfile.ZipInfo(name)
        if name == "link":
            info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/shadow")
    assert "outside" in (said := refusal(tmp_path / "g.zip", tmp_path)) or "link" in said


def test_a_zip_with_a_name_twice(tmp_path: Path, disk: Path) -> None:
    with zipfile.ZipFile(tmp_path / "g.zip", "w") as archive:
        archive.writestr("g.ovf", descriptor({"disk.vmdk": disk}))
        archive.write(disk, "disk.vmdk")
        archive.writestr(zipfile.ZipInfo("./disk.vmdk"), disk.read_bytes())
    assert "two files" in refusal(tmp_path / "g.zip", tmp_path)


def test_a_zip_of_a_later_version(tmp_path: Path, disk: Path) -> None:
    path = tmp_path / "g.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("g.ovf", descriptor({"disk.vmdk": disk}))
        archive.write(disk, "disk.vmdk")
    data = bytearray(path.read_bytes())
    # "version needed to extract" in the central directory (APPNOTE.TXT of PKWARE, 4.3.12)
    data[data.index(b"PK\x01\x02") + 6] = 255
    path.write_bytes(data)
    assert "cannot be unpacked" in refusal(path, tmp_path)


@pytest.mark.parametrize("suffix", ["gz", "xz", "zip"])
def test_bombs(tmp_path: Path, suffix: str) -> None:
    """An archive that claims to hold a terabyte of zeros, and holds enough of them to show whether it is unpacked."""
    size = 1024 * 1024 * MIB
    info = tarfile.TarInfo("disk.vmdk")
    info.size = size
    start = info.tobuf(tarfile.GNU_FORMAT) + b"\0" * (8 * MIB)
    path = tmp_path / f"g.{suffix}"
    if suffix == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("disk.vmdk", b"\0" * (64 * MIB))
        data = path.read_bytes()
        path.write_bytes(data.replace(struct.pack("<I", 64 * MIB), struct.pack("<I", 0xFFFFFFF0)))
    else:
        path.write_bytes({"gz": gzip.compress, "xz": lzma.compress}[suffix](start))
    assert "when unpacked" in refusal(path, tmp_path)


def test_a_compressed_disk_that_is_a_bomb(tmp_path: Path) -> None:
    packed = gzip.compress(b"\0" * (300 * MIB))
    text = descriptor({"disk.vmdk.gz": len(packed)}, gzip=True).replace(b'ovf:capacity="4096"', b'ovf:capacity="8"')
    path = tar(tmp_path / "g.ova", member("g.ovf", text), member("disk.vmdk.gz", packed))
    assert "more than" in refusal(path, tmp_path)


def test_sparse_members(tmp_path: Path) -> None:
    (tmp_path / "sparse").write_bytes(b"")
    os.truncate(tmp_path / "sparse", 100 * 1024 * MIB)
    for form in ("gnu", "posix"):
        argv = ["tar", "-c", "-S", f"--format={form}", "-f", tmp_path / f"{form}.ova", "-C", tmp_path, "sparse"]
        subprocess.run(argv, check=True)
        assert "sparse" in refusal(tmp_path / f"{form}.ova", tmp_path)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE])
@pytest.mark.parametrize("packed", [False, True])
def test_headers_of_a_gigabyte(tmp_path: Path, kind: bytes, packed: bool) -> None:
    info = tarfile.TarInfo("header")
    info.type, info.size = kind, 1024 * MIB
    path = tmp_path / "g.ova"
    header = info.tobuf(tarfile.GNU_FORMAT)
    if packed:
        with gzip.open(path, "wb") as stream:
            stream.write(header + b"a" * (200 * MIB))
    else:
        path.write_bytes(header)
        os.truncate(path, 1100 * MIB)
    assert "header" in refusal(path, tmp_path)


def test_a_central_directory_of_a_gigabyte(tmp_path: Path) -> None:
    path = tmp_path / "g.zip"
    path.write_bytes(b"PK\x03\x04")
    os.truncate(path, 1024 * MIB)
    with path.open("ab") as stream:
        stream.write(struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 9, 9, 1000 * MIB, 24 * MIB, 0))
    assert refusal(path, tmp_path)


def test_xz_that_wants_gigabytes_of_memory(tmp_path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1536 * MIB, "preset": 0, "mode": lzma.MODE_FAST, "nice_len": 32,
                "mf": lzma.MF_HC3}]  # fmt: skip
    try:
        data = lzma.compress(b"x" * 1024, filters=filters)
    except (MemoryError, lzma.LZMAError):
        pytest.fail("this machine has not the memory to make it")
    (tmp_path / "g.xz").write_bytes(data)
    assert refusal(tmp_path / "g.xz", tmp_path)


def test_a_disk_beside_the_directory(tmp_path: Path, disk: Path) -> None:
    (tmp_path / "ova").mkdir()
    (tmp_path / "ova-secret").mkdir()
    disk.rename(tmp_path / "ova-secret/disk.vmdk")
    (tmp_path / "ova/g.ovf").write_bytes(descriptor({"../ova-secret/disk.vmdk": tmp_path / "ova-secret/disk.vmdk"}))
    assert "outside" in refusal(tmp_path / "ova", tmp_path)


def test_a_link_out_of_the_directory(tmp_path: Path, disk: Path) -> None:
    (tmp_path / "ova").mkdir()
    (tmp_path / "ova/disk.vmdk").symlink_to(disk)
    (tmp_path / "ova/g.ovf").write_bytes(descriptor({"disk.vmdk": disk}))
    assert "link out of its directory" in refusal(tmp_path / "ova", tmp_path)


def test_descriptor_and_manifest_that_are_links(tmp_path: Path, disk: Path) -> None:
    """A warning would show each line of the linked file that cannot be parsed."""
    (tmp_path / "host-secret").write_bytes(SECRET)
    directory = tmp_path / "ova"
    directory.mkdir()
    disk.rename(directory / "disk.vmdk")
    (directory / "g.ovf").write_bytes(descriptor({"disk.vmdk": directory / "disk.vmdk"}))
    (directory / "g.mf").symlink_to(tmp_path / "host-secret")
    report = FakeReporter()
    (tmp_path / "private").mkdir()
    request = InputSetupRequest(directory=tmp_path / "private", arguments=(str(directory),), report=report)
    OvaInput().v2v_input_setup(request)
    assert "secret" not in " ".join(report.warnings)
    (directory / "g.ovf").rename(tmp_path / "g.ovf")
    (directory / "g.ovf").symlink_to(tmp_path / "g.ovf")
    assert "link out of the directory" in refusal(directory, tmp_path)
    (directory / "other.ovf").write_bytes((tmp_path / "g.ovf").read_bytes())
    assert "link out of the directory" in refusal(directory / "g.ovf", tmp_path)


def test_a_manifest_does_not_tell_checksums_of_the_host(tmp_path: Path, disk: Path) -> None:
    """The error for a wrong checksum contains the right one."""
    (tmp_path / "host-secret").write_bytes(SECRET)
    directory = tmp_path / "ova"
    directory.mkdir()
    disk.rename(directory / "disk.vmdk")
    (directory / "g.ovf").write_bytes(descriptor({"disk.vmdk": directory / "disk.vmdk"}))
    (directory / "link").symlink_to(tmp_path / "host-secret")
    (directory / "g.mf").write_text(f"SHA256(link)= {'0' * 64}\n")
    report = FakeReporter()
    (tmp_path / "private").mkdir()
    request = InputSetupRequest(directory=tmp_path / "private", arguments=(str(directory),), report=report)
    OvaInput().v2v_input_setup(request)
    assert report.warnings == ["g.mf, line 1: the file 'link' is not in the OVA"]


@pytest.mark.parametrize("packed", [False, True])
def test_a_descriptor_whose_extent_is_a_file_of_the_host(tmp_path: Path, packed: bool) -> None:
    (tmp_path / "host-secret").write_bytes(SECRET)
    directory = tmp_path / "ova"
    directory.mkdir()
    text = (
        '# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType="monolithicFlat"\n'
        f'RW {len(SECRET) // 512} FLAT "{tmp_path}/host-secret" 0\nddb.adapterType = "lsilogic"\n'
    )
    (directory / "disk.vmdk").write_text(text)
    (directory / "g.ovf").write_bytes(descriptor({"disk.vmdk": directory / "disk.vmdk"}))
    path = pack(directory, tmp_path / "g.ova") if packed else directory
    assert "refers to" in refusal(path, tmp_path)


@pytest.mark.parametrize("reference", ["backing", "data"])
def test_a_disk_that_is_a_qcow2_with_a_file_of_the_host(tmp_path: Path, reference: str) -> None:
    (tmp_path / "host-secret").write_bytes(SECRET.ljust(MIB))
    directory = tmp_path / "ova"
    directory.mkdir()
    disk = directory / "disk.vmdk"
    if reference == "backing":
        argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", tmp_path / "host-secret", disk, "1M"]
    else:
        data_file = f"data_file={tmp_path}/host-secret,data_file_raw=on"
        argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-o", data_file, disk, "1M"]
    subprocess.run(argv, check=True)
    (directory / "g.ovf").write_bytes(descriptor({"disk.vmdk": disk}))
    for path in (directory, pack(directory, tmp_path / "g.ova"), pack(directory, tmp_path / "g.gz")):
        assert "refers to" in refusal(path, tmp_path)


def test_wrong_sizes_and_truncation(tmp_path: Path, disk: Path) -> None:
    size = disk.stat().st_size
    for wrong in (size - 1, size + 1):
        text = descriptor({"disk.vmdk": wrong})
        path = tar(tmp_path / "g.ova", member("g.ovf", text), member("disk.vmdk", disk.read_bytes()))
        assert f"has {size} bytes" in refusal(path, tmp_path)
    path = tar(
        tmp_path / "g.ova", member("g.ovf", descriptor({"disk.vmdk": disk})), member("disk.vmdk", disk.read_bytes())
    )
    whole = path.read_bytes()
    packed = gzip.compress(whole)
    for cut in (300, 600, 1024, 1536, 3000, len(whole) - 20_000):
        path.write_bytes(whole[:cut])
        assert refusal(path, tmp_path)
        path.write_bytes(packed[: len(packed) * cut // len(whole)])
        assert refusal(path, tmp_path)


@pytest.mark.parametrize(
    "declaration",
    [
        '<!DOCTYPE E [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;">]>',
        '<!DOCTYPE E [<!ENTITY c SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE E SYSTEM "http://127.0.0.1:9/x.dtd">',
    ],
)
def test_entities(tmp_path: Path, disk: Path, declaration: str) -> None:
    text = descriptor({"disk.vmdk": disk}, name="&c;").replace(b"&amp;c;", b"&c;")
    text = text.replace(b"?>\n", b"?>\n" + declaration.encode(), 1)
    path = tar(tmp_path / "g.ova", member("g.ovf", text), member("disk.vmdk", disk.read_bytes()))
    assert "document type" in refusal(path, tmp_path).lower()


def test_a_descriptor_of_a_gigabyte(tmp_path: Path) -> None:
    path = tmp_path / "ova"
    path.mkdir()
    (path / "g.ovf").write_bytes(b"<Envelope>")
    os.truncate(path / "g.ovf", 1024 * MIB)
    assert "too large" in refusal(path, tmp_path)


def test_ten_thousand_files(tmp_path: Path) -> None:
    path = tar(tmp_path / "g.ova", *(member(f"f{number}") for number in range(10_050)))
    assert "files" in refusal(path, tmp_path)


@pytest.mark.parametrize(
    "href",
    [
        "../disk.vmdk",
        "/etc/hostname",
        "a/../../disk.vmdk",
        "..",
        "%2e%2e/disk.vmdk",
        "%2Fetc%2Fhostname",
        "a/%2e%2e/..%2fdisk",
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_names_that_lead_out_of_the_package(tmp_path: Path, disk: Path, href: str, packed: bool) -> None:
    directory = tmp_path / "ova"
    directory.mkdir()
    (directory / "g.ovf").write_bytes(descriptor({href: disk}))
    path = pack(directory, tmp_path / "g.ova") if packed else directory
    assert "outside" in refusal(path, tmp_path)
    assert "outside" in refusal(directory / "g.ovf", tmp_path)


@pytest.mark.parametrize("suffix", ["", ".ova", ".gz", ".zip"])
def test_a_manifest_that_does_not_fit(tmp_path: Path, disk: Path, suffix: str) -> None:
    directory = tmp_path / "ova"
    directory.mkdir()
    disk.rename(directory / "disk.vmdk")
    (directory / "g.ovf").write_bytes(descriptor({"disk.vmdk": directory / "disk.vmdk"}))
    wrong = manifest([directory / "g.ovf", directory / "disk.vmdk"]).replace("= ", "= 0")
    (directory / "g.mf").write_text(wrong)
    path = pack(directory, tmp_path / f"g{suffix}") if suffix else directory
    assert "corrupt OVA" in refusal(path, tmp_path)


@pytest.mark.parametrize("count", [0, 2])
def test_one_descriptor(tmp_path: Path, disk: Path, count: int) -> None:
    members = [member(f"{number}.ovf", descriptor({"disk.vmdk": disk})) for number in range(count)]
    path = tar(tmp_path / "g.ova", *members, member("disk.vmdk", disk.read_bytes()))
    assert "OVF descriptor" in refusal(path, tmp_path)


@pytest.mark.parametrize("kind", ["extent", "nested", "backing", "data"])
@pytest.mark.parametrize("packed", [False, True])
def test_nothing_of_the_host_reaches_the_output(tmp_path: Path, kind: str, packed: bool) -> None:
    """Run the whole command: it prints one error, writes no output, and no file contains the secret.

    It is started in the directory of the file of the host, against which qemu resolves the name of a data file.
    """
    (tmp_path / "host-secret").write_bytes(SECRET.ljust(MIB))
    directory, out, work = tmp_path / "ova", tmp_path / "out", tmp_path / "work"
    for made in (directory, out, work):
        made.mkdir()
    disk = directory / "disk.vmdk"
    flat = (
        '# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType="monolithicFlat"\n'
        f'RW {MIB // 512} FLAT "{tmp_path}/host-secret" 0\nddb.adapterType = "lsilogic"\n'
    )
    if kind == "extent":
        disk.write_text(flat)
    elif kind == "nested":
        disk.write_text(flat.replace(f'FLAT "{tmp_path}/host-secret" 0', 'SPARSE "extent"'))
        header = struct.pack("<4sIIQQQQ", b"KDMV", 1, 3, 0, 128, 1, 2).ljust(512, b"\0")
        (directory / "extent").write_bytes(header + flat.encode().ljust(1024, b"\0"))
    elif kind == "data":
        argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-o", "data_file=host-secret,data_file_raw=on", disk, "1M"]
        subprocess.run(argv, check=True, cwd=directory)
        (directory / "host-secret").write_bytes(b"harmless".ljust(MIB))
    else:
        argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", tmp_path / "host-secret", disk, "1M"]
        subprocess.run(argv, check=True)
    (directory / "g.ovf").write_bytes(descriptor({"disk.vmdk": disk}))
    program = Path(sys.executable).with_name("virt-v2v")
    places = {"VIRT_V2V_TMPDIR": str(work), "XDG_STATE_HOME": str(work)}
    done = subprocess.run(
        [program, "-i", "ova", pack(directory, tmp_path / "g.ova") if packed else directory, "-o", "local", "-os", out],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **places},
        cwd=tmp_path,
    )
    assert done.returncode != 0
    (error,) = [line for line in done.stderr.splitlines() if " error: " in line]
    assert "refers to" in error
    assert list(out.iterdir()) == []
    assert files_with_secret(work, SECRET[:18].decode()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small tmpfs")
@pytest.mark.parametrize("size", [1, 8])
def test_a_file_system_that_becomes_full_while_a_disk_is_unpacked(tmp_path: Path, size: int) -> None:
    """nix-community/nixops-libvirtd#8: "No space left on device", long after the work has begun.

    The free space was enough when the work began; another program has taken it since.
    """
    packed, place = tmp_path / "disk.gz", tmp_path / "small"
    packed.write_bytes(gzip.compress(os.urandom(size * 1024 * 1024)))
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", place], check=True)
    try:
        with pytest.raises(SourceError) as failed:
            unpack_gzip(Part(packed, packed.stat().st_size), place / "disk1", limit=1 << 40, what="x.ova: disk")
    finally:
        subprocess.run(["umount", place], check=True)
    assert failed.value.message == (
        f"x.ova: disk cannot be unpacked: the file system of {place} is full, 0 KiB are free"
    )
    assert "VIRT_V2V_TMPDIR" in str(failed.value.hint)
