# SPDX-License-Identifier: GPL-2.0-or-later
"""The packages of old hypervisors by name, and the files that their tools have changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.linux.tools_removal import settings, vmware
from v2v_convert_guestfs.linux.tools_removal.names import hypervisor_of, libraries_installed, tools_installed

GOES = [
    *("open-vm-tools", "open-vm-tools-desktop", "open-vm-tools-sdmp", "open-vm-toolbox", "open-vm-dkms"),
    *("VMwareTools", "vmware-tools-core", "vmware-tools-esx-nox", "kmod-vmware-tools-vsock"),
    *("vmware-open-vm-tools-nox", "vmware-guest-kmp-default"),
    *("virtualbox-guest-additions", "virtualbox-guest-tools", "virtualbox-guest-kmp-default", "virtualbox-guest-x11"),
    *("virtualbox-guest-dkms", "virtualbox-guest-utils-hwe", "VirtualBox-guest-additions"),
    "kernel-modules-virtualbox-addition-std-def",
    # Void Linux and Debian 6
    *("virtualbox-ose-guest", "virtualbox-ose-guest-dkms", "virtualbox-ose-guest-utils"),
    *("xe-guest-utilities", "xe-guest-utilities-xenstore", "xe-guest-utilities-latest"),
    "parallels-tools",
]
STAYS = [
    *("virtualbox", "virtualbox-7.0", "VirtualBox-7.0", "kmod-VirtualBox", "virtualbox-guest"),
    *("hyperv-daemons", "hypervkvpd", "hyperv-tools", "qemu-guest-agent", "xen-libs", "xenstore"),
    *("xorg-x11-drv-vmware", "xf86-video-vmware", "xserver-xorg-video-vmware", "libvmtools0", "open-vm", "vim"),
]

REPOSITORIES = b"""\
# from the installer
[main]
gpgcheck = 1

[vmware-tools]
name=VMware Tools
baseurl=http://packages.vmware.com/tools/esx/5.0/rhel6/$basearch
enabled=1
gpgcheck=1
[second]
name = at vmware.com, but elsewhere
baseurl = https://mirror.example.org/vmware.com/
enabled = 1

[third]
name=Third
baseurl=https://mirror.example.org/
        https://VMWARE.example.org/
    https://repo.vmware.com/x
