# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole conversion from a vCenter over https, whose sessions end in the middle of it; the result boots."""

from __future__ import annotations

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
