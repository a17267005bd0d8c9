# SPDX-License-Identifier: GPL-2.0-or-later
"""OVA packages of every kind: the content of their disks, and that opening one only reads its headers."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

from ova_files import descriptor, manifest, pack, sparse_vmdk, stream_optimized
from v2v_core.api import InputResult, InputSetupRequest, OptionValues, QemuImage, SourceError, UsageError
from v2v_core.testing import FakeReporter, InputExample, InputPluginContract
from v2v_input_vmware.ova.plugin import OvaInput

MIB = 1024 * 1024
CONTENT = b"disk one" * (MIB // 8)


def setup(path: Path, tmp_path: Path, **more: object) -> tuple[InputResult, FakeReporter]:
    report, directory = FakeReporter(), tmp_path / "private"
    directory.mkdir(exist_ok=True)
    request = InputSetupRequest(directory=directory, arguments=(str(path),), report=report, **more)  # type: ignore[arg-type]
    return OvaInput().v2v_input_setup(request), report


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """Create the directory of an OVA with a disk and a manifest."""
    directory = tmp_path / "unpacked"
    directory.mkdir()
    (tmp_path / "raw").write_bytes(CONTENT)
    disk = stream_optimized(tmp_path / "raw", directory / "guest-disk1.vmdk")
    (directory / "guest.ovf").write_bytes(descriptor({disk.name: disk}))
    (directory / "guest.mf").write_text(manifest([directory / "guest.ovf", disk]))
    return directory


class TestDirectory(InputPluginContract):
    plugin_class = OvaInput
    in_place = False

    @pytest.fixture
    def example(self, unpacked: Path) -> InputExample:
        return InputExample(arguments=(str(unpacked),), contents=(CONTENT,), files=(unpacked / "guest-disk1.vmdk",))


class TestTar(InputPluginContract):
    plugin_class = OvaInput
    in_place = False

    @pytest.fixture
    def example(self, unpacked: Path, tmp_path: Path) -> InputExample:
        ova = pack(unpacked, tmp_path / "guest.ova")
        return InputExample(arguments=(str(ova),), contents=(CONTENT,), files=(ova,))


class TestCompressedTar(InputPluginContract):
    plugin_class = OvaInput
    in_place = False

    @pytest.fixture
    def example(self, unpacked: Path, tmp_path: Path) -> InputExample:
        ova = pack(unpacked, tmp_path / "guest.tar.xz")
        return InputExample(arguments=(str(ova),), contents=(CONTENT,), files=(ova,))


@pytest.mark.parametrize("name", ["g.ova", "g.tar.gz", "g.tar.xz", "g.zip"])
def test_every_kind_of_package(unpacked: Path, tmp_path: Path, name: str) -> None:
    ova = pack(unpacked, tmp_path / name)
    ova.chmod(0o640)
    before = (ova.read_bytes(), ova.stat().st_mode, ova.stat().st_mtime_ns)
    result, report = setup(ova, tmp_path)
    (image,) = result.disks
    assert isinstance(image, QemuImage)
    assert image.format == "vmdk"
    assert (image.path == ova) == name.endswith(".ova"), "a tar file is read in place, others are unpacked"
    with image.path.open("rb") as stream:
        stream.seek(image.offset or 0)
        data = stream.read(image.size if image.size is not None else -1)
    assert data == (unpacked / "guest-disk1.vmdk").read_bytes()
    assert result.guest.name == "packed guest"
    assert [nic.mac for nic in result.guest.nics] == ["00:50:56:01:02:03"]
    assert report.warnings == []
    assert (ova.read_bytes(), ova.stat().st_mode, ova.stat().st_mtime_ns) == before


def test_again_after_a_failure(unpacked: Path, tmp_path: Path) -> None:
    ova = pack(unpacked, tmp_path / "g.zip")
    setup(ova, tmp_path)
    assert setup(ova, tmp_path)[0].disks


def test_a_compressed_disk(tmp_path: Path) -> None:
    directory = tmp_path / "unpacked"
    directory.mkdir()
    (tmp_path / "raw").write_bytes(CONTENT)
    disk = stream_optimized(tmp_path / "raw", tmp_path / "disk.vmdk")
    packed = directory / "disk.vmdk.gz"
    packed.write_bytes(gzip.compress(disk.read_bytes()))
    (directory / "g.ovf").write_bytes(descriptor({packed.name: packed}, gzip=True))
    for path in (directory, pack(directory, tmp_path / "g.ova")):
        (image,) = setup(path, tmp_path)[0].disks
        assert isinstance(image, QemuImage)
        assert image.path.read_bytes() == disk.read_bytes()


def test_two_disks_in_a_folder_and_snapshots(tmp_path: Path) -> None:
    directory = tmp_path / "unpacked"
    (directory / "sub").mkdir(parents=True)
    for name in ("a.vmdk", "b.vmdk.000000001", "b.vmdk.000000010", "b.vmdk.000000009"):
        (tmp_path / "raw").write_bytes(name.encode().ljust(MIB, b"\0"))
        stream_optimized(tmp_path / "raw", directory / "sub" / name)
    sizes = {"a.vmdk": directory / "sub/a.vmdk", "b.vmdk": directory / "sub/b.vmdk.000000010"}
    (directory / "sub/g.ovf").write_bytes(descriptor(sizes))
    (directory / "sub/._g.ovf").write_bytes(b"a Macintosh was here")
    result, _ = setup(directory, tmp_path)
    assert [disk.path.name for disk in result.disks if isinstance(disk, QemuImage)] == ["a.vmdk", "b.vmdk.000000010"]


def in_chunks(directory: Path, disk: Path, size: int) -> list[Path]:
    """Split a file of a package as DSP0243 says."""
    data, chunks = disk.read_bytes(), []
    for number, start in enumerate(range(0, len(data), size)):
        chunks.append(directory / f"{disk.name}.{number:09}")
        chunks[-1].write_bytes(data[start : start + size])
    disk.unlink()
    return chunks


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("said", ["chunkSize and size", "chunkSize", "size"])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_disk_in_chunks(unpacked: Path, tmp_path: Path, packed: bool, said: str, compressed: bool) -> None:
    """libguestfs/virt-v2v#189: the last chunk was taken for the disk. vmware-archive/pyvcloud#239: such OVAs exist."""
    disk = unpacked / "guest-disk1.vmdk"
    if compressed:
        disk.write_bytes(gzip.compress(disk.read_bytes()))
    content = disk.read_bytes()
    text = descriptor({disk.name: disk}, gzip=compressed).decode()
    if "chunkSize" in said:
        text = text.replace("<File ", '<File ovf:chunkSize="300" ')
    if "and" not in said and said != "size":
        text = text.replace(f'ovf:size="{len(content)}"', "")
    (unpacked / "guest.ovf").write_text(text)
    chunks = in_chunks(unpacked, disk, 300)
    assert len(chunks) > 2
    (unpacked / "guest.mf").write_text(manifest([unpacked / "guest.ovf", *chunks]))
    result, report = setup(pack(unpacked, tmp_path / "g.ova") if packed else unpacked, tmp_path)
    assert report.warnings == []
    (image,) = result.disks
    assert isinstance(image, QemuImage)
    assert image.path.read_bytes() == (gzip.decompress(content) if compressed else content)
    assert image.format == "vmdk"