"""
INITTAB = b"""\
id:3:initdefault:
# Run gettys in standard runlevels
#1:2345:respawn:/sbin/mingetty tty1
#2:2345:respawn:/sbin/mingetty tty2
#x:5:respawn:/etc/X11/prefdm -nodaemon
# 3:2345:respawn:/sbin/mingetty tty3
co:2345:respawn:/sbin/agetty xvc0 9600 vt100-nav
"""


def test_the_packages() -> None:
    names = frozenset([*GOES, *STAYS, "vmware-tools-libraries-nox"])
    assert tools_installed(names) == sorted(GOES)
    assert libraries_installed(names) == ["vmware-tools-libraries-nox"]


def test_repositories() -> None:
    assert vmware.disable_sections(REPOSITORIES) == REPOSITORIES.replace(
        b"rhel6/$basearch\nenabled=1", b"rhel6/$basearch\nenabled=0"
    ).replace(b"[third]\n", b"[third]\nenabled=0\n")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"[a]\nbaseurl=http://vmware.com", b"[a]\nenabled=0\nbaseurl=http://vmware.com"),
        (b"[a]\r\nbaseurl=http://vmware.com/\r\nenabled=1\r\n", b"[a]\r\nbaseurl=http://vmware.com/\r\nenabled=0\r\n"),
        (b"[a]\nenabled = yes\nbaseurl = http://vmware.com:80/", b"[a]\nenabled = 0\nbaseurl = http://vmware.com:80/"),
        (b"[a]\nbaseurl=http://notvmware.com/\n", None),
        (b"[a]\nbaseurl=http://vmware.com.example.org/\n", None),
        (b"[a]\n#baseurl=http://vmware.com/\n", None),
        (b"baseurl=http://vmware.com/\n", None),
        (b"[a]\nbaseurl=http://vmware.com/\nenabled=0\n", None),
    ],
)
def test_one_repository(data: bytes, expected: bytes | None) -> None:
    assert vmware.disable_sections(data) == (data if expected is None else expected)


def test_sources_of_apt() -> None:
    old = (
        b"deb http://deb.debian.org/debian bookworm main\ndeb [signed-by=/k] https://packages.vmware.com/tools x main\n"
        b"deb-src http://vmware.com/ x main\n# deb http://vmware.com/ x main\ndeb http://a.org/vmware.com/ x main\n"
    )
    new = vmware.comment_sources(old)
    assert new == old.replace(b"\ndeb [", b"\n# deb [").replace(b"\ndeb-src", b"\n# deb-src")


def test_answers() -> None:
    new = vmware.add_answers(b"answer BINDIR /usr/bin")
    assert new.startswith(b"answer BINDIR /usr/bin\nremove_answer RESTORE_RAMDISK_CMD\n")
    assert new.count(b"RESTORE_RAMDISK") == 3
    assert vmware.add_answers(new) == new


def test_terminals() -> None:
    new = settings.uncomment_terminals(INITTAB)
    assert new == INITTAB.replace(b"#1:", b"1:").replace(b"#2:", b"2:").replace(b"# 3:", b"3:")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'INITRD_MODULES="xenblk jbd ext3"\n', b'INITRD_MODULES="jbd ext3"\n'),
        (b'INITRD_MODULES="jbd xennet ext3 xen-vbd"\n', b'INITRD_MODULES="jbd ext3"\n'),
        (b'DOMU_INITRD_MODULES="xennet xenblk"\n', b'DOMU_INITRD_MODULES=""\n'),
        (b"DOMU_INITRD_MODULES='xen_vnif'\n", b"DOMU_INITRD_MODULES=''\n"),
        (b"INITRD_MODULES=xenblk\n", b"INITRD_MODULES=\n"),
        (b'INITRD_MODULES="a  b \\\n c"\n', b'INITRD_MODULES="a  b \\\n c"\n'),
        (b'INITRD_MODULES="xenblk2 my-xenblk xennet.ko "\n', b'INITRD_MODULES="xenblk2 my-xenblk xennet.ko "\n'),
        (b'# INITRD_MODULES="xenblk"\nX="xenblk"\n', b'# INITRD_MODULES="xenblk"\nX="xenblk"\n'),
    ],
)
def test_modules_of_xen(old: bytes, new: bytes) -> None:
    assert settings.without_xen_modules(old) == new


_COMMON = [b"\n", b"\r\n", b"\\\n", b" \t", b'"', b"'", b"][", b"xen", b"\xff\0", b"A=b\n", b"[a]\n", b"enabled=1\n"]
_CLOSE = [b"baseurl=http://example.org/\n", b"#1:2:respawn:x\n", b"deb http://a/ b\n", b"INITRD_MODULES='a b'\n"]
_PIECES = st.lists(st.sampled_from([*_COMMON, *_CLOSE]) | st.binary(max_size=8), max_size=20).map(b"".join)


@given(_PIECES)
def test_what_is_not_meant_stays_as_it_is(data: bytes) -> None:
    assert vmware.disable_sections(data) == data
    assert vmware.comment_sources(data) == data
    assert settings.uncomment_terminals(data) == data
    assert settings.without_xen_modules(data) == data


@given(_PIECES, _PIECES)
def test_what_is_around_stays_as_it_is(before: bytes, after: bytes) -> None:
    section = b"\n[v]\nbaseurl=http://vmware.com/\nenabled=1\n[w]\n"
    new = vmware.disable_sections(before + section + after)
    assert new == before + section.replace(b"enabled=1", b"enabled=0") + after
    assert vmware.disable_sections(new) == new
    line = b"\n#1:2345:respawn:/sbin/mingetty tty1\n"
    assert settings.uncomment_terminals(before + line + after) == before + line.replace(b"#", b"") + after


@pytest.mark.parametrize("name", GOES)
def test_every_tool_is_that_of_a_hypervisor_that_systemd_knows(name: str) -> None:
    expected = "oracle" if "irtual" in name else "xen" if name.startswith("xe") else "vmware"
    assert hypervisor_of(name) == ("parallels" if name == "parallels-tools" else expected)


def test_tools() -> None:
    names = frozenset({"open-vm-tools", "open-vm-tools-desktop", "virtualbox-guest-utils", "xe-guest-utilities", "vim"})
    assert tools_installed(names) == [
        "open-vm-tools",
        "open-vm-tools-desktop",
        "virtualbox-guest-utils",
        "xe-guest-utilities",
    ]
