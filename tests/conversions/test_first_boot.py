# SPDX-License-Identifier: GPL-2.0-or-later
"""Scripts for the first boot run once each, in their order, and what ran them removes itself.

The guest has no network: the script that installs the guest agent fails, and no unit does.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from described import convert_described
from guests.boot import BootResult, boot
from guests.build import disks
from guests.disk_images import overlay
from guests.look import mounted
from guests.recipes import RECIPES
from guests.sysvinit import sysvinit_guest
from runs import Place
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux import firstboot
from v2v_convert_guestfs.session import Session
from v2v_core.api import ConvertRequest, ConvertSettings, Inspection
from v2v_core.testing import FakeReporter

pytestmark = [pytest.mark.zoo, pytest.mark.timeout(3600)]

MARKER = "V2V-FIRST-BOOT"
#: Seconds: the scripts wait one minute for a network, the guest agent is tried after two; on a busy machine.
BOOT_TIMEOUT = 1200

_LOOK = "/usr/local/sbin/look"
_DEBIAN = Inspection(root="/dev/sda", os_type="linux", distro="debian", arch="x86_64", major_version=12)

# systemd ends what a unit has left running when the unit is done.
_BEGIN_TO_LOOK = f"""\
if [ -d /run/systemd/system ]; then
    systemd-run --no-block --unit=look {_LOOK}
else
    setsid {_LOOK} </dev/null >/dev/null 2>&1 &
fi
"""

#: Each leaves a trace that it ran. The second one fails, and the third one starts the script above.
_SCRIPTS = (
    ("one", "echo one >>/root/order\necho said by one\n"),
    ("two", "echo two >>/root/order\nexit 7\n"),
    ("three", f"echo three >>/root/order\n{_BEGIN_TO_LOOK}"),
)


def look(until: str) -> str:
    """Return the script that waits for the end of all first-boot scripts, and writes to the console what they left.

    :param until: a condition in shell syntax that it waits for as well.
    """
    return f"""\
#!/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin
until [ ! -e /usr/local/sbin/v2v-firstboot ] && {until}; do sleep 2; done
sleep 5
list() {{ (cd "$1" 2>/dev/null && echo * | tr ' ' ,) || echo gone; }}
failed=0 units=
if [ -d /run/systemd/system ]; then
    failed=$(systemctl --failed --no-legend --plain | wc -l)
    units=$(systemctl list-unit-files --no-legend --plain 'v2v-*' | cut -d' ' -f1 | paste -sd,)
fi
said=$(grep -c 'said by one' /var/log/v2v-firstboot.log)
status=$(sed -n 's/.*0002-two has ended with the status //p' /var/log/v2v-firstboot.log | paste -sd,)
starts=$(find /etc -name '*v2v-firstboot*' | paste -sd,)
for again in 1 2 3; do
    printf '\\n{MARKER} order=%s done=%s todo=%s said=%s status=%s starts=%s failed=%s units=%s end\\n' \\
        "$(paste -sd, /root/order)" "$(list /var/lib/v2v-firstboot/done)" "$(list /var/lib/v2v-firstboot/todo)" \\
        "$said" "$status" "$starts" "$failed" "$units" >/dev/ttyS0
    sleep 3
done
"""


def add_scripts(handle: Any, temporary: Path, until: str) -> None:
    """Leave the scripts in a mounted guest."""
    request = SimpleNamespace(report=FakeReporter(), temporary=temporary, settings=ConvertSettings())
    session = Session(cast("ConvertRequest", request), handle, found=_DEBIAN)
    files = GuestFiles(session)
    handle.write(_LOOK, look(until).encode())
    handle.chmod(0o755, _LOOK)
    for name, text in _SCRIPTS:
        assert firstboot.add_script(session, files, name, f"#!/bin/sh\n{text}".encode(), why="for the test")


def see_that_they_ran(booted: BootResult) -> dict[str, str]:
    """Check what is true of every guest, and return all that the script wrote to the console."""
    assert booted.reached, booted.tail()
    lines = re.findall(rf"^{MARKER} (.*) end$", booted.log, re.MULTILINE)
    print(lines[-1], f"{booted.seconds:.0f} s")
    told = dict(word.split("=", 1) for word in lines[-1].split())
    assert told["order"] == "one,two,three"
    assert told["done"] == "0001-one,0002-two,0003-three"
    assert (told["todo"], told["said"], told["status"], told["starts"]) == ("gone", "1", "7", "")
    assert told["failed"] == "0", booted.tail()
    return told


def test_with_systemd(place: Place) -> None:
    (source,) = disks(RECIPES["debian12-vmware"])
    disk = overlay(source, place.root / "sda.qcow2")
    convert_described(place, [disk], mac="52:54:00:66:62:01")
    with mounted(disk, "/dev/sda1") as handle:
        assert handle.is_file("/etc/systemd/system/v2v-guest-agent.timer")
        # The guest agent is tried, and that has ended.
        over = (
            '[ -e /var/lib/v2v-guest-agent.count ] && [ "$(systemctl is-active v2v-guest-agent.service)" = inactive ]'
        )
        add_scripts(handle, place.root, over)
    booted = boot([disk], until=rf"{MARKER} .* end\n", timeout=BOOT_TIMEOUT)
    told = see_that_they_ran(booted)
    # It is tried again later.
    assert sorted(told["units"].split(",")) == [
        "v2v-guest-agent.service",
        "v2v-guest-agent.timer",
        "v2v-guest-up.service",
    ]


def test_with_sysvinit(place: Place) -> None:
    guest = sysvinit_guest()
    disk = overlay(guest / "disk.img", place.root / "disk.qcow2")
    with mounted(disk, "/dev/sda") as handle:
        add_scripts(handle, place.root, "true")
    booted = boot(
        [disk],
        until=rf"{MARKER} .* end\n",
        timeout=BOOT_TIMEOUT,
        kernel=[guest / "vmlinuz", guest / "initrd.img", "root=/dev/vda console=ttyS0"],
    )
    see_that_they_ran(booted)
    told = place.run("v2v", "report", "--disk", disk, "--disk-format", "qcow2", "--json")
    assert told.returncode == 6, "one of the scripts has failed"
    record = json.loads(told.stdout)
    assert (record["finished"], record["succeeded"]) == (True, False)
    assert [(one["name"], one["state"], one["exit_code"]) for one in record["scripts"]] == [
        *(("0001-one", "done", 0), ("0002-two", "failed", 7), ("0003-three", "done", 0)),
    ]
