# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels of every family: their names, their order, their modules, and the hardware that follows from them."""

from __future__ import annotations

import re
import shutil
import subprocess
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.linux.capabilities import capabilities_of
from v2v_convert_guestfs.linux.kernels import (
    Kernel,
    Modules,
    arch_of,
    best_first,
    choose_initramfs,
    images_in,
    is_debug,
    is_version,
    modules_below,
    parse_modules,
    version_key,
)
from v2v_core.api import Bus, Inspection

#: From the oldest to the newest, per distribution.
HISTORIES = [
    ["2.6.9-5.EL", "2.6.9-42.0.10.EL", "2.6.9-89.EL"],
    ["2.6.18-8.el5", "2.6.18-92.1.22.el5", "2.6.18-308.el5", "2.6.18-308.8.2.el5", "2.6.18-419.el5"],
    ["2.6.32-71.el6.x86_64", "2.6.32-642.el6.x86_64", "2.6.32-754.35.1.el6.x86_64"],
    ["3.10.0-123.el7.x86_64", "3.10.0-957.el7.x86_64", "3.10.0-1160.el7.x86_64", "3.10.0-1160.119.1.el7.x86_64"],
    ["4.18.0-80.el8.x86_64", "4.18.0-553.el8_10.x86_64", "4.18.0-553.22.1.el8_10.x86_64"],
    ["5.14.0-70.13.1.el9_0.x86_64", "5.14.0-427.13.1.el9_4.x86_64", "6.12.0-55.9.1.el10_0.x86_64"],
    ["2.6.39-400.17.1.el6uek.x86_64", "4.14.35-1902.300.11.el7uek.x86_64", "5.15.0-100.96.32.el9uek.x86_64"],
    ["6.9.0-0.rc2.28.fc41.x86_64", "6.9.0-0.rc10.28.fc41.x86_64", "6.9.0-64.fc41.x86_64", "6.9.10-200.fc40.x86_64"],
    ["3.0.13-0.27-default", "3.0.101-0.47.71-default", "3.0.101-63-default", "3.0.101-108.141-default"],
    ["3.12.28-4-default", "4.4.21-69-default", "4.12.14-95.3-default", "4.12.14-122.219-default"],
    ["5.3.18-57-default", "5.14.21-150400.22-default", "5.14.21-150400.24.63-default", "6.4.0-150600.21-default"],
    ["5.10.82-std-def-alt1", "5.10.212-std-def-alt1", "6.1.85-un-def-alt1"],
    ["2.6.32-5-amd64", "3.2.0-4-amd64", "3.16.0-4-amd64", "3.16.0-11-amd64"],
    ["4.19.0-6-amd64", "4.19.0-27-amd64", "5.10.0-8-amd64", "5.10.0-32-amd64", "6.1.0-9-amd64", "6.1.0-10-amd64"],
    ["6.1.0-0.deb11.7-amd64", "6.1.0-9-amd64", "6.10.11+bpo-amd64", "6.12.9+bpo-amd64"],
    ["5.4.0-9-generic", "5.4.0-42-generic", "5.4.0-150-generic", "5.15.0-25-generic", "6.8.0-31-generic"],
    ["6.1.0-060100rc3-generic", "6.1.0-060100-generic", "6.1.5-060105-generic"],
    ["6.1.0-rc3", "6.1.0-rc10", "6.1.0", "6.1.1"],
]
#: What the documentation of rpm says about the order of versions, and what follows from it.
ORDERED = [
    ("1.0", "1.0", 0),
    ("1.0", "2.0", -1),
    ("2.0.1", "2.0.1a", -1),
    ("5.5p1", "5.5p10", -1),
    ("10xyz", "10.1xyz", -1),
    ("xyz10", "xyz10.1", -1),
    ("xyz.4", "8", -1),
    ("6.0", "6.0.rc1x", -1),
    ("10b2", "10a1", 1),
    ("1.0a", "1.0aa", -1),
    ("10.0001", "10.1", 0),
    ("10.0039", "10.0001", 1),
    ("4.999.9", "5.0", -1),
    ("20101121", "20101122", -1),
    ("2_0", "2.0", 0),
    ("1.0.", "1.0", 0),
    ("a+", "a_", 0),
    ("fc4", "fc.4", 0),
    ("1.0~a", "1.0", -1),
    ("1.0~a", "1.0~b", -1),
    ("1.0~~", "1.0~", -1),
    ("1.0^", "1.0", 1),
    ("1.0^20160101", "1.0.1", -1),
    ("1.0^", "1.0a", -1),
    ("1.0~a^20160101", "1.0", -1),
    ("1.0^~", "1.0^", -1),
]


