# SPDX-License-Identifier: GPL-2.0-or-later
"""The reader of INFs: sections, strings, decorations, encodings, and content that is no INF."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.windows.virtio_win.inf import LONGEST, Inf, Target, read_inf
from v2v_core.testing import bounded
from virtio_win_tree import DRIVER, inf_of

_SEVEN = Target(arch="x86_64", version=(6, 1), build=7601)
_TEN = Target(arch="x86_64", version=(10, 0), build=19045)


def test_the_driver_of_disks_is_read_whole() -> None:
    inf = read_inf(inf_of(DRIVER["viostor"], "w10", "amd64"))
    assert (inf.class_name, inf.class_guid) == ("SCSIAdapter", "{4D36E97B-E325-11CE-BFC1-08002BE10318}")
    assert inf.provider == "Tests of v2v, not Red Hat, Inc."
    assert inf.driver_version == ("09/14/2024", "100.95.104.26200")
    assert inf.catalogues("x86_64") == ("viostor.cat",)
    assert inf.files() == ("viostor.sys",)
    installation = inf.installation(_TEN)
    assert installation is not None
    assert installation.ids == (
        r"PCI\VEN_1AF4&DEV_1001&SUBSYS_00021AF4&REV_00",
        r"PCI\VEN_1AF4&DEV_1001",
        r"PCI\VEN_1AF4&DEV_1042&SUBSYS_11001AF4&REV_01",
        r"PCI\VEN_1AF4&DEV_1042",
    )
    (service,) = installation.services
    assert (service.name, service.start, service.type, service.error_control) == ("viostor", 0, 1, 1)
    assert (service.group, service.binary) == ("SCSI Miniport", "viostor.sys")
    assert [line.fields for line in service.registry] == [
        ("HKR", r"Parameters\PnpInterface", "5", "0x00010001", "0x00000001"),
        ("HKR", "Parameters", "BusType", "0x00010001", "0x0000000A"),
    ]


@pytest.mark.parametrize(
    ("target", "fits"),
    [
        (_TEN, True),
        (Target(arch="x86_64", version=(6, 3), build=9600), False),
        (Target(arch="i386", version=(10, 0), build=19045), False),
        (Target(arch="aarch64", version=(10, 0), build=22621), False),
    ],
)
def test_an_inf_for_another_windows_or_machine_installs_nothing(target: Target, fits: bool) -> None:
    assert (read_inf(inf_of(DRIVER["viostor"], "w10", "amd64")).installation(target) is not None) is fits


_CHOICE = """
[Manufacturer]
%V% = Models, NTamd64, NTamd64.6.1, NTamd64.6.1.3, NTamd64.10.0...17763, NTx86.6.0
[Models]
D = plain, PCI\\VEN_1
[Models.NTamd64]
D = any, PCI\\VEN_2
[Models.NTamd64.6.1]
D = seven, PCI\\VEN_3
[Models.NTamd64.6.1.3]
D = server, PCI\\VEN_4
[Models.NTamd64.10.0...17763]
D = ten, PCI\\VEN_5
[Models.NTx86.6.0]
D = vista, PCI\\VEN_6
"""


@pytest.mark.parametrize(
    ("target", "section"),
    [
        (_TEN, "ten"),
        (Target(arch="x86_64", version=(10, 0), build=14393), "seven"),
        (Target(arch="x86_64", version=(10, 0), build=14393, product=3), "server"),
        (_SEVEN, "seven"),
        (Target(arch="x86_64", version=(6, 0), build=6002), "any"),
        (Target(arch="i386", version=(6, 1), build=7601), "vista"),
        (Target(arch="i386", version=(5, 1), build=2600), "plain"),
    ],
)
def test_the_models_of_the_newest_windows_that_the_guest_is_not_older_than_count(target: Target, section: str) -> None:
    installation = read_inf(_CHOICE.encode()).installation(target)
    assert installation is not None
    assert [model.section for model in installation.models] == [section]


def test_sections_of_an_architecture_come_before_the_general_ones() -> None:
    text = """
[Manufacturer]
%V% = M, NTamd64
[M.NTamd64]
%D% = Inst, PCI\\VEN_1, PCI\\VEN_2
[Inst.Services]
AddService = wrong, 2, Wrong
[Inst.NTamd64.Services]
AddService = %S%, 0x2, \\
    Right ; continued
[Right]
ServiceBinary = %12%\\a.sys
[Strings]
S = "named; with a semicolon"
"""
    installation = read_inf(text.encode()).installation(_TEN)
    assert installation is not None
    assert [(s.name, s.binary) for s in installation.services] == [("named; with a semicolon", "a.sys")]
    assert installation.models[0].ids == (r"PCI\VEN_1", r"PCI\VEN_2")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("ending", ["\r\n", "\n", "\r"])
def test_every_encoding_and_end_of_line_is_read(encoding: str, ending: str) -> None:
    text = (
        '[VERSION]\nProvider = %p%\nCatalogFile.NTamd64 = "A.cat"\nCatalogFile = b.cat\n[strings]\nP = "Gerät ""x"""\n'
    )
    inf = read_inf(text.replace("\n", ending).encode(encoding))
    assert inf.provider == 'Gerät "x"'
    assert inf.catalogues("x86_64") == ("a.cat", "b.cat")
    assert inf.catalogues("i386") == ("b.cat",)


def test_unknown_strings_and_percent_signs_stay() -> None:
    inf = read_inf(b"[Version]\nClass=%none%\nProvider=100%%\n")
    assert (inf.class_name, inf.provider) == ("%none%", "100%")


def test_what_is_too_long_is_no_inf() -> None:
    assert read_inf(b"[Version]\nClass=a\n" + bytes(LONGEST)) == Inf()


def test_an_inf_as_long_as_may_be_is_read_in_time() -> None:
    with bounded(seconds=10):
        for line in (b"a\\\n", b'a = "b', b"[x]\n", b"%a% = b, c, d, e\n", b"\n", b'",' * 40 + b"\n", b"a,"):
            content = b"[Version]\nProvider = %%%%a%\n" + line * ((LONGEST - 100) // len(line))
            inf = read_inf(content)
            inf.installation(_TEN)


@given(st.binary(max_size=2000) | st.text(alphabet='[]=,%";\\\n\r aNT.x864', max_size=300).map(str.encode))
def test_any_content_reads_as_an_inf(data: bytes) -> None:
    with bounded():
        inf = read_inf(data)
        assert inf.files() == tuple(dict.fromkeys(inf.files()))
        inf.installation(_TEN)


@given(st.data())
def test_a_damaged_inf_reads_as_an_inf(data: st.DataObject) -> None:
    content = bytearray(inf_of(DRIVER["viostor"], "w7", "amd64"))
    for _ in range(data.draw(st.integers(1, 10))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with bounded():
        installation = read_inf(bytes(content)).installation(_SEVEN)
    assert installation is None or installation.models
