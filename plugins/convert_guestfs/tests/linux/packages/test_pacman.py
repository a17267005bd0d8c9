# SPDX-License-Identifier: GPL-2.0-or-later
"""pacman, Portage, and guests whose package manager is not known. A simulator stands for the guest's pacman."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from v2v_convert_guestfs.linux.packages import find_package_manager
from v2v_convert_guestfs.linux.packages.dpkg import Dpkg
from v2v_convert_guestfs.linux.packages.pacman import DATABASE, Pacman, problems
from v2v_convert_guestfs.linux.packages.unknown import PORTAGE, Unmanaged
from v2v_convert_guestfs.linux.tools_removal import remove_tools
from v2v_convert_guestfs.session import Blockers

REFUSAL = """\
error: failed to prepare transaction (could not satisfy dependencies)
:: removing {name} breaks dependency '{name}' required by {dependent}
"""


class FakePacman:
    """pacman, with packages that depend on others; its state is in the directories of the guest's database."""

    def __init__(self, guest: Any, requires: dict[str, set[str]]) -> None:
        self.guest, self.requires = guest, requires
        guest.session.found = replace(guest.session.found, distro="archlinux")
        for name in requires:
            guest.add(f"{DATABASE}/{name}-2:12.4.0-1/desc", f"%NAME%\n{name}\n".encode())
        guest.add(f"{DATABASE}/ALPM_DB_VERSION", b"9\n")
        guest.handle.programs["pacman"] = self.run
        guest.handle.ls = lambda path: [entry.name for entry in (guest.root / path.lstrip("/")).iterdir()]

    def run(self, argv: list[str]) -> str:
        assert argv[1] == "--remove"
        assert not {"--cascade", "--recursive", "--nodeps"} & set(argv)
        names = [word for word in argv[2:] if not word.startswith("-")]
        text = "".join(
            REFUSAL.format(name=name, dependent=dependent)
            for name in names
            for dependent, required in self.requires.items()
            if name in required and dependent not in names
        )
        if text:
            raise RuntimeError(text)
        if "--print" not in argv:
            for name in names:
                del self.requires[name]
                for path in (self.guest.root / DATABASE.lstrip("/") / f"{name}-2:12.4.0-1").iterdir():
                    path.unlink()
                (self.guest.root / DATABASE.lstrip("/") / f"{name}-2:12.4.0-1").rmdir()
        return ""


def test_what_is_needed_stays_and_the_rest_goes(guest: Any) -> None:
    """craigwatson/puppet-vmwaretools#45: a removal fails as a whole if something depends on one of the packages."""
    requires: dict[str, set[str]] = {
        "open-vm-tools": set(),
        "virtualbox-guest-utils": set(),
        "acme-agent": {"open-vm-tools"},
        "zlib": set(),
    }
    guest.with_systemd()
    pacman = FakePacman(guest, requires)
    unit = b"usr/\nusr/lib/systemd/system/vmtoolsd.service\nusr/lib/systemd/system/\n"
    guest.add(f"{DATABASE}/open-vm-tools-2:12.4.0-1/files", b"%FILES%\n" + unit)
    manager = find_package_manager(guest.session, guest.files, Blockers())
    assert isinstance(manager, Pacman)
    assert manager.installed == set(requires)
    remove_tools(guest.session, guest.files, manager)
    assert set(pacman.requires) == {"open-vm-tools", "acme-agent", "zlib"}
    assert manager.installed == {"open-vm-tools", "acme-agent", "zlib"}
    drop_in = guest.read("/etc/systemd/system/vmtoolsd.service.d/v2v.conf")
    assert b"ConditionVirtualization=vmware" in drop_in
    assert guest.report.warnings == []
    assert [text for text in guest.report.infos if "open-vm-tools stays in the guest: needed by acme-agent" in text]


def test_refusals() -> None:
    text = REFUSAL.format(name="open-vm-tools", dependent="a") + REFUSAL.format(name="open-vm-tools", dependent="b")
    assert problems(text) == {"open-vm-tools": ("a", "b")}
    assert problems("error: failed to init transaction (unable to lock database)") == {}


def test_a_locked_database_is_a_warning(guest: Any) -> None:
    FakePacman(guest, {"open-vm-tools": set()})

    def locked(argv: list[str]) -> str:
        raise RuntimeError("error: failed to init transaction (unable to lock database)")

    guest.handle.programs["pacman"] = locked
    manager = Pacman(guest.session, guest.files)
    remove_tools(guest.session, guest.files, manager)
    assert manager.installed == {"open-vm-tools"}
    (warning,) = guest.report.warnings
    assert "the packages open-vm-tools cannot be removed from the guest" in warning


def test_portage_is_read_and_the_tools_do_not_start(guest: Any) -> None:
    """voidlinux/void-packages#5347: other distributions have the tools as packages, too."""
    guest.session.found = replace(guest.session.found, distro="gentoo")
    guest.add("/sbin/openrc-run")
    guest.add("/etc/init.d/vmware-tools", b"#!/sbin/openrc-run\n")
    guest.add("/etc/runlevels/default/vmware-tools", link="../../init.d/vmware-tools")
    contents = b"dir /etc/init.d\nobj /etc/init.d/vmware-tools d41d8cd98f00b204e9800998ecf8427e 1700000000\n"
    guest.add(f"{PORTAGE}/app-emulation/open-vm-tools-12.4.5_p1-r2/CONTENTS", contents)
    guest.add(f"{PORTAGE}/sys-libs/zlib-1.3.1-r1/CONTENTS", b"")
    manager = find_package_manager(guest.session, guest.files, Blockers())
    assert isinstance(manager, Unmanaged)
    assert manager.installed == {"open-vm-tools", "zlib"}
    remove_tools(guest.session, guest.files, manager)
    assert guest.files.glob("/etc/runlevels/*/*") == []
    assert guest.handle.commands == []
    (warning,) = guest.report.warnings
    assert warning.startswith("the package open-vm-tools stays in the guest: Portage does not say what depends on it.")


@pytest.mark.parametrize(("distro", "kind"), [("photon", Dpkg), ("archlinux", Dpkg), ("alpinelinux", Dpkg)])
def test_a_small_family_says_less_than_the_database(guest: Any, distro: str, kind: type) -> None:
    guest.session.found = replace(guest.session.found, distro=distro)
    guest.add("/var/lib/dpkg/status", b"Package: dpkg\nStatus: install ok installed\n")
    assert isinstance(find_package_manager(guest.session, guest.files, Blockers()), kind)


def test_a_guest_without_a_package_manager(guest: Any) -> None:
    guest.session.found = replace(guest.session.found, distro="acme")
    blockers = Blockers()
    manager = find_package_manager(guest.session, guest.files, blockers)
    assert isinstance(manager, Unmanaged)
    assert (manager.installed, blockers.reasons) == (frozenset(), [])
    remove_tools(guest.session, guest.files, manager)
    assert guest.report.warnings == []
    guest.add("/usr/bin/vmtoolsd")
    remove_tools(guest.session, guest.files, manager)
    (warning,) = guest.report.warnings
    assert warning.startswith(
        "the tools of the old hypervisor (/usr/bin/vmtoolsd) stay in the guest: its package manag"
    )