def rpmvercmp(one: str, other: str) -> int:
    """Compare as the documentation of rpm describes it, step by step."""
    one, other = (re.sub(r"^[^A-Za-z0-9~^]+", "", text) for text in (one, other))
    for mark, others_end in (("~", False), ("^", True)):
        if one.startswith(mark) and other.startswith(mark):
            return rpmvercmp(one[1:], other[1:])
        if one.startswith(mark) or other.startswith(mark):
            without = other if one.startswith(mark) else one
            # A tilde is older than everything, a caret newer than the end and older than the rest.
            newer = others_end and not without
            return 1 if newer is one.startswith(mark) else -1
    if not one or not other:
        return (one > other) - (one < other)
    left, right = (re.match(r"[0-9]+|[A-Za-z]+", text) for text in (one, other))
    assert left is not None
    assert right is not None
    if left[0].isdigit() != right[0].isdigit():
        return 1 if left[0].isdigit() else -1
    if left[0].isdigit():
        result = (int(left[0]) > int(right[0])) - (int(left[0]) < int(right[0]))
    else:
        result = (left[0] > right[0]) - (left[0] < right[0])
    return result or rpmvercmp(one[left.end() :], other[right.end() :])


def compared(one: str, other: str) -> int:
    left, right = version_key(one), version_key(other)
    return (left > right) - (left < right)


def kernel(version: str, *modules: str, image: str = "", **config: str) -> Kernel:
    return Kernel(
        version=version,
        image=image or f"/boot/vmlinuz-{version}",
        modules_directory="",
        initramfs=None,
        modules=Modules({name: f"kernel/{name}.ko" for name in modules}),
        config=config,
        debug=is_debug(version),
    )


@pytest.mark.parametrize("history", HISTORIES, ids=lambda history: history[0])
def test_the_kernels_of_a_distribution_are_in_order(history: list[str]) -> None:
    assert all(is_version(version) for version in history)
    for older, newer in pairwise(history):
        assert version_key(older) < version_key(newer), (older, newer)


@pytest.mark.parametrize(("one", "other", "result"), ORDERED)
def test_the_order_of_rpm(one: str, other: str, result: int) -> None:
    assert rpmvercmp(one, other) == result
    assert rpmvercmp(other, one) == -result
    if "rc" not in one + other:
        assert compared(one, other) == result


_VERSIONS = st.text("019ab.+_~^", max_size=12)


@given(_VERSIONS, _VERSIONS)
def test_versions_are_compared_as_rpm_does(one: str, other: str) -> None:
    assert compared(one, other) == rpmvercmp(one, other)


@given(_VERSIONS, _VERSIONS, _VERSIONS, _VERSIONS)
def test_the_version_counts_before_the_release(one: str, its: str, other: str, others: str) -> None:
    expected = rpmvercmp(one, other) or rpmvercmp(its, others)
    assert compared(f"{one}-{its}", f"{other}-{others}") == expected


def test_rpm_itself_agrees() -> None:
    program = shutil.which("rpm")
    assert program is not None, "setup-system installs it"
    pairs = ",".join(f'{{"{one}","{other}"}}' for one, other, _ in ORDERED)
    script = f"%{{lua:for _, p in ipairs({{{pairs}}}) do print(rpm.vercmp(p[1], p[2])) print(' ') end}}"
    output = subprocess.run([program, "--eval", script], capture_output=True, text=True, check=True).stdout
    assert [int(word) for word in output.split()] == [result for _, _, result in ORDERED]


