# SPDX-License-Identifier: GPL-2.0-or-later
"""Drivers that the guest's Windows would not start are told before anything is changed, each with a remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from v2v_convert_guestfs.session import Blockers
from v2v_convert_guestfs.windows.drivers import examine
from v2v_convert_guestfs.windows.system import Product
from v2v_core.api import Guest
from virtio_win_catalogue import Signer, catalogue
from virtio_win_tree import DRIVER, driver_files, make_tree, program
from windows_guest import SimulatedGuest, windows_guest

_SOFTWARE: dict[str, Any] = {r"Microsoft\Windows\CurrentVersion": {}}
_SECURE = Guest(name="g", secure_boot=True)
_SEVEN: dict[str, Any] = {"version": (6, 1), "build": 7601}
_NARROW: dict[str, Any] = {"arch": "i386"}


def _examined(guest: SimulatedGuest, tree: Path) -> list[str]:
    """Return the blockers as ``reason - remedy``."""
    blockers = Blockers()
    examine(guest, blockers, environment={"VIRTIO_WIN": str(tree)})
    assert (guest.registry.edits, guest.files.written, guest.first_boot.scripts) == ([], {}, [])
    assert all(reason and remedy and "\n" not in reason + remedy for reason, remedy in blockers.reasons)
    return [f"{reason} - {remedy}" for reason, remedy in blockers.reasons]


def _tree(
    place: Path,
    *,
    system: str = "w10",
    machine: str = "amd64",
    changed: Callable[[dict[str, bytes]], None] = lambda _files: None,
    signer: Signer | None = Signer.MICROSOFT,
    name: str = "viostor",
    **more: Any,
) -> Path:
    """Write virtio-win for one Windows, with one driver changed and signed anew."""
    make_tree(place, drivers=["viostor", "NetKVM", "viorng"], systems=[system], signer=Signer.MICROSOFT)
    driver = DRIVER[name]
    files = driver_files(driver, system, machine, signer=None)
    changed(files)
    if signer is not None:
        signed = {key: data for key, data in files.items() if not key.endswith(".pdb")}
        files[f"{name}.cat"] = catalogue(signed, signer, **{"digest": "sha256", **more})
    for directory in (f"{driver.directory}/{system}/{machine}", f"{ {'x86': 'i386'}.get(machine, machine) }/{system}"):
        for path in (place / directory).glob(f"{name}.*"):
            path.unlink()
        for key, data in files.items() if (place / directory).is_dir() else ():
            (place / directory / key).write_bytes(data)
    return place


def _other_machine(files: dict[str, bytes]) -> None:
    files["viostor.sys"] = program("x86", "viostor", (10, 0))


def _cut(files: dict[str, bytes]) -> None:
    files["viostor.sys"] = files["viostor.sys"][:-100]


def _later(files: dict[str, bytes]) -> None:
    files["viostor.sys"] = program("amd64", "viostor", (10, 1))


def _garbage(files: dict[str, bytes]) -> None:
    files["viostor.sys"] = b"\0" * 5000


def _gone(files: dict[str, bytes]) -> None:
    del files["viostor.sys"]


def _application(files: dict[str, bytes]) -> None:
    data = bytearray(files["viostor.sys"])
    head = int.from_bytes(data[0x3C:0x40], "little")
    data[head + 24 + 68] = 3
    files["viostor.sys"] = bytes(data)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (_other_machine, "is a driver for 32-bit x86, the guest needs one for 64-bit x86"),
        (_cut, "is cut off"),
        (_later, "is for Windows NT 10.1 or later, the guest has 10.0"),
        (_garbage, "is no Windows driver, or a damaged one"),
        (_gone, "has viostor.inf, but not its driver viostor.sys"),
        (_application, "is a program, not a driver"),
    ],
)
def test_a_driver_of_disks_that_cannot_run_is_a_blocker(
    tmp_path: Path, changed: Callable[[dict[str, bytes]], None], said: str
) -> None:
    (blocker,) = _examined(windows_guest(software=_SOFTWARE), _tree(tmp_path, changed=changed))
    assert "viostor/w10/amd64" in blocker
    assert said in blocker
    assert "VIRTIO_WIN" in blocker


def test_one_of_the_network_is_a_blocker_and_one_of_anything_else_a_warning(tmp_path: Path) -> None:
    for name in ("netkvm", "viorng"):
        wrong = program("x86", name, (10, 0))
        tree = _tree(tmp_path / name, name=name, changed=lambda files, n=name, w=wrong: files.update({f"{n}.sys": w}))  # type: ignore[misc]
        guest = windows_guest(software=_SOFTWARE)
        blockers = Blockers()
        plan = examine(guest, blockers, environment={"VIRTIO_WIN": str(tree)})
        if name == "netkvm":
            ((reason, _),) = blockers.reasons
            assert "NetKVM/w10/amd64/netkvm.sys in virtio-win is a driver for 32-bit x86" in reason
        else:
            assert blockers.reasons == []
            (warning,) = guest.report.warnings
            assert "viorng.sys in virtio-win is a driver for 32-bit x86" in warning
            assert "the guest does not get this driver" in warning
            assert (plan.virtio_rng, "viorng.inf" in plan.infs) == (False, False)


@pytest.mark.parametrize("secure", [False, True])
def test_a_driver_without_signature_is_a_blocker_for_64_bit_windows(tmp_path: Path, secure: bool) -> None:
    guest = windows_guest(software=_SOFTWARE, guest=Guest(name="g", secure_boot=secure))
    (blocker,) = _examined(guest, _tree(tmp_path, signer=None))
    assert "viostor.sys in virtio-win is not signed: it has no catalogue" in blocker
    assert "this Windows starts no such driver" in blocker


@pytest.mark.parametrize(
    ("options", "facts", "machine", "system"),
    [
        (" NOEXECUTE=OPTIN  TESTSIGNING", {}, "amd64", "w10"),
        ("", _NARROW, "x86", "w10"),
        ("", {"version": (5, 2), "build": 3790, "product": Product.SERVER}, "amd64", "2k3"),
    ],
)
def test_windows_that_starts_any_driver_gets_a_warning_instead(
    tmp_path: Path, options: str, facts: dict[str, Any], machine: str, system: str
) -> None:
    registry = {r"ControlSet001\Control": {"SystemStartOptions": options}}
    guest = windows_guest(system=registry, software=_SOFTWARE, **facts)
    assert _examined(guest, _tree(tmp_path, signer=None, machine=machine, system=system)) == []
    (warning,) = guest.report.warnings
    assert "is not signed" in warning


def test_a_test_signature_is_a_blocker_with_secure_boot_and_a_warning_without(tmp_path: Path) -> None:
    tree = _tree(tmp_path, signer=Signer.TEST)
    guest = windows_guest(software=_SOFTWARE, guest=_SECURE)
    (blocker,) = _examined(guest, tree)
    assert "signed by a test certificate (WDKTestCert builder,132654)" in blocker
    assert "turn secure boot off" in blocker
    guest = windows_guest(software=_SOFTWARE)
    assert _examined(guest, tree) == []
    (warning,) = guest.report.warnings
    assert "0xc0000428" in warning
    guest = windows_guest(system={r"ControlSet001\Control": {"SystemStartOptions": " TESTSIGNING"}}, software=_SOFTWARE)
    assert _examined(guest, tree) == []
    assert guest.report.warnings == []


@pytest.mark.parametrize(
    ("guest", "issued", "build", "warned"),
    [
        (_SECURE, 2021, 19045, True),
        (_SECURE, 2014, 19045, False),
        (_SECURE, 2021, 10586, False),
        (Guest(name="g"), 2021, 19045, False),
    ],
)
def test_a_vendors_signature_may_not_do_with_secure_boot(
    tmp_path: Path, guest: Guest, issued: int, build: int, warned: bool
) -> None:
    simulated = windows_guest(software=_SOFTWARE, guest=guest, build=build)
    assert _examined(simulated, _tree(tmp_path, signer=Signer.VENDOR, issued=issued)) == []
    assert len(simulated.report.warnings) == int(warned)
    assert not warned or "Red Hat, Inc." in simulated.report.warnings[0]


def test_a_driver_that_its_catalogue_does_not_vouch_for_is_a_blocker(tmp_path: Path) -> None:
    tree = _tree(tmp_path)
    for path in (tree / "viostor/w10/amd64/viostor.sys", tree / "amd64/w10/viostor.sys"):
        path.write_bytes(path.read_bytes().replace(b"MADE-FOR", b"made-for"))
    (blocker,) = _examined(windows_guest(software=_SOFTWARE), tree)
    assert "viostor.sys in virtio-win is not the file that its catalogue viostor.cat vouches for" in blocker


def test_an_inf_that_its_catalogue_does_not_vouch_for_is_a_warning(tmp_path: Path) -> None:
    tree = _tree(tmp_path)
    inf = tree / "viostor/w10/amd64/viostor.inf"
    inf.write_bytes(inf.read_bytes().replace(b"\r\n", b"\n"))
    guest = windows_guest(software=_SOFTWARE)
    assert _examined(guest, tree) == []
    (warning,) = guest.report.warnings
    assert "viostor.inf in virtio-win is not the file that its catalogue viostor.cat vouches for" in warning


def test_a_damaged_catalogue_is_a_blocker(tmp_path: Path) -> None:
    tree = _tree(tmp_path)
    path = tree / "viostor/w10/amd64/viostor.cat"
    path.write_bytes(path.read_bytes()[:500])
    (blocker,) = _examined(windows_guest(software=_SOFTWARE), tree)
    assert "viostor.cat, the catalogue of viostor/w10/amd64/viostor.sys in virtio-win, is damaged" in blocker


@pytest.mark.parametrize(
    ("update", "digest", "facts", "warned"),
    [
        (None, "sha256", {}, True),
        ("Package_for_KB4474419~31bf3856ad364e35~amd64~~6.1.3.2", "sha256", {}, False),
        ("Package_1_for_KB3033929~31bf3856ad364e35~amd64~~6.1.1.1", "sha256", {}, False),
        ("Package_for_KB1234567~31bf3856ad364e35~amd64~~6.1.3.2", "sha256", {}, True),
        (None, "sha1", {}, False),
        (None, "sha256", _NARROW, False),
    ],
)
def test_windows_7_needs_an_update_for_sha_2(
    tmp_path: Path, update: str | None, digest: str, facts: dict[str, Any], warned: bool
) -> None:
    packages = {} if update is None else {update: {}}
    software = {
        r"Microsoft\Windows\CurrentVersion": {},
        r"Microsoft\Windows\CurrentVersion\Component Based Servicing\Packages": packages,
    }
    guest = windows_guest(software=software, **_SEVEN, **facts)
    machine = "x86" if facts else "amd64"
    assert _examined(guest, _tree(tmp_path, system="w7", machine=machine, digest=digest)) == []
    assert len(guest.report.warnings) == int(warned)
    assert not warned or "KB4474419" in guest.report.warnings[0]


def test_an_inf_for_another_windows_in_the_right_directory_gives_no_such_driver(tmp_path: Path) -> None:
    tree = _tree(tmp_path)
    for path in (tree / "viostor/w10/amd64/viostor.inf", tree / "amd64/w10/viostor.inf"):
        path.write_bytes(path.read_bytes().replace(b"NTamd64.10.0", b"NTarm64.10.0"))
    guest = windows_guest(
        system={r"ControlSet001\Services\storahci": {"Start": 0}},
        software=_SOFTWARE,
        files={"/Windows/System32/drivers/storahci.sys": program("amd64", "storahci", (10, 0))},
    )
    assert _examined(guest, tree) == []
    (warning,) = guest.report.warnings
    assert "SATA disks" in warning
    assert "viostor.inf in" in warning
    assert "is for another Windows or another machine" in warning
