# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole conversions from a vCenter: over https, whose sessions end in the middle of it, and by an export; they boot."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path
from xml.etree import ElementTree

import pytest

from guests.boot import boot
from runs import Place, said
from v2v_core.testing import watch_for_secret
from vcenter_simulator import PASSWORD, USER, running_vcenter

pytestmark = pytest.mark.slow


def test_from_vcenter(place: Place, unchanged_vmware_guest: Path) -> None:
    out = place.root / "out"
    out.mkdir()
    with running_vcenter(place.root / "vcenter") as vcenter:
        vcenter.add_vm("from vcenter", [unchanged_vmware_guest])
        uri = f"vpx://{USER.replace('@', '%40')}@localhost:{vcenter.port}/DC0/DC0_C0"
        stopped = threading.Event()

        def expire_sessions() -> None:
            while not stopped.wait(10):
                vcenter.control("expire")

        expiring = threading.Thread(target=expire_sessions)
        expiring.start()
        try:
            with watch_for_secret(PASSWORD, seconds=0.5) as shown:
                done = place.run(
                    *("virt-v2v", "-i", "libvirt", "-ic", uri, "-ip", vcenter.password_file),
                    *("-io", f"ca-file={vcenter.certificate}", "from vcenter"),
                    *("-o", "local", "-os", out, "-of", "qcow2"),
                )
        finally:
            stopped.set()
            expiring.join()
        assert done.returncode == 0, said(done)
        assert int(vcenter.control("count")) > 2, "the session has not expired on the way"
    assert shown == set()
    assert PASSWORD not in said(done)
    for log in place.root.rglob("*.log"):
        assert PASSWORD not in log.read_text(errors="replace")
    domain = ElementTree.parse(out / "from vcenter.xml").getroot()  # noqa: S314 - our own output
    (mac,) = domain.iterfind("devices/interface/mac")
    assert mac.get("address") == "00:50:56:01:02:03"
    disk = place.root / "disk.qcow2"
    disk.symlink_to(out / "from vcenter-sda")
    booted = boot([disk])
    assert booted.reached, booted.tail()
    assert booted.facts["failed"] == "0", booted.tail()


@pytest.mark.zoo
def test_an_export(place: Place, unchanged_vmware_guest: Path) -> None:
    """The disk is downloaded as a stream, which is cut once; afterwards neither lease nor session is left."""
    out = place.root / "out"
    out.mkdir()
    with running_vcenter(place.root / "vcenter") as vcenter:
        vcenter.add_vm("exported", [unchanged_vmware_guest])
        argv = ["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", "-W"]
        subprocess.run([*argv, unchanged_vmware_guest, vcenter.stream_of("exported", 0)], check=True)
        vcenter.control("export?cut=20000000&times=1")
        before = vcenter.control("sessions")
        with watch_for_secret(PASSWORD, seconds=0.5) as shown:
            done = place.run(
                *("virt-v2v", "-i", "vcenter", *vcenter.options, "-it", "export", "exported"),
                *("-o", "local", "-os", out, "-of", "qcow2"),
            )
        assert done.returncode == 0, said(done)
        assert "it begins again" in said(done)
        ((_, state, *_),) = (line.split(" ") for line in vcenter.control("leases").splitlines())
        assert state == "done"
        assert vcenter.control("sessions") == before
    assert shown == set()
    assert PASSWORD not in said(done)
    disk = place.root / "disk.qcow2"
    disk.symlink_to(out / "exported-sda")
    booted = boot([disk])
    assert booted.reached, booted.tail()
    assert booted.facts["failed"] == "0", booted.tail()