def test_images_in_boot() -> None:
    names = [
        "config-5.14.0-427.el9.x86_64",
        "vmlinuz-5.14.0-427.el9.x86_64",
        ".vmlinuz-5.14.0-427.el9.x86_64.hmac",
        "vmlinuz-0-rescue-0123456789abcdef0123456789abcdef",
        "vmlinuz-2.6.18-8.el5xen",
        "vmlinuz-2.6.9-89.ELsmp",
        "vmlinuz-2.6.9-89.ELhugemem",
        "vmlinuz-2.6.18-8.el5kdump",
        "vmlinuz-2.6.16.60-0.21-kdump",
        "vmlinuz-5.3.18-57-default",
        "vmlinux-5.3.18-57-default.gz",
        "vmlinuz-5.10.212-std-def-alt1",
        "vmlinuz-std-def",
        "vmlinuz",
        "vmlinuz.old",
        "vmlinuz-6.1.0-10-amd64",
        "vmlinuz-6.1.0-10-amd64.old",
        "vmlinuz-5.14.0-1.el9.x86_64+debug",
        "xen-4.1.gz",
        "vmlinuz-recovery",
    ]
    assert images_in(names, "x86_64") == {
        name.removeprefix("vmlinuz-"): name
        for name in names
        if re.match(r"vmlinuz-[2-9]", name) and "kdump" not in name and not name.endswith(".old")
    }
    assert images_in(["Image-6.4.0-1-default", "vmlinux-6.4.0-1-default.gz"], "aarch64") == {
        "6.4.0-1-default": "Image-6.4.0-1-default"
    }
    assert images_in(["vmlinux-6.1.0-1-powerpc64le", "vmlinuz-6.1.0-1-powerpc64le"], "ppc64le") == {
        "6.1.0-1-powerpc64le": "vmlinuz-6.1.0-1-powerpc64le"
    }
    assert images_in(["vmlinux-6.1.0-1-amd64"], "x86_64") == {}


@pytest.mark.parametrize(
    ("version", "names", "chosen"),
    [
        ("5.14.0-427.el9.x86_64", ["initramfs-{}.img", "initramfs-{}kdump.img", "initramfs-{}.img.pre-v2v"], 0),
        ("2.6.18-8.el5xen", ["initrd-2.6.18-8.el5.img", "initrd-{}.img", "initrd-{}kdump.img"], 1),
        ("5.3.18-57-default", ["initrd-{}-kdump", "initrd-{}", "initrd-{}.bak"], 1),
        ("6.1.0-10-amd64", ["initrd.img-{}.old-dkms", "initrd.img-{}", "initrd.img-{}.dpkg-bak"], 1),
        ("6.1.85-un-def-alt1", ["initrd-un-def.img", "initrd-{}.img"], 1),
        ("5.14.0", ["initramfs-5.14.0-1.img", "initramfs-0-rescue-1.img"], None),
    ],
)
def test_the_initramfs_of_a_kernel(version: str, names: list[str], chosen: int | None) -> None:
    found = [name.format(version) for name in names]
    assert choose_initramfs(found, version) == (None if chosen is None else found[chosen])


def test_the_shortest_name_of_an_initramfs_wins() -> None:
    assert choose_initramfs(["initramfs-1-1.img", "initrd-1-1"], "1-1") == "initrd-1-1"


@pytest.mark.parametrize(
    ("version", "debug"),
    [
        ("5.14.0-1.el9.x86_64+debug", True),
        ("2.6.35-1.fc14.x86_64.debug", True),
        ("2.6.18-8.el5debug", True),
        ("4.12.14-1-debug", True),
        ("6.1.0-10-amd64-dbg", True),
        ("5.14.0-1.el9.x86_64+rt", False),
        ("6.1.0-10-amd64", False),
        ("5.3.18-57-default", False),
    ],
)
def test_kernels_for_debugging(version: str, debug: bool) -> None:
    assert is_debug(version) is debug


def test_modules_of_old_and_of_new() -> None:
    found = parse_modules(
        b"/lib/modules/2.6.9-89.EL/kernel/drivers/block/virtio_blk.ko: \\\n"
        b"\t/lib/modules/2.6.9-89.EL/kernel/virtio.ko\n"
        b"kernel/drivers/char/hw_random/virtio-rng.ko.xz: kernel/virtio.ko.zst\nkernel/net/virtio_net.o.gz:\n",
        b"kernel/drivers/virtio/virtio_pci.ko\n",
    )
    assert found.paths["virtio_rng"] == "kernel/drivers/char/hw_random/virtio-rng.ko.xz"
    assert found.paths["virtio_net"] == "kernel/net/virtio_net.o.gz"
    assert found.requires["kernel/drivers/block/virtio_blk.ko"] == ("kernel/virtio.ko",)
    assert found.builtin == {"virtio_pci"}


