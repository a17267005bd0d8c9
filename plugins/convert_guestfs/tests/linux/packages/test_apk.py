# SPDX-License-Identifier: GPL-2.0-or-later
"""apk: what is installed, what depends on it, and what goes. A simulator stands for the guest's apk."""

from __future__ import annotations

from typing import Any

import pytest

from v2v_convert_guestfs.linux.packages import find_package_manager
from v2v_convert_guestfs.linux.packages.apk import DATABASES, Apk, needed_among, parse_database
from v2v_convert_guestfs.linux.tools_removal import remove_tools
from v2v_convert_guestfs.session import Blockers

#: As apk 2.14 writes it, shortened.
DATABASE = """\
C:Q1aaa=
P:musl
V:1.2.5-r0
A:x86_64
p:so:libc.musl-x86_64.so.1=1
F:lib
R:ld-musl-x86_64.so.1
a:0:0:755
Z:Q1bbb=

P:open-vm-tools
V:12.4.0-r0
D:/bin/sh so:libc.musl-x86_64.so.1 so:libtirpc.so.3
p:so:libvmtools.so.0=0.0.0 cmd:vmtoolsd=12.4.0-r0
F:usr/bin
R:vmtoolsd

P:open-vm-tools-openrc
V:12.4.0-r0
i:open-vm-tools=12.4.0-r0 openrc
F:etc/init.d
R:open-vm-tools

P:open-vm-tools-guestinfo
D:so:libvmtools.so.0 so:libc.musl-x86_64.so.1
F:usr/lib/open-vm-tools/plugins/vmsvc
R:libguestInfo.so

P:libtirpc
p:so:libtirpc.so.3=3.0.0
D:so:libc.musl-x86_64.so.1

P:acme
D:cmd:vmtoolsd>=11 !conflicting musl>=1.2
"""


class FakeApk:
    """apk that removes what is no longer needed by a package in its list; its state is in the guest's database."""

    def __init__(self, guest: Any, database: str, world: set[str]) -> None:
        self.guest, self.world = guest, world
        guest.add(DATABASES[0], database.encode())
        guest.handle.programs["apk"] = self.run

    def run(self, argv: list[str]) -> str:
        verb, names = argv[1], {word for word in argv[2:] if not word.startswith("--")}
        assert "--no-network" in argv
        if verb == "add":
            self.world |= names
            return ""
        assert verb == "del"
        data = self.guest.read(DATABASES[0])
        packages = parse_database(data)
        keep, todo = set[str](), [name for name in self.world if name not in names]
        while todo:
            keep.add(name := todo.pop())
            wanted = {
                other for other, package in packages.items() if {other, *package.provides} & packages[name].requires
            }
            todo += wanted - keep
        gone = sorted(packages.keys() - keep)
        if "--simulate" not in argv:
            self.world -= names
            stanzas = [
                stanza for stanza in data.decode().split("\n\n") if f"P:{_name(stanza)}" and _name(stanza) in keep
            ]
            self.guest.add(DATABASES[0], "\n\n".join(stanzas).encode())
        return "".join(f"({i}/{len(gone)}) Purging {name} (1-r0)\n" for i, name in enumerate(gone, 1)) + "OK: 9 MiB\n"


def _name(stanza: str) -> str:
    return next(line[2:] for line in stanza.splitlines() if line.startswith("P:"))


def alpine(guest: Any) -> Any:
    guest.session.found = type(guest.session.found)(
        root="/dev/sda1", os_type="linux", distro="alpinelinux", arch="x86_64", major_version=3
    )
    return guest


def test_the_database() -> None:
    packages = parse_database(DATABASE.encode())
    assert packages.keys() == {
        *("musl", "open-vm-tools", "open-vm-tools-openrc", "open-vm-tools-guestinfo", "libtirpc", "acme")
    }
    assert packages["open-vm-tools"].files == ("/usr/bin/vmtoolsd",)
    assert packages["acme"].requires == {"cmd:vmtoolsd", "musl"}
    assert "cmd:vmtoolsd" in packages["open-vm-tools"].provides
    assert parse_database(b"P:../x\nP:y\n\n\xff\n\nF:a\nR:b") == {}


