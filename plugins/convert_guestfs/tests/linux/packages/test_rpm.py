# SPDX-License-Identifier: GPL-2.0-or-later
"""The list of rpm's packages, and who is asked to remove some. A simulator stands for the guest's programs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.families import Family
from v2v_convert_guestfs.linux.packages import find_package_manager
from v2v_convert_guestfs.linux.packages.rpm import Package, Rpm, dependents, packages_of, parse_packages
from v2v_convert_guestfs.linux.packages.rpm_frontends import NO_FRONTEND, find_frontend
from v2v_convert_guestfs.session import Blockers, Session

TOOLS, DESKTOP = "open-vm-tools", "open-vm-tools-desktop"


class Guest:
    """A guest with packages: what each requires by its name, and the programs that are there by their paths."""

    def __init__(self, requires: dict[str, set[str]], *programs: str, distro: str = "rhel", major: int = 9) -> None:
        self.requires = requires
        self.programs = {program: program for program in programs}
        self.old_rpm = self.broken_rpm = False
        self.ran: list[list[str]] = []
        self.changes: list[tuple[str, str, str]] = []
        report = SimpleNamespace(debug=lambda text: None, warning=self.unexpected, info=lambda text: None)
        inspection = SimpleNamespace(distro=distro, major_version=major, root="/dev/sda1")
        session = SimpleNamespace(handle=self, report=report, inspection=inspection, run=self.run)
        session.changed = lambda path, what, why: self.changes.append((path, what, why))
        self.session = cast("Session", session)
        self.files = GuestFiles(self.session)

    def unexpected(self, text: str) -> None:
        raise AssertionError(text)

    def glob_expand(self, pattern: str) -> list[str]:
        return []

    def exists(self, path: str) -> bool:
        return path in self.programs

    def realpath(self, path: str) -> str:
        return self.programs[path]

    def is_file(self, path: str, followsymlinks: bool = False) -> bool:
        return True

    def inspect_list_applications2(self, root: str) -> list[dict[str, str]]:
        assert root == "/dev/sda1"
        return [{"app2_name": name, "app2_version": "1", "app2_release": "1"} for name in self.requires]

    def run(self, argv: list[str], environment: dict[str, str] | None = None) -> str:
        self.ran.append(argv)
        assert argv[0] == "rpm"
        if self.broken_rpm or (self.old_rpm and "--nodigest" in argv):
            raise RuntimeError("rpm: no such option")
        if "-qa" in argv:
            return (
                "".join(f"{name}\t(none)\t1.0\t1\tnoarch\n" for name in sorted(self.requires)) + "gpg-pubkey\t\t\t\t\n"
            )
        assert argv[1] == "-e"
        self.erase([word for word in argv[2:] if not word.startswith("--")], test="--test" in argv)
        return ""

    def erase(self, names: list[str], *, test: bool = False) -> None:
        assert set(names) <= set(self.requires)
        needed = [
            f"\t{name} is needed by (installed) {other}-1.0-1.noarch"
            for other, required in self.requires.items()
            for name in names
            if name in required and other not in names
        ]
        if needed:
            raise RuntimeError("\n".join(["error: Failed dependencies:", *needed]))
        if not test:
            self.requires = {name: required for name, required in self.requires.items() if name not in names}

    def rpm(self, family: Family = Family.REDHAT) -> Rpm:
        return Rpm(self.session, self.files, family)


def test_rpm_alone_is_enough() -> None:
    guest = Guest({TOOLS: set(), DESKTOP: {TOOLS}, "vim": set()}, "/usr/bin/dnf")
    manager = guest.rpm()
    manager.remove([TOOLS, DESKTOP])
    assert manager.installed == set(guest.requires) == {"vim"}
    assert {argv[0] for argv in guest.ran} == {"rpm"}


def test_what_others_depend_on_is_needed() -> None:
    """autotest/tp-libvirt#2738: packages that depend on the tools must not go along with them."""
    guest = Guest({TOOLS: set(), DESKTOP: {TOOLS}, "dashboard": {TOOLS}, "vim": set()}, "/usr/bin/dnf")
    manager = guest.rpm()
    assert manager.needed([TOOLS, DESKTOP]) == {TOOLS: ("dashboard",)}
    with pytest.raises(RuntimeError, match="needed by"):
        manager.remove([TOOLS])
    assert manager.installed == {TOOLS, DESKTOP, "dashboard", "vim"} == set(guest.requires)
    assert {argv[0] for argv in guest.ran} == {"rpm"}


def test_what_a_needed_package_needs_is_needed_too() -> None:
    guest = Guest({TOOLS: {"kmod-vmware-tools"}, "kmod-vmware-tools": set(), DESKTOP: set(), "a": {TOOLS}, "b": {"a"}})
    manager = guest.rpm()
    needed = manager.needed([DESKTOP, "kmod-vmware-tools", TOOLS])
    assert needed == {TOOLS: ("a",), "kmod-vmware-tools": (TOOLS,)}


def test_packages_that_only_together_are_needed_stay() -> None:
    guest = Guest({TOOLS: set(), DESKTOP: set(), "a": set()})

    def erase(names: list[str], *, test: bool = False) -> None:
        if {TOOLS, DESKTOP} <= set(names):
            raise RuntimeError("\tlibvmtools.so.0()(64bit) is needed by (installed) a-1.0-1.noarch")

    guest.erase = erase  # type: ignore[method-assign]
    assert guest.rpm().needed([TOOLS, DESKTOP]) == {TOOLS: ("a",), DESKTOP: ("a",)}


