# SPDX-License-Identifier: GPL-2.0-or-later
"""Making OVA packages as ovftool does: streamOptimized VMDKs, a descriptor, a manifest, all in one archive."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

_ENVELOPE = """\
<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
 xmlns:vmw="http://www.vmware.com/schema/ovf">
 <References>{files}</References>
 <DiskSection><Info>disks</Info>{disks}</DiskSection>
 <VirtualSystem ovf:id="vm"><Info>a machine</Info><Name>{name}</Name>
  <VirtualHardwareSection><Info>hardware</Info>
   <Item><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType>
    <rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>
   <Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:InstanceID>2</rasd:InstanceID>
    <rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>1024</rasd:VirtualQuantity></Item>
   <Item><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceSubType>lsilogic</rasd:ResourceSubType>
    <rasd:ResourceType>6</rasd:ResourceType></Item>
   {items}
   <Item><rasd:Address>{mac}</rasd:Address><rasd:Connection>VM Network</rasd:Connection>
    <rasd:InstanceID>90</rasd:InstanceID><rasd:ResourceSubType>VmxNet3</rasd:ResourceSubType>
    <rasd:ResourceType>10</rasd:ResourceType></Item>
  </VirtualHardwareSection>
 </VirtualSystem>
</Envelope>
"""


def descriptor(
    disks: Mapping[str, Path | int], *, name: str = "packed guest", mac: str = "00:50:56:01:02:03", gzip: bool = False
) -> bytes:
    """Return the OVF descriptor of a guest.

    :param disks: by the name in the package, the file or its size in bytes.
    """
    files, entries, items = [], [], []
    for number, (href, disk) in enumerate(disks.items(), 1):
        size = disk if isinstance(disk, int) else disk.stat().st_size
        compression = ' ovf:compression="gzip"' if gzip else ""
        files.append(f'<File ovf:href={quoteattr(href)} ovf:id="file{number}" ovf:size="{size}"{compression}/>')
        entries.append(f'<Disk ovf:capacity="4096" ovf:capacityAllocationUnits="byte * 2^20" ovf:diskId="d{number}" '
                       f'ovf:fileRef="file{number}"/>')  # fmt: skip
        items.append(
            f"<Item><rasd:AddressOnParent>{number - 1}</rasd:AddressOnParent>"
            f"<rasd:HostResource>ovf:/disk/d{number}</rasd:HostResource>"
            f"<rasd:InstanceID>{number + 10}</rasd:InstanceID>"
            "<rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>"
        )
    text = _ENVELOPE.format(
        files="".join(files), disks="".join(entries), name=escape(name), items="".join(items), mac=mac
    )
    return text.encode()


def stream_optimized(image: Path, target: Path, image_format: str = "raw") -> Path:
    """Make a streamOptimized VMDK of an image, as ovftool does."""
    argv = ["qemu-img", "convert", "-f", image_format, "-O", "vmdk", "-o", "subformat=streamOptimized", image, target]
    subprocess.run(argv, check=True)
    return target


def sparse_vmdk(target: Path, size: int) -> Path:
    """Make a VMDK of so many bytes, all allocated and none written ("Virtual Disk Format 5.0")."""
    sector, grain, entries = 512, 128, 512
    grains = -(-size // (sector * grain))
    tables = -(-grains // entries)
    directory = 21
    first_table = directory + -(-tables * 4 // sector)
    data = -(-(first_table + tables * 4) // grain) * grain
    text = (
        '# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType="monolithicSparse"\n'
        f'RW {size // sector} SPARSE "{target.name}"\nddb.adapterType = "lsilogic"\n'
    )
    fields = (1, 1, size // sector, grain, 1, 20, entries, 0, directory, data, 0)
    with target.open("wb") as stream:
        stream.write(struct.pack("<4sIIQQQQIQQQB", b"KDMV", *fields) + b"\n \r\n")
        stream.seek(sector)
        stream.write(text.encode())
        stream.seek(directory * sector)
        stream.write(struct.pack(f"<{tables}I", *(first_table + 4 * number for number in range(tables))))
        stream.seek(first_table * sector)
        stream.write(struct.pack(f"<{grains}I", *(data + grain * number for number in range(grains))))
        stream.truncate((data + grains * grain) * sector)
    return target


def manifest(files: Sequence[Path], algorithm: str = "sha256") -> str:
    """Return the manifest of files as ovftool writes it."""
    lines = []
    for path in files:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, algorithm).hexdigest()
        lines.append(f"{algorithm.upper()}({path.name})= {digest}\n")
    return "".join(lines)


def pack(directory: Path, target: Path) -> Path:
    """Pack a directory as the suffix of the target says: .ova, .tar, .gz, .xz or .zip. The descriptor comes first."""
    names = sorted(directory.iterdir(), key=lambda path: (path.suffix not in {".ovf"}, path.suffix != ".mf", path.name))
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in names:
                archive.write(path, path.name)
        return target
    mode = {".gz": "w:gz", ".xz": "w:xz"}.get(target.suffix, "w")
    with tarfile.open(target, mode, format=tarfile.USTAR_FORMAT) as tar:  # type: ignore[call-overload]
        for path in names:
            tar.add(path, path.name)
    return target
