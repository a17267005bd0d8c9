# SPDX-License-Identifier: GPL-2.0-or-later
"""Tools that other packages depend on: what goes and what stays. A simulator stands for the guest's dpkg."""

from __future__ import annotations

from typing import Any

import pytest

from v2v_convert_guestfs.linux.packages.dpkg import Dpkg
from v2v_convert_guestfs.linux.tools_removal import remove_tools

UNITS = "/usr/lib/systemd/system"


class FakeDpkg:
    """dpkg with packages that each depend on some others; its state is in the guest's status file."""

    def __init__(self, guest: Any, requires: dict[str, set[str]]) -> None:
        self.guest, self.requires = guest, requires
        self.along: set[str] = set()
        guest.handle.programs["dpkg"] = self.run
        self.write()

    def write(self) -> None:
        stanzas = [f"Package: {name}\nStatus: install ok installed\n" for name in self.requires]
        self.guest.add("/var/lib/dpkg/status", "\n".join(stanzas).encode())

    def run(self, argv: list[str]) -> str:
        assert argv[:1] == ["dpkg"]
        names = [word for word in argv[1:] if not word.startswith("-")]
        text = ""
        for name in names:
            dependents = sorted(d for d, required in self.requires.items() if name in required and d not in names)
            if dependents:
                text += f"dpkg: dependency problems prevent removal of {name}:\n"
                text += "".join(f" {dependent} depends on {name}.\n" for dependent in dependents)
            elif "--no-act" not in argv:
                self.requires = {d: r for d, r in self.requires.items() if d not in {name, *self.along}}
        self.write()
        if text:
            raise RuntimeError(text)
        return ""


def changes(guest: Any) -> dict[str, str]:
    return {change.path: change.what for change in guest.session.changes}


def test_a_package_that_depends_on_the_tools_stays(guest: Any) -> None:
    """autotest/tp-libvirt#2738."""
    guest.with_systemd()
    requires = {"open-vm-tools": set[str](), "open-vm-tools-desktop": {"open-vm-tools"}, "acme": {"open-vm-tools"}}
    dpkg = FakeDpkg(guest, requires)
    listed = f"/.\n{UNITS}/open-vm-tools.service\n{UNITS}/vgauth.service\n{UNITS}/run-vmblock\\x2dfuse.mount\n"
    guest.add("/var/lib/dpkg/info/open-vm-tools.list", listed.encode())
    guest.add(f"{UNITS}/open-vm-tools.service", b"[Unit]\nConditionVirtualization=vmware\n")
    guest.add(f"{UNITS}/vgauth.service", b"[Unit]\nDescription=x\nConditionVirtualization=!container\n")
    guest.add(f"{UNITS}/run-vmblock\\x2dfuse.mount", b"[Mount]\nWhat=vmware-vmblock\n")

    remove_tools(guest.session, guest.files, Dpkg(guest.session, guest.files))

    assert set(dpkg.requires) == {"open-vm-tools", "acme"}
    assert all(argv[0] == "dpkg" for argv in guest.handle.commands)
    assert changes(guest) == {
        "open-vm-tools-desktop": "package removed",
        "/etc/systemd/system/vgauth.service.d/v2v.conf": "vgauth.service does not start on KVM",
        "/etc/systemd/system/run-vmblock\\x2dfuse.mount.d/v2v.conf": "run-vmblock\\x2dfuse.mount does not start on KVM",
    }
    written = guest.read("/etc/systemd/system/vgauth.service.d/v2v.conf")
    assert written.endswith(b"[Unit]\nConditionVirtualization=vmware\n")
    first, last = guest.report.infos
    assert first.endswith("are removed from the guest: open-vm-tools-desktop")
    assert last == ("The package open-vm-tools stays in the guest: needed by acme. Its services do not start on KVM")
    assert guest.report.warnings == []


def test_tools_that_nothing_depends_on_go(guest: Any) -> None:
    dpkg = FakeDpkg(guest, {"open-vm-tools": set(), "open-vm-tools-desktop": {"open-vm-tools"}, "ubuntu-server": set()})
    remove_tools(guest.session, guest.files, Dpkg(guest.session, guest.files))
    assert set(dpkg.requires) == {"ubuntu-server"}
    assert changes(guest) == {"open-vm-tools": "package removed", "open-vm-tools-desktop": "package removed"}


def test_what_goes_along_all_the_same_is_reported(guest: Any) -> None:
    dpkg = FakeDpkg(guest, {"virtualbox-guest-utils": set(), "acme": set(), "vim": set()})
    dpkg.along = {"acme"}
    remove_tools(guest.session, guest.files, Dpkg(guest.session, guest.files))
    assert changes(guest) == {"virtualbox-guest-utils": "package removed", "acme": "package removed"}
    (warning,) = guest.report.warnings
    assert "took along acme" in warning


def test_tools_that_need_each_other_and_are_needed_all_stay(guest: Any) -> None:
    requires = {"open-vm-tools": {"open-vm-dkms"}, "open-vm-dkms": {"open-vm-tools"}, "appliance": {"open-vm-dkms"}}
    dpkg = FakeDpkg(guest, requires)
    manager = Dpkg(guest.session, guest.files)
    assert manager.needed(["open-vm-tools", "open-vm-dkms"]) == {
        "open-vm-dkms": ("appliance",),
        "open-vm-tools": ("open-vm-dkms",),
    }
    remove_tools(guest.session, guest.files, manager)
    assert set(dpkg.requires) == set(requires)


def test_a_dpkg_that_does_not_run_is_a_warning(guest: Any) -> None:
    dpkg = FakeDpkg(guest, {"open-vm-tools": set(), "vim": set()})

    def broken(argv: list[str]) -> str:
        raise RuntimeError("dpkg: error: dpkg frontend lock was locked by another process")

    guest.handle.programs["dpkg"] = broken
    remove_tools(guest.session, guest.files, Dpkg(guest.session, guest.files))
    assert set(dpkg.requires) == {"open-vm-tools", "vim"}
    (warning,) = guest.report.warnings
    assert warning.startswith("the packages open-vm-tools cannot be removed from the guest")


@pytest.mark.parametrize(("program", "word"), [("/usr/sbin/update-rc.d", "disable"), ("/sbin/chkconfig", "off")])
def test_an_init_script(guest: Any, program: str, word: str) -> None:
    FakeDpkg(guest, {"vmware-tools-esx": set(), "acme": {"vmware-tools-esx"}})
    guest.add("/var/lib/dpkg/info/vmware-tools-esx:amd64.list", b"/etc/init.d/vmware-tools\n")
    guest.add(program)
    guest.handle.programs[program] = lambda argv: ""
    remove_tools(guest.session, guest.files, Dpkg(guest.session, guest.files))
    assert [program, "vmware-tools", word] in guest.handle.commands
    assert changes(guest) == {"/etc/init.d/vmware-tools": "does not run at boot"}
