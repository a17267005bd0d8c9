# SPDX-License-Identifier: GPL-2.0-or-later
"""The hints of ``-i ova`` and ``-i vmx`` help: each is followed here, and the guest is then accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from ova_files import descriptor, manifest, pack, stream_optimized
from v2v_core.api import InputResult, InputSetupRequest, OptionValues, SourceError
from v2v_core.testing import FakeReporter
from v2v_input_vmware.ova.plugin import OvaInput
from v2v_input_vmware.vmx import ssh

SKIP = OptionValues(values={"skip-manifest": ("true",)})


def setup(path: Path, tmp_path: Path, options: OptionValues | None = None) -> InputResult:
    private = tmp_path / "private"
    private.mkdir(exist_ok=True)
    request = InputSetupRequest(
        directory=private, arguments=(str(path),), report=FakeReporter(), options=options or OptionValues()
    )
    return OvaInput().v2v_input_setup(request)


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """Create an unpacked OVA with a manifest that covers the descriptor, as every export has it."""
    directory = tmp_path / "exported"
    directory.mkdir()
    (tmp_path / "raw").write_bytes(b"content " * 131072)
    stream_optimized(tmp_path / "raw", directory / "disk.vmdk")
    write(directory, descriptor({"disk.vmdk": directory / "disk.vmdk"}).decode())
    return directory


def write(directory: Path, text: str) -> None:
    """Write the descriptor and a manifest that fits it."""
    (directory / "guest.ovf").write_text(text)
    disks = sorted(directory.glob("*.vmdk"))
    (directory / "guest.mf").write_text(manifest([directory / "guest.ovf", *disks]))


def hint_of(path: Path, tmp_path: Path) -> str:
    with pytest.raises(SourceError) as caught:
        setup(path, tmp_path)
    return str(caught.value.hint)


def wrong_firmware(text: str) -> str:
    setting = '<vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="coreboot"/>'
    return text.replace("</VirtualHardwareSection>", f"{setting}</VirtualHardwareSection>")


def url(text: str) -> str:
    return text.replace('href="disk.vmdk"', 'href="https://example.com/disk.vmdk"')


def outside(text: str) -> str:
    return text.replace('href="disk.vmdk"', 'href="../elsewhere/disk.vmdk"')


@pytest.mark.parametrize("damage", [wrong_firmware, url, outside])
def test_a_corrected_descriptor_no_longer_fits_the_manifest_and_the_hint_says_so(
    exported: Path, tmp_path: Path, damage: object
) -> None:
    """vmware/govmomi#2136: a descriptor that names what is not there, which VMware's article has the user edit.

    Corrected as the hint says, the package is refused for its checksum, unless the option that the hint names is given.
    """
    assert callable(damage)
    right = (exported / "guest.ovf").read_text()
    write(exported, damage(right))
    hint = hint_of(exported, tmp_path)
    assert "-io skip-manifest" in hint
    assert "name the directory" in hint
    (exported / "guest.ovf").write_text(right)
    assert "-io skip-manifest" in hint_of(exported, tmp_path)
    assert len(setup(exported, tmp_path, SKIP).disks) == 1


def test_two_descriptors(exported: Path, tmp_path: Path) -> None:
    """vmware/govmomi#229: a descriptor called NAME_OVF10.ovf, and the question of several. One of them is named."""
    (exported / "guest_OVF10.ovf").write_bytes((exported / "guest.ovf").read_bytes())
    assert "name the one to convert: -i ova DIRECTORY/FILE.ovf" in hint_of(exported, tmp_path)
    assert "must be unpacked" in hint_of(pack(exported, tmp_path / "both.ova"), tmp_path)
    for name in ("guest.ovf", "guest_OVF10.ovf"):
        assert len(setup(exported / name, tmp_path).disks) == 1


def test_several_machines(exported: Path, tmp_path: Path) -> None:
    text = (exported / "guest.ovf").read_text()
    start, end = text.index("<VirtualSystem "), text.index("</Envelope>")
    one = text[start:end]
    other = one.replace('ovf:id="vm"', 'ovf:id="other"').replace("packed guest", "another guest")
    write(
        exported,
        f'{text[:start]}<VirtualSystemCollection ovf:id="both">{one}{other}</VirtualSystemCollection></Envelope>',
    )
    assert "leave one VirtualSystem in a copy of the OVF descriptor" in hint_of(exported, tmp_path)
    copy = exported / "other.ovf"
    copy.write_text(
        f'{text[:start]}<VirtualSystemCollection ovf:id="both">{other}</VirtualSystemCollection></Envelope>'
    )
    assert setup(copy, tmp_path, SKIP).guest.name == "another guest"


def test_a_corrupt_disk_that_the_user_trusts(exported: Path, tmp_path: Path) -> None:
    """home-assistant/operating-system#826: it was the manifest that was wrong."""
    text = (exported / "guest.mf").read_text()
    (exported / "guest.mf").write_text(text[:-9] + "00000000\n")
    assert "-io skip-manifest" in hint_of(exported, tmp_path)
    assert len(setup(exported, tmp_path, SKIP).disks) == 1


@pytest.mark.parametrize(
    ("reason", "remedy", "hint"),
    [
        ("No such file", "check the path", "snapshots"),
        ("Permission denied", "check that the user may read the file", "check that the user may read the file"),
        ("Connection refused", "check the name of the host", "check the name of the host"),
    ],
)
def test_a_disk_over_ssh_that_cannot_be_read_is_not_always_a_snapshot(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reason: str, remedy: str, hint: str
) -> None:
    """A user whose password is wrong would look for snapshots in vain."""

    def fail(*_words: object) -> str:
        raise SourceError(f"x-flat.vmdk on esxi cannot be read over ssh: {reason}", hint=remedy)

    monkeypatch.setattr(ssh, "_run", fail)
    server = ssh.Server.of("ssh://root@esxi/vmfs/volumes/ds/x.vmx", password_file=None, identity=None, known_hosts=None)
    with pytest.raises(SourceError, match="the disk scsi0:0") as caught:
        ssh.check_exists(server, "x-flat.vmdk", "scsi0:0", tmp_path)
    assert hint in str(caught.value.hint)