def test_what_is_needed() -> None:
    packages = parse_database(DATABASE.encode())
    tools = ["open-vm-tools", "open-vm-tools-guestinfo", "open-vm-tools-openrc"]
    assert needed_among(packages, tools) == {"open-vm-tools": ("acme",)}
    del packages["acme"]
    assert needed_among(packages, tools) == {}
    assert needed_among(packages, ["open-vm-tools"]) == {"open-vm-tools": ("open-vm-tools-guestinfo",)}


def test_what_another_package_provides_as_well_is_not_missed() -> None:
    text = "P:a\np:cmd:x\n\nP:b\np:cmd:x\n\nP:c\nD:cmd:x\n"
    assert needed_among(parse_database(text.encode()), ["a"]) == {}
    assert needed_among(parse_database(text.encode()), ["a", "b"]) == {"a": ("c",), "b": ("c",)}


def test_the_tools_go_and_nothing_with_them(guest: Any) -> None:
    """ArchiveTeam/Ubuntu-Warrior#23: an appliance with Alpine installs the tools in several packages.

    libtirpc was there for the tools only; apk would drop it.
    """
    database = "\n\n".join(stanza for stanza in DATABASE.split("\n\n") if "P:acme" not in stanza)
    apk = FakeApk(alpine(guest), database, {"musl", "open-vm-tools", "open-vm-tools-openrc", "open-vm-tools-guestinfo"})
    manager = find_package_manager(guest.session, guest.files, Blockers())
    assert isinstance(manager, Apk)
    remove_tools(guest.session, guest.files, manager)
    assert manager.installed == {"musl", "libtirpc"}
    assert apk.world == {"musl", "libtirpc"}
    assert guest.report.warnings == []
    removed = {change.path for change in guest.session.changes if change.what == "package removed"}
    assert removed == {"open-vm-tools", "open-vm-tools-openrc", "open-vm-tools-guestinfo"}


def test_a_package_that_needs_the_tools_keeps_them_without_their_service(guest: Any) -> None:
    guest.add("/sbin/openrc-run")
    guest.add("/etc/init.d/open-vm-tools", b"#!/sbin/openrc-run\n")
    guest.add("/etc/runlevels/default/open-vm-tools", link="../../init.d/open-vm-tools")
    database = DATABASE.replace("cmd:vmtoolsd>=11", "open-vm-tools-openrc open-vm-tools")
    FakeApk(alpine(guest), database, {"acme", "open-vm-tools-guestinfo", "musl", "libtirpc"})
    manager = Apk(guest.session, guest.files)
    remove_tools(guest.session, guest.files, manager)
    assert {"acme", "open-vm-tools", "open-vm-tools-openrc"} <= manager.installed
    assert "open-vm-tools-guestinfo" not in manager.installed
    assert guest.files.glob("/etc/runlevels/*/*") == []
    assert [text for text in guest.report.infos if "open-vm-tools stays in the guest: needed by acme" in text]


def test_an_apk_that_does_not_run_is_a_warning(guest: Any) -> None:
    guest.add(DATABASES[0], DATABASE.replace("P:acme", "P:other").replace("cmd:vmtoolsd>=11", "").encode())
    manager = Apk(alpine(guest).session, guest.files)
    remove_tools(guest.session, guest.files, manager)
    assert "open-vm-tools" in manager.installed
    (warning,) = guest.report.warnings
    assert "cannot be removed from the guest" in warning


def test_a_missing_database_is_in_the_way(guest: Any) -> None:
    blockers = Blockers()
    assert find_package_manager(alpine(guest).session, guest.files, blockers) is None
    assert "/lib/apk/db/installed" in blockers.reasons[0][0]


@pytest.mark.parametrize("place", DATABASES)
def test_the_database_decides_for_a_distribution_that_is_not_known(guest: Any, place: str) -> None:
    alpine(guest).session.found = type(guest.session.found)(
        root="/dev/sda1", os_type="linux", distro="acme", arch="x86_64"
    )
    guest.add(place, DATABASE.encode())
    assert isinstance(find_package_manager(guest.session, guest.files, Blockers()), Apk)