def test_a_missing_chunk_is_named(unpacked: Path, tmp_path: Path) -> None:
    disk = unpacked / "guest-disk1.vmdk"
    text = descriptor({disk.name: disk}).decode().replace("<File ", '<File ovf:chunkSize="300" ')
    (unpacked / "guest.ovf").write_text(text)
    (unpacked / "guest.mf").unlink()
    chunks = in_chunks(unpacked, disk, 300)
    content = chunks[1].read_bytes()
    chunks[1].unlink()
    with pytest.raises(SourceError, match="chunk 1 of them is not in") as caught:
        setup(unpacked, tmp_path)
    # the hint is followed
    assert (caught.value.hint or "") == "put guest-disk1.vmdk.000000001 beside the other chunks"
    chunks[1].write_bytes(content)
    assert len(setup(unpacked, tmp_path)[0].disks) == 1


def test_a_wrong_size_of_an_intact_disk(unpacked: Path, tmp_path: Path) -> None:
    """vmware/govmomi#2967: govc wrote the size of all disks together for each of them."""
    disk = unpacked / "guest-disk1.vmdk"
    (unpacked / "guest.ovf").write_bytes(descriptor({disk.name: 214748364800}))
    (unpacked / "guest.mf").write_text(manifest([unpacked / "guest.ovf", disk]))
    result, report = setup(unpacked, tmp_path)
    assert len(result.disks) == 1
    (warning,) = report.warnings
    assert "the OVF descriptor says 214748364800: the file counts" in warning