def test_modules_without_a_table() -> None:
    names = ["kernel/a/virtio-rng.ko.zst", "kernel/b.ko", "modules.dep.bin", "build", "c.o", "d.ko.debug", "e.ko.gz"]
    assert modules_below(names) == {
        "virtio_rng": "kernel/a/virtio-rng.ko.zst",
        "b": "kernel/b.ko",
        "c": "c.o",
        "e": "e.ko.gz",
    }


@given(st.binary(max_size=200))
def test_a_damaged_table_of_modules_is_no_traceback(data: bytes) -> None:
    assert "virtio_blk" in parse_modules(b"kernel/virtio_blk.ko:\n" + data, data).paths


def test_kernels_for_xen_only() -> None:
    assert kernel("2.6.18-8.el5xen").only_for_xen
    assert kernel("3.0.101-0.47-xen").only_for_xen
    assert kernel("3.0.101-0.47-xen", X86_64_XEN="y").only_for_xen
    assert not kernel("2.6.32-5-xen-amd64").only_for_xen
    # It runs under Xen, and everywhere else.
    assert not kernel("4.4.0-xen", XEN="y", PARAVIRT="y").only_for_xen


def test_a_kernel_that_the_boot_loader_cannot_know_comes_behind() -> None:
    beside = kernel("6.6.0", "virtio_blk", "virtio_pci", "virtio_net", image="/lib/modules/6.6.0/vmlinuz")
    old, xen = kernel("6.1.0"), kernel("7.0-xen")
    assert best_first([xen, beside, old]) == [old, beside, xen]


@pytest.mark.parametrize(
    ("config", "arch"),
    [
        ({"X86_64": "y", "X86": "y"}, "x86_64"),
        ({"X86_32": "y", "X86": "y"}, "i386"),
        ({"X86": "y"}, "i386"),
        ({"PPC64": "y", "CPU_LITTLE_ENDIAN": "y"}, "ppc64le"),
        ({"ARM64": "y"}, "aarch64"),
        ({}, ""),
    ],
)
def test_the_architecture_of_a_kernel(config: dict[str, str], arch: str) -> None:
    assert arch_of(config) == arch


def inspected(arch: str) -> Inspection:
    return Inspection(root="/dev/sda1", os_type="linux", distro="rhel", arch=arch, major_version=7)


@pytest.mark.parametrize(
    ("found", "machine", "virtio_1_0"),
    [
        (kernel("2.6.18-419.el5"), "i440fx", False),
        (kernel("2.6.32-754.35.1.el6.x86_64"), "i440fx", False),
        (kernel("3.10.0-123.el7.x86_64"), "q35", False),
        (kernel("3.10.0-1160.el7.x86_64", VIRTIO_PCI_LEGACY="y"), "q35", True),
        (kernel("3.12.28-4-default"), "q35", False),
        (kernel("3.16.0-4-amd64"), "q35", False),
        (kernel("4.4.21-69-default"), "q35", True),
        (kernel("5.14.0-427.el9.x86_64", "virtio_pci_modern_dev"), "q35", True),
    ],
    ids=lambda value: value.version if isinstance(value, Kernel) else None,
)
def test_the_hardware_is_as_new_as_the_kernel(found: Kernel, machine: str, virtio_1_0: bool) -> None:
    capabilities = capabilities_of(found, inspected("x86_64"))
    assert (capabilities.machine, capabilities.virtio_1_0) == (machine, virtio_1_0)


def test_a_64_bit_kernel_needs_a_64_bit_processor() -> None:
    modern = kernel("6.1.0-10-amd64", "virtio_blk", "virtio_pci")
    modern = Kernel(**{**vars(modern), "arch": "x86_64"})
    found = capabilities_of(modern, inspected("i386"))
    assert (found.arch, found.machine, found.block_bus) == ("x86_64", "q35", Bus.VIRTIO_BLK)
    assert capabilities_of(modern, inspected("aarch64")).arch == "aarch64"


def test_a_module_that_was_removed_drives_nothing() -> None:
    config = {"VIRTIO_BLK": "m", "VIRTIO_PCI": "y"}
    without = Kernel("6.1", "", "", None, Modules({"ext4": "kernel/ext4.ko"}), config)
    assert (without.drives("virtio_blk"), without.drives("virtio_pci")) == (False, True)
    assert Kernel("6.1", "", "", None, Modules(), config).drives("virtio_blk")
