# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest agent is installed by a timer or at the first boot, if the guest is able to install packages."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from v2v_convert_guestfs.linux import (
    guest_agent,
)
from v2v_convert_guestfs.linux.packages.dpkg import Dpkg


def test_the_agent_comes_with_a_timer_or_at_first_boot(tmp_path: Path, make_guest: Callable[..., Any]) -> None:
    new, old = make_guest(tmp_path / "new"), make_guest(tmp_path / "old", "rhel", 6)
    new.with_systemd()
    old.directory("/etc/rc.d/init.d", "/etc/rc.d/rc3.d")
    for guest in (new, old):
        guest_agent.install_at_first_boot(guest.session, guest.files, Dpkg(guest.session, guest.files))
    assert "/etc/systemd/system/v2v-guest-agent.timer" in new.everything()
    script = old.read("/var/lib/v2v-firstboot/todo/0001-v2v-guest-agent")
    assert b"install qemu-guest-agent" in script
    assert b"qemu-ga" in script
    bare = make_guest(tmp_path / "bare")
    guest_agent.install_at_first_boot(bare.session, bare.files, Dpkg(bare.session, bare.files))
    assert len(bare.report.warnings) == 1
    assert bare.everything() == set()


def test_no_agent_where_nothing_installs_packages(tmp_path: Path, make_guest: Callable[..., Any]) -> None:
    guest = make_guest(tmp_path)
    guest.with_systemd()
    packages = Dpkg(guest.session, guest.files)
    packages.install_command = ""
    before = guest.everything()
    guest_agent.install_at_first_boot(guest.session, guest.files, packages)
    assert len(guest.report.warnings) == 1
    assert guest.everything() == before


def test_the_first_boot_script_is_a_shell_script() -> None:
    shell = shutil.which("dash") or shutil.which("sh")
    assert shell is not None
    text = guest_agent.script(Dpkg)
    subprocess.run([shell, "-n"], input=text.encode(), check=True)
    assert "qemu-guest-agent" in text
