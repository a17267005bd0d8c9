# SPDX-License-Identifier: GPL-2.0-or-later
"""Scripts for the first boot: each runs once, in order, and leaves nothing but its log."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.linux import (
    firstboot,
    guest_agent,
)
from v2v_convert_guestfs.linux.packages.dpkg import Dpkg


def test_scripts_for_the_first_boot_with_openrc(tmp_path: Path, make_guest: Callable[..., Any]) -> None:
    guest = make_guest(tmp_path, "alpinelinux", 3)
    guest.directory("/etc/runlevels/default", "/etc/init.d", "/bin")
    guest.add("/sbin/openrc-run", b"\x7fELF")
    guest.add("/bin/busybox", b"\x7fELF")
    guest.add("/sbin/init", link="../bin/busybox")
    assert guest.first_boot_script("a")
    script = guest.read("/etc/init.d/v2v-firstboot")
    assert script.startswith(b"#!/sbin/openrc-run\n")
    subprocess.run(["sh", "-n", guest.root / "etc/init.d/v2v-firstboot"], check=True)
    assert str((guest.root / "etc/runlevels/default/v2v-firstboot").readlink()) == "/etc/init.d/v2v-firstboot"
    assert not [path for path in guest.everything() if "systemd/system/" in path or "/rc" in path]


def test_an_init_system_that_is_not_known_starts_nothing(tmp_path: Path, make_guest: Callable[..., Any]) -> None:
    guest = make_guest(tmp_path, "acme", 1)
    # The directory alone starts nothing.
    guest.directory("/etc/init.d")
    guest.add("/sbin/init", b"\x7fELF")
    before = guest.everything()
    assert not guest.first_boot_script("a")
    assert guest.everything() == before


def test_scripts_for_the_first_boot_with_systemd(guest: Any) -> None:
    guest.with_systemd()
    assert guest.first_boot_script("a/../b c", b"#!/bin/sh\necho a\n")
    assert guest.first_boot_script("x" * 100)
    assert guest.everything() >= {
        "/usr/local/sbin/v2v-firstboot",
        "/var/lib/v2v-firstboot/todo/0001-a----b-c",
        "/var/lib/v2v-firstboot/todo/0002-" + "x" * 60,
        "/etc/systemd/system/v2v-firstboot.timer",
        "/etc/systemd/system/timers.target.wants/v2v-firstboot.timer",
    }
    assert (guest.root / "etc/systemd/system/timers.target.wants/v2v-firstboot.timer").resolve().is_file()
    assert not [path for path in guest.everything() if "init.d" in path]


@pytest.mark.parametrize(
    ("distro", "directories", "link", "target"),
    [
        ("rhel", ("/etc/rc.d/init.d", "/etc/rc.d/rc3.d", "/etc/rc.d/rc5.d"), "/etc/rc.d/rc3.d", "../init.d/"),
        ("altlinux", ("/etc/rc.d/init.d", "/etc/rc.d/rc3.d"), "/etc/rc.d/rc3.d", "../init.d/"),
        ("circle", ("/etc/rc.d/init.d", "/etc/rc.d/rc3.d"), "/etc/rc.d/rc3.d", "../init.d/"),
        ("sles", ("/etc/init.d/rc3.d", "/etc/init.d/rc5.d"), "/etc/init.d/rc3.d", "../"),
        ("debian", ("/etc/init.d", "/etc/rc2.d", "/etc/rc3.d"), "/etc/rc2.d", "../init.d/"),
        ("linuxmint", ("/etc/init.d", "/etc/rc2.d"), "/etc/rc2.d", "../init.d/"),
    ],
)
def test_scripts_for_the_first_boot_without_systemd(
    tmp_path: Path, distro: str, directories: tuple[str, ...], link: str, target: str, make_guest: Callable[..., Any]
) -> None:
    guest = make_guest(tmp_path, distro, 6)
    guest.directory(*directories, "/etc/systemd/system")
    guest.add("/sbin/init", b"\x7fELF")
    assert guest.first_boot_script("a")
    made = guest.root / link.lstrip("/") / "S99v2v-firstboot"
    assert str(made.readlink()) == f"{target}v2v-firstboot"
    assert os.access(made.resolve(), os.X_OK)
    assert not [path for path in guest.everything() if "systemd/system/" in path]


def test_no_link_is_made_where_the_guest_sorts_its_init_scripts(guest: Any) -> None:
    guest.directory("/etc/init.d", "/etc/rc2.d", "/etc/rc3.d")
    guest.add("/sbin/init", b"\x7fELF")

    def update_rc(_words: list[str]) -> str:
        guest.add("/etc/rc2.d/S17v2v-firstboot", link="../init.d/v2v-firstboot")
        guest.add("/etc/rc3.d/S17v2v-firstboot", link="../init.d/v2v-firstboot")
        return ""

    guest.handle.programs["update-rc.d"] = update_rc
    assert guest.first_boot_script("a")
    assert not [path for path in guest.everything() if "/S99" in path]


def test_nothing_is_written_where_nothing_would_run_it(guest: Any) -> None:
    assert not guest.first_boot_script("a")
    assert guest.everything() == set()
    assert not guest.session.changes


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_the_scripts_run_once_in_order_and_everything_goes(
    guest: Any, tmp_path: Path, shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = shutil.which(shell)
    assert program is not None
    guest.with_systemd()
    root = str(tmp_path)
    # Its own copy knows no other root than this one, waits for no network, and finds no systemd.
    runner = firstboot.RUNNER.replace("/run/systemd", f"{root}/none").replace("-ge 60", "-ge 0")
    for place in ("/var/lib/", "/var/log/", "/usr/local/sbin/v2v", "/etc/"):
        runner = runner.replace(place, root + place)
    monkeypatch.setattr(firstboot, "RUNNER", runner)
    guest.directory("/var/log")
    scripts = [
        ("first", b"#!/bin/sh\necho one; exit 3\n"),
        ("kills", b"#!/bin/sh\nkill -9 $$\n"),
        ("broken", b"\x7fnothing to run\n"),
        ("sees", b"#!/bin/sh\nls %s/var/lib/v2v-firstboot/done\n" % os.fsencode(root)),
    ]
    for name, script in scripts:
        assert guest.first_boot_script(name, script)
    argv = [program, f"{root}/usr/local/sbin/v2v-firstboot"]
    done = subprocess.run(argv, capture_output=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == (b"", b"")
    log = guest.read("/var/log/v2v-firstboot.log").decode()
    places = [log.index(text) for text in ("0001-first starts", "one\n", "status 3", "0002-kills", "0003-broken")]
    assert places == sorted(places)
    assert log.count("\n0001-first\n0002-kills\n0003-broken\n0004-sees\n") == 1
    kept = {path for path in guest.everything() if path != "/sbin/init"}
    assert kept == {
        "/var/log/v2v-firstboot.log",
        *(f"/var/lib/v2v-firstboot/done/{number:04}-{name}" for number, (name, _) in enumerate(scripts, 1)),
    }


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize(
    "text",
    [
        firstboot.RUNNER,
        firstboot.INIT_SCRIPT,
        guest_agent.script(Dpkg.__new__(Dpkg)),
        guest_agent.first_boot_script(Dpkg.__new__(Dpkg)),
    ],
)
def test_what_the_guest_runs_is_shell(shell: str, text: str) -> None:
    subprocess.run([shell, "-n"], input=text.encode(), check=True)


@given(st.text())
def test_a_name_of_a_script_is_a_name_of_a_file(name: str) -> None:
    safe = firstboot.safe_name(name)
    assert len(safe) <= 60
    assert not set(safe) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