def test_an_rpm_that_fails_for_another_reason_is_an_error() -> None:
    guest = Guest({TOOLS: set()})

    def erase(names: list[str], *, test: bool = False) -> None:
        raise RuntimeError("error: can't create transaction lock")

    guest.erase = erase  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="transaction lock"):
        guest.rpm().needed([TOOLS])


def test_a_part_that_is_gone_is_not_asked_for_again() -> None:
    guest = Guest({TOOLS: set(), DESKTOP: set()})
    manager = guest.rpm()
    guest.requires.pop(TOOLS)  # rpm has said that it failed, after it had removed one

    def erase(names: list[str], *, test: bool = False) -> None:
        if TOOLS in names:
            raise RuntimeError("error: package open-vm-tools is not installed")
        Guest.erase(guest, names, test=test)

    guest.erase = erase  # type: ignore[method-assign]
    manager.remove([TOOLS, DESKTOP])
    assert manager.installed == set()


def test_old_rpm() -> None:
    guest = Guest({TOOLS: set()})
    guest.old_rpm = True
    assert guest.rpm().installed == {TOOLS}


def test_where_rpm_does_not_run_libguestfs_reads_its_database() -> None:
    guest = Guest({TOOLS: set()})
    guest.broken_rpm = True
    manager = guest.rpm()
    assert manager.installed == {TOOLS}
    with pytest.raises(RuntimeError):
        manager.remove([TOOLS])


@pytest.mark.parametrize("distro", ["rhel", "fedora", "sles", "opensuse", "altlinux", "rocky"])
def test_no_packages_at_all_is_a_blocker(distro: str) -> None:
    blockers = Blockers()
    guest = Guest({}, distro=distro)
    assert find_package_manager(guest.session, guest.files, blockers) is None
    ((reason, remedy),) = blockers.reasons
    assert "rpm" in reason
    assert "rebuilddb" in remedy


@pytest.mark.parametrize(
    ("family", "major", "programs", "install"),
    [
        (Family.REDHAT, 9, {"dnf": "dnf-3", "yum": "dnf-3"}, "dnf -y "),
        (Family.REDHAT, 41, {"dnf": "dnf5", "dnf5": "dnf5"}, "dnf5 -y "),
        (Family.REDHAT, 7, {"yum": "yum"}, "yum -y --setopt"),
        (Family.REDHAT, 5, {"yum": "yum"}, "yum -y install"),
        (Family.SUSE, 15, {"zypper": "zypper", "dnf": "dnf-3"}, "zypper --non-interactive install --no-rec"),
        (Family.SUSE, 11, {"zypper": "zypper"}, "zypper --non-interactive install --auto"),
        (Family.SUSE, 15, {"dnf": "dnf-3"}, "dnf -y "),
        (Family.ALT, 10, {"apt-get": "apt-get"}, "apt-get -q -y install"),
    ],
)
def test_the_program_above_rpm(family: Family, major: int, programs: dict[str, str], install: str) -> None:
    guest = Guest({})
    guest.programs = {f"/usr/bin/{name}": f"/usr/bin/{real}" for name, real in programs.items()}
    found = find_frontend(guest.files, family, major)
    assert found.install.startswith(install)
    assert found.install.endswith(("install", "--no-recommends", "--auto-agree-with-licenses"))
    assert bool(found.refresh) is (family is Family.ALT)


def test_no_program_above_rpm() -> None:
    guest = Guest({TOOLS: set()})
    assert find_frontend(guest.files, Family.REDHAT, 9) is NO_FRONTEND
    assert (guest.rpm().install_command, guest.rpm().refresh_command) == ("", "")


def test_what_rpm_lists() -> None:
    listed = parse_packages(
        "kernel\t(none)\t5.14.0\t427.el9\tx86_64\nbind\t32\t9.16\t1\tx86_64\ngpg-pubkey\t(none)\t1\t1\t(none)\n"
        "-rf\t0\t1\t1\tnoarch\na b\t0\t1\t1\tnoarch\nwarning: something\n"
    )
    assert listed == (
        Package("kernel", 0, "5.14.0", "427.el9", "x86_64"),
        Package("bind", 32, "9.16", "1", "x86_64"),
    )


def test_what_libguestfs_lists() -> None:
    app = {"app2_name": "a", "app2_epoch": "3", "app2_version": "1", "app2_release": "2", "app2_arch": "noarch"}
    assert packages_of([app, {"app2_name": ""}]) == (Package("a", 3, "1", "2", "noarch"),)


def test_who_depends() -> None:
    listed = parse_packages(
        "a-b\t(none)\t1.0\t1\tx86_64\nc\t2\t1.0\t1\tnoarch\nd\t(none)\t1.0\t1\tnoarch\ne\t1\t1\t1\tnoarch\n"
    )
    text = (
        "error: Failed dependencies:\n\tlibx.so.1()(64bit) is needed by (installed) a-b-1.0-1.x86_64\n"
        "\tx >= 1 is needed by (installed) c-2:1.0-1.noarch\n\tx is needed by (installed) e-1-1\n"
        "\tx is needed by (installed) unknown-1-1\n"
    )
    assert dependents(text, listed) == {"a-b", "c", "e"}


@given(st.text(max_size=200))
def test_whatever_is_listed_no_name_is_an_option(text: str) -> None:
    for package in parse_packages(f"{text}\t0\t1\t1\tnoarch\n{text}"):
        assert not package.name.startswith("-")
        assert package.name.isprintable()
        assert " " not in package.name
