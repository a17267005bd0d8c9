# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that keep the conversion waiting: a program that never ends, an fstab that takes libguestfs minutes."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from described import served
from guests.host import appliance_environment, run
from phony import redhat
from phony.build import fill
from phony.recipe import Phony
from phony.tree import plant
from runs import Place
from v2v_convert_guestfs import time_limits
from v2v_convert_guestfs.plugin import GuestfsConvert
from v2v_core.api import ConversionError, ConvertRequest, ConvertSettings, DiskEndpoint, Guest, SourceDisk
from v2v_core.testing import FakeReporter

pytestmark = [pytest.mark.zoo, pytest.mark.timeout(900)]

_HANGS = "#!/usr/lib/phony/busybox sh\nexec /usr/lib/phony/busybox sleep 100000\n"
# As coreutils's, which nothing outlives.
_TIMEOUT = """\
#!/usr/lib/phony/busybox sh
limit=$1
shift
/usr/bin/env "$@" &
program=$!
(
    trap 'kill "$pause"; exit' TERM
    /usr/lib/phony/busybox sleep "$limit" &
    pause=$!
    wait "$pause" && kill "$program"
) </dev/null >/dev/null 2>&1 &
watcher=$!
wait "$program"
status=$?
kill "$watcher" 2>/dev/null
wait "$watcher"
exit "$status"
"""


@pytest.fixture
def request_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """Yield a function that converts a guest, and the reporter of its conversions."""
    for name, value in appliance_environment().items():
        monkeypatch.setenv(name, value)
    reporter = FakeReporter()

    def convert(recipe: Phony) -> None:
        root, raw, disk = place.root / "tree", place.root / "guest.img", place.root / "guest.qcow2"
        root.mkdir()
        plant(recipe, root)
        fill(raw, root, size=recipe.size)
        run(["qemu-img", "convert", "-O", "qcow2", raw, disk])
        socket = place.root / "nbd"
        with served(disk, socket):
            GuestfsConvert().v2v_convert(
                ConvertRequest(
                    directory=place.root,
                    temporary=place.root / "large",
                    guest=Guest(name="waits", disks=(SourceDisk(index=1),)),
                    disks=(DiskEndpoint(index=1, uri=f"nbd+unix:///disk?socket={socket}"),),
                    settings=ConvertSettings(),
                    report=reporter,
                )
            )

    yield SimpleNamespace(convert=convert, report=reporter)
    for left in (place.root / "large").iterdir():
        shutil.rmtree(left)


def without(recipe: Phony, command: str, executables: dict[str, str]) -> Phony:
    """Return a guest with other programs instead of a command that records its calls."""
    commands = tuple(path for path in recipe.commands if path != command)
    return dataclasses.replace(recipe, commands=commands, executables={**recipe.executables, **executables})


def test_a_program_that_never_ends_is_ended_and_the_conversion_goes_on(
    request_for: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_limits, "PROGRAM_LIMIT", 10)
    chkconfig = {"/sbin/chkconfig": _HANGS, "/etc/rc.d/init.d/kudzu": "#!/bin/sh\n", "/usr/bin/timeout": _TIMEOUT}
    recipe = without(redhat.RHEL6, "/sbin/chkconfig", chkconfig)
    started = time.monotonic()
    request_for.convert(recipe)
    print(f"{time.monotonic() - started:.0f} s", request_for.report.warnings)
    assert any("chkconfig of the guest was ended, it ran for 20 sec" in text for text in request_for.report.warnings)


def test_one_that_nothing_ends_takes_the_appliance_with_it(
    request_for: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_limits, "PROGRAM_LIMIT", 5)
    monkeypatch.setattr(time_limits, "GRACE", 5)
    recipe = without(redhat.RHEL6, "/bin/rpm", {"/bin/rpm": _HANGS})
    with pytest.raises(ConversionError, match=r"^rpm of the guest did not end within 15 seconds") as raised:
        request_for.convert(recipe)
    assert raised.value.hint == "run rpm in the guest at its hypervisor and see what it waits for"


def test_an_fstab_that_takes_libguestfs_minutes(request_for: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_limits, "INSPECTION_LIMIT", 30)
    lines = "".join(f"/dev/sdz{number} /mnt/{number} ext4 noauto 0 0\n" for number in range(20_000))
    files = {**redhat.RHEL6.files, "/etc/fstab": redhat.RHEL6.files["/etc/fstab"] + lines}
    with pytest.raises(ConversionError, match=r"^the inspection of the guest by libguestfs did not end") as raised:
        request_for.convert(dataclasses.replace(redhat.RHEL6, files=files))
    assert "/etc/fstab" in str(raised.value.hint)
