# SPDX-License-Identifier: GPL-2.0-or-later
"""An image that is extended keeps its driver updates, which are links into the directory of another kernel."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from module_tree import ModuleTree
from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.linux.initramfs import cpio
from v2v_convert_guestfs.linux.initramfs.cpio import ArchiveError
from v2v_convert_guestfs.linux.initramfs.examine import Examination, examine_file
from v2v_convert_guestfs.linux.initramfs.extend import extend
from v2v_convert_guestfs.linux.initramfs.image import read_image
from v2v_convert_guestfs.linux.kernels import Kernel, parse_modules
from v2v_convert_guestfs.session import Session
from v2v_core.api import SourceDisk

VERSION, OLDER = "5.14.0-427.el9.x86_64", "5.14.0-70.el9.x86_64"
BASE, OTHER = f"usr/lib/modules/{VERSION}", f"usr/lib/modules/{OLDER}"
LINK, REGULAR = 0o120777, 0o100644
NAMES = DeviceNames.of([SourceDisk(index=1)], "vd")
MODULES = b"kernel/virtio_blk.ko:\nkernel/virtio_pci.ko:\n"
#: As kmod packages of Red Hat and KMPs of SUSE are in an image of dracut.
ENTRIES: dict[str, tuple[bytes, int]] = {
    "lib": (b"usr/lib", LINK),
    "init": (b"usr/lib/systemd/systemd", LINK),
    "usr/lib/dracut-lib.sh": (b"", REGULAR),
    f"{BASE}/modules.dep": (
        b"kernel/xfs.ko:\nweak-updates/hpsa/hpsa.ko: extra/base.ko\nextra/base.ko:\nweak-updates/gone.ko:\n"
        b"updates/lpfc.ko.xz:\nkernel/not-in-the-image.ko:\n",
        REGULAR,
    ),
    f"{BASE}/kernel/xfs.ko": (b"xfs", REGULAR),
    f"{BASE}/extra/base.ko": (b"base", REGULAR),
    f"{BASE}/weak-updates/hpsa/hpsa.ko": (f"/lib/modules/{OLDER}/extra/hpsa/hpsa.ko".encode(), LINK),
    f"{BASE}/updates/lpfc.ko.xz": (f"../../{OLDER}/updates/lpfc.ko.xz".encode(), LINK),
    f"{BASE}/weak-updates/gone.ko": (b"/lib/modules/0/gone.ko", LINK),
    f"{BASE}/weak-updates/loop.ko": (b"loop.ko", LINK),
    f"{OTHER}/extra/hpsa/hpsa.ko": (b"hpsa", REGULAR),
    f"{OTHER}/updates/lpfc.ko.xz": (b"lpfc", REGULAR),
}


class Tree(ModuleTree):
    """The guest's modules, and its depmod, which is given a directory."""

    def __init__(self, root: Path, *, leaves_out: str = "") -> None:
        super().__init__(root, b"virtio")
        self.leaves_out = leaves_out
        self.contents: dict[str, bytes] = {}

    def depmod(self, argv: list[str]) -> str:
        assert argv[:2] == ["depmod", "-b"]
        directory = Path(argv[2], "usr/lib/modules", argv[3])
        modules = sorted(path for path in directory.rglob("*.ko*") if path.is_file())
        self.contents = {str(path.relative_to(directory)): path.read_bytes() for path in modules}
        listed = [name for name in self.contents if self.leaves_out not in name or not self.leaves_out]
        (directory / "modules.dep").write_text("".join(f"{name}:\n" for name in listed))
        return ""


def examined(directory: Path) -> Examination:
    data = b"".join(
        cpio.entry(name, content, number=number, mode=mode)
        for number, (name, (content, mode)) in enumerate(ENTRIES.items(), 1)
    )
    path = directory / "initramfs"
    path.write_bytes(data + cpio.trailer(len(data)))
    kernel = Kernel(VERSION, "", f"/lib/modules/{VERSION}", "/boot/initramfs.img", parse_modules(MODULES, b""), {})
    return examine_file(kernel, path, NAMES, directory)


def session_of(directory: Path, tree: Tree) -> Session:
    made: Any = SimpleNamespace(
        handle=tree,
        run=tree.depmod,
        request=SimpleNamespace(temporary=directory),
        report=SimpleNamespace(debug=lambda _text: None),
    )
    return cast("Session", made)


def test_driver_updates_stay_in_the_tables(tmp_path: Path) -> None:
    found = examined(tmp_path)
    assert found.lacking == ("virtio_pci", "virtio_blk")
    # Links that lead nowhere are not modules.
    assert found.present == {"xfs", "hpsa", "base", "lpfc"}
    tree, target = Tree(tmp_path / "guest"), tmp_path / "new"
    extend(session_of(tmp_path, tree), found, target)
    assert tree.contents == {
        "kernel/xfs.ko": b"xfs",
        "extra/base.ko": b"base",
        "weak-updates/hpsa/hpsa.ko": b"hpsa",
        "updates/lpfc.ko.xz": b"lpfc",
        "kernel/virtio_blk.ko": b"virtio",
        "kernel/virtio_pci.ko": b"virtio",
    }
    new = read_image(target, tmp_path)
    table = parse_modules(new.read(f"{BASE}/modules.dep") or b"", b"")
    assert table.paths.keys() == {"xfs", "hpsa", "base", "lpfc", "virtio_blk", "virtio_pci"}
    # The links themselves stay as they were.
    assert new.entries()[f"{BASE}/weak-updates/hpsa/hpsa.ko"][1].is_symlink


@pytest.mark.parametrize("name", ["hpsa", "xfs", "lpfc"])
def test_tables_that_lose_a_module_are_not_used(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArchiveError, match=f"leaves out {name}$"):
        extend(session_of(tmp_path, Tree(tmp_path / "guest", leaves_out=name)), examined(tmp_path), tmp_path / "new")


def test_links_are_followed_to_files_only(tmp_path: Path) -> None:
    image = examined(tmp_path).image
    assert image is not None
    assert image.resolve(f"lib/modules/{VERSION}/weak-updates/hpsa/hpsa.ko") == f"{OTHER}/extra/hpsa/hpsa.ko"
    assert image.resolve(f"{BASE}/kernel/xfs.ko") == f"{BASE}/kernel/xfs.ko"
    for name in ("weak-updates/gone.ko", "weak-updates/loop.ko", "kernel/xfs.ko/below", "nothing"):
        assert image.resolve(f"{BASE}/{name}") is None