def test_the_hint_about_a_wrong_size_helps(unpacked: Path, tmp_path: Path) -> None:
    """Without a checksum of the disk, it may be truncated; the user decides, as the hint says."""
    disk = unpacked / "guest-disk1.vmdk"
    right = (unpacked / "guest.ovf").read_bytes()
    (unpacked / "guest.ovf").write_bytes(descriptor({disk.name: 5}))
    (unpacked / "guest.mf").write_text(manifest([unpacked / "guest.ovf"]))
    with pytest.raises(SourceError, match="says 5") as caught:
        setup(unpacked, tmp_path)
    assert "correct ovf:size in the OVF descriptor, and name the directory with -io skip-manifest" in str(
        caught.value.hint
    )
    (unpacked / "guest.ovf").write_bytes(right)
    skip = OptionValues(values={"skip-manifest": ("true",)})
    assert len(setup(unpacked, tmp_path, options=skip)[0].disks) == 1


@pytest.mark.parametrize("named", [False, True])
def test_names_in_capital_letters(unpacked: Path, tmp_path: Path, named: bool) -> None:
    """vmware/govmomi#229: the descriptor need not be called as one expects; here it has a name of DOS or Windows."""
    for name in ("guest.ovf", "guest.mf"):
        (unpacked / name).rename(unpacked / name.upper())
    disk = unpacked / "guest-disk1.vmdk"
    (unpacked / "GUEST.MF").write_text(manifest([unpacked / "GUEST.OVF", disk]))
    path = unpacked / "GUEST.OVF" if named else unpacked
    assert setup(path, tmp_path)[1].warnings == []
    with disk.open("r+b") as stream:
        stream.seek(-600, os.SEEK_END)
        stream.write(b"changed")
    with pytest.raises(SourceError, match=r"GUEST\.MF says"):
        setup(path, tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("named", [False, True])
def test_encodings_of_descriptors(unpacked: Path, tmp_path: Path, encoding: str, named: bool) -> None:
    """apache/cloudstack#397: a reader that relies on one encoding reads wrong characters. XML names its own."""
    path = unpacked / "guest.ovf"
    text = path.read_text().replace("packed guest", "Gäste").replace('encoding="UTF-8"', 'encoding="UTF-16"')
    if encoding == "utf-8-sig":
        text = text.replace('encoding="UTF-16"', 'encoding="UTF-8"')
    path.write_bytes(text.encode(encoding))
    (unpacked / "guest.mf").unlink()
    assert setup(path if named else unpacked, tmp_path)[0].guest.name == "Gäste"


def test_a_flat_disk_in_a_directory(tmp_path: Path, unpacked: Path) -> None:
    disk = unpacked / "guest-disk1.vmdk"
    disk.unlink()
    subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", "-o", "subformat=monolithicFlat", disk, "8M"], check=True)
    (unpacked / "guest.ovf").write_bytes(descriptor({disk.name: disk}))
    (unpacked / "guest.mf").unlink()
    assert len(setup(unpacked, tmp_path)[0].disks) == 1


class TestDescriptor(InputPluginContract):
    """The descriptor of an unpacked package is named."""

    plugin_class = OvaInput
    in_place = False

    @pytest.fixture
    def example(self, unpacked: Path) -> InputExample:
        return InputExample(
            arguments=(str(unpacked / "guest.ovf"),), contents=(CONTENT,), files=(unpacked / "guest-disk1.vmdk",)
        )


def test_a_descriptor_among_other_files(unpacked: Path, tmp_path: Path) -> None:
    """As in a directory of downloads: only the manifest of the descriptor counts, and only folders with its disks."""
    (unpacked / "disks").mkdir()
    disk = (unpacked / "guest-disk1.vmdk").rename(unpacked / "disks/a disk.vmdk")
    (unpacked / "guest.ovf").write_bytes(descriptor({"disks/a%20disk.vmdk": disk}))
    (unpacked / "guest.mf").write_text(f"SHA256(guest.ovf)= {digest(unpacked / 'guest.ovf')}\n")
    (unpacked / "other.ovf").write_text("<Envelope/>")
    (unpacked / "other.mf").write_text("not a manifest\n")
    result, report = setup(unpacked / "guest.ovf", tmp_path)
    assert report.warnings == []
    assert [image.path for image in result.disks if isinstance(image, QemuImage)] == [disk]
    with pytest.raises(SourceError, match="2 OVF descriptors") as caught:
        setup(unpacked, tmp_path)
    assert "FILE.ovf" in (caught.value.hint or "")
    (unpacked / "guest.mf").write_text(f"SHA256(guest.ovf)= {'0' * 64}\n")
    with pytest.raises(SourceError, match="corrupt OVA"):
        setup(unpacked / "guest.ovf", tmp_path)


class TestEmptyDisk(InputPluginContract):
    """A package whose second disk has no file."""

    plugin_class = OvaInput
    in_place = False

    @pytest.fixture
    def example(self, unpacked: Path) -> InputExample:
        text = (unpacked / "guest.ovf").read_text()
        disk = '<Disk ovf:capacity="3" ovf:capacityAllocationUnits="byte * 2^20" ovf:diskId="empty"/></DiskSection>'
        drive = (
            "<Item><rasd:AddressOnParent>5</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/empty</rasd:HostResource>"
            "<rasd:InstanceID>70</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType>"
            "</Item></VirtualHardwareSection>"
        )
        text = text.replace("</DiskSection>", disk).replace("</VirtualHardwareSection>", drive)
        (unpacked / "guest.ovf").write_text(text)
        (unpacked / "guest.mf").unlink()
        return InputExample(
            arguments=(str(unpacked),),
            contents=(CONTENT, b"\0" * 3 * MIB),
            files=(unpacked / "guest-disk1.vmdk",),
        )


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
def test_manifests(unpacked: Path, tmp_path: Path, algorithm: str) -> None:
    text = manifest([unpacked / "guest.ovf", unpacked / "guest-disk1.vmdk"], algorithm)
    (unpacked / "guest.mf").write_text(text.upper().replace("GUEST", "guest").replace(".OVF", ".ovf").replace(
        "DISK1.VMDK", "disk1.vmdk").replace(")= ", ") =  ").replace("\n", "\r\n"))  # fmt: skip
    assert setup(unpacked, tmp_path)[1].warnings == []
    with (unpacked / "guest-disk1.vmdk").open("r+b") as stream:
        stream.seek(-600, os.SEEK_END)
        stream.write(b"changed")
    with pytest.raises(SourceError, match="corrupt OVA"):
        setup(unpacked, tmp_path)
    skip = OptionValues(values={"skip-manifest": ("true",)})
    assert setup(unpacked, tmp_path, options=skip)[0].disks


def digest(path: Path, algorithm: str = "sha256") -> str:
    return hashlib.new(algorithm, path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("form", "algorithm"),
    [
        ("SHA256({name})= {digest}", "sha256"),
        ("SHA2-256({name})= {digest}", "sha256"),
        ("SHA-256({name})= {digest}", "sha256"),
        ("SHA-1({name})= {digest}", "sha1"),
        ("SHA2-512(./{name})= {digest}", "sha512"),
        ("SHA256 ({name}) = {digest}", "sha256"),
        ("{digest}  {name}", "sha256"),
        ("{digest} *{name}", "sha1"),
    ],
)
def test_forms_of_manifest_lines(unpacked: Path, tmp_path: Path, form: str, algorithm: str) -> None:
    """home-assistant/operating-system#3654: openssl 3. libguestfs/virt-v2v#192: OLVM, with hyphens and ``./``.

    bottlerocket-os/bottlerocket#2705: sha256sum with ``--tag``.
    """
    disk = unpacked / "guest-disk1.vmdk"
    line = form.format(name=disk.name, digest=digest(disk, algorithm))
    (unpacked / "guest.mf").write_text(f"\ufeff{line}\n", encoding="utf-8")
    assert setup(unpacked, tmp_path)[1].warnings == []
    (unpacked / "guest.mf").write_text(form.format(name=disk.name, digest=digest(disk, algorithm)[::-1]))
    with pytest.raises(SourceError, match="corrupt OVA") as caught:
        setup(unpacked, tmp_path)
    assert "-io skip-manifest" in (caught.value.hint or "")


@pytest.mark.parametrize("packed", [False, True])
def test_a_manifest_that_names_itself(unpacked: Path, tmp_path: Path, packed: bool) -> None:
    """home-assistant/operating-system#826: ``openssl sha256 *`` read the manifest while it was empty."""
    itself = f"SHA256(guest.mf)= {hashlib.sha256(b'').hexdigest()}\n"
    (unpacked / "guest.mf").write_text(itself + (unpacked / "guest.mf").read_text())
    path = pack(unpacked, tmp_path / "g.ova") if packed else unpacked
    assert setup(path, tmp_path)[1].warnings == []


@pytest.mark.parametrize(
    ("href", "name"),
    [
        ("my%20disk.vmdk", "my disk.vmdk"),
        ("my disk.vmdk", "my disk.vmdk"),
        ("my%20disk.vmdk", "my%20disk.vmdk"),
        ("B%C3%BCcher.vmdk", "Bücher.vmdk"),
        ("Bu\u0308cher.vmdk", "B\u00fccher.vmdk"),
        ("./disk.vmdk", "disk.vmdk"),
        ("disk%2B1.vmdk", "disk+1.vmdk"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_an_href_is_a_uri_reference(unpacked: Path, tmp_path: Path, href: str, name: str, packed: bool) -> None:
    """GoogleCloudPlatform/compute-image-tools#1163 and #1068: names with spaces. libguestfs/virt-v2v#192: ``./``."""
    disk = (unpacked / "guest-disk1.vmdk").rename(unpacked / name)
    (unpacked / "guest.ovf").write_bytes(descriptor({href: disk}))
    (unpacked / "guest.mf").write_text(f"SHA256({href})= {digest(disk)}\n", encoding="utf-8")
    result, report = setup(pack(unpacked, tmp_path / "g.ova") if packed else unpacked, tmp_path)
    assert report.warnings == []
    assert len(result.disks) == 1


@pytest.mark.parametrize(("href", "remedy"), [("https://example.com/d.vmdk", "download it"), ("d.vmdk", "incomplete")])
def test_a_disk_that_is_not_in_the_package(unpacked: Path, tmp_path: Path, href: str, remedy: str) -> None:
    (unpacked / "guest.ovf").write_bytes(descriptor({href: 5}))
    (unpacked / "guest.mf").unlink()
    with pytest.raises(SourceError, match="is not in") as caught:
        setup(unpacked, tmp_path)
    assert remedy in (caught.value.hint or "")


def test_lines_of_a_manifest_that_cannot_be_parsed(unpacked: Path, tmp_path: Path) -> None:
    (unpacked / "guest.mf").write_text("CRC32(guest.ovf)= 12345678\nSHA1(gone)= 00\n")
    warnings = setup(unpacked, tmp_path)[1].warnings
    assert "unable to parse line" in warnings[0]
    assert "gone" in warnings[1]


def test_a_large_package_is_opened_by_its_headers(tmp_path: Path) -> None:
    """The number of bytes that are read is the same for 200 MB and for 20 GB."""
    read = {}
    for size in (200 * MIB, 20 * 1024 * MIB):
        ova = tmp_path / f"{size}.ova"
        text = descriptor({"disk.vmdk": size})
        with tarfile.open(ova, "w") as archive:
            info = tarfile.TarInfo("g.ovf")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
            disk = tarfile.TarInfo("disk.vmdk")
            disk.size = size
            header = disk.tobuf(tarfile.GNU_FORMAT)
        with ova.open("r+b") as stream:
            stream.seek(512 + (len(text) + 511) // 512 * 512)
            stream.write(header)
            stream.truncate(stream.tell() + size + 1024)
        # the first run also loads modules
        setup(ova, tmp_path)
        before = _bytes_read()
        result, _ = setup(ova, tmp_path)
        read[size] = _bytes_read() - before
        (image,) = result.disks
        assert isinstance(image, QemuImage)
        assert (image.format, image.size) == ("raw", size)
        ova.unlink()
    small, large = read.values()
    assert abs(large - small) < 4096
    assert large < 2 * MIB


def test_a_large_vmdk_is_opened_by_its_headers(unpacked: Path, tmp_path: Path) -> None:
    """The number of bytes that the kernel reads, for any process, does not grow with the package either."""
    resident = {}
    # /tmp may be in memory
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        for size in (200 * MIB, 20 * 1024 * MIB):
            disk, ova = Path(directory, "disk.vmdk"), Path(directory, "g.ova")
            sparse_vmdk(disk, size)
            (unpacked / "guest.ovf").write_bytes(descriptor({disk.name: disk}))
            argv = ["tar", "-c", "--format=gnu", "-f", ova, "-C", unpacked, "guest.ovf"]
            subprocess.run(argv, check=True)
            _append(ova, disk)
            with ova.open("rb") as stream:
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            before = _resident(ova)
            (image,) = setup(ova, tmp_path)[0].disks
            assert isinstance(image, QemuImage)
            assert image.format == "vmdk"
            resident[size] = _resident(ova) - before
    small, large = resident.values()
    # the tables of the disk are 64 bytes for each MiB; the kernel reads a little ahead
    assert large - small < 4 * MIB
    assert large < 16 * MIB


def _append(archive: Path, disk: Path) -> None:
    """Append a file with holes to a tar file as a file without holes, but leave the holes unwritten."""
    info = tarfile.TarInfo(disk.name)
    info.size = disk.stat().st_size
    with archive.open("r+b") as stream, disk.open("rb") as source:
        # before the two blocks of zeros at the end and the padding of the last record
        with tarfile.open(archive) as found:
            (member,) = found.getmembers()
        stream.seek(member.offset_data + (member.size + 511) // 512 * 512)
        stream.write(info.tobuf(tarfile.GNU_FORMAT))
        start = stream.tell()
        stream.truncate(start)
        stream.write(source.read(4 * MIB))
        stream.truncate(start + info.size + 1024)
        os.fsync(stream.fileno())


def _resident(path: Path) -> int:
    """Return the number of bytes of a file that the kernel has in memory (fincore(1))."""
    argv = ["fincore", "--bytes", "--noheadings", "--output", "RES", path]
    return int(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)


def _bytes_read() -> int:
    """Return the number of bytes that this process has read so far (proc(5), rchar)."""
    return int(Path("/proc/self/io").read_text().split()[1])


@pytest.mark.parametrize("arguments", [(), ("a", "b")])
def test_one_package_at_a_time(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    request = InputSetupRequest(directory=tmp_path, arguments=arguments, report=FakeReporter())
    with pytest.raises(UsageError):
        OvaInput().v2v_input_setup(request)
