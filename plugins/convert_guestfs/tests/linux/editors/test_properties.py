# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that name disks, made from pieces of which it is known what becomes of each: nothing else may change.

The expected file is put together from the pieces, not by looking for names in it as the editors do.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.linux import console, display, modprobe
from v2v_convert_guestfs.linux.editors import debconf, devices_in, shell
from v2v_core.api import SourceDisk

NAMES = DeviceNames.of([SourceDisk(index=1), SourceDisk(index=2)], "vd")
Editor = Callable[[bytes, DeviceNames], bytes]
EDITORS: tuple[Editor, ...] = (
    devices_in.fstab,
    devices_in.crypttab,
    devices_in.grub_defaults,
    devices_in.resume,
    devices_in.resume_device,
    devices_in.kernel_lines,
    devices_in.device_map,
    devices_in.mount_unit,
    debconf.rename_disks,
)
#: A piece of a file before and after.
Piece = tuple[bytes, bytes]

RENAMED: list[Piece] = [
    (b"/dev/sda", b"/dev/vda"),
    (b"/dev/sda1", b"/dev/vda1"),
    (b"/dev/sdb15", b"/dev/vdb15"),
    (b"/dev/hda2", b"/dev/vda2"),
    (b"/dev/nvme0n1p3", b"/dev/vda3"),
    (b"/dev/xvdb", b"/dev/vdb"),
]
LIKE_DISKS = (
    *(b"/dev/sdc1", b"/dev/sda1234", b"/dev/sda-x", b"/dev/sda.x", b"/dev/sdA1", b"/dev/sd", b"/dev/sda1x"),
    *(b"/mnt/dev/sda1", b"x/dev/sda1", b"dev/sda1", b"/dev/disk/by-path/x-sda1", b"/dev/mapper/sda1", b"/dev/sda/1"),
    *(b"/dev/nvme0n1p", b"/dev/vda1", b"/dev/sr0", b"/dev/md0", b"sda1", b"UUID=sda1", b"LABEL=/dev-sda"),
)
DISKS = st.sampled_from(RENAMED)
WORDS = st.one_of(
    st.binary(min_size=1, max_size=8).filter(lambda data: b"/dev/" not in data),
    st.sampled_from(LIKE_DISKS),
).filter(lambda data: not set(data) & set(b" \t\n\r\v\f#\"'\\;&|"))
BLANKS = st.text(" \t", min_size=1, max_size=3).map(str.encode)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\n \t\n"])


def same(data: bytes) -> Piece:
    return data, data


def join(pieces: list[Piece], between: bytes = b"") -> Piece:
    return between.join(old for old, _ in pieces), between.join(new for _, new in pieces)


def either(renamed: bool) -> st.SearchStrategy[Piece]:
    """A field; a disk in it is renamed only where the editor is to look."""
    disks = DISKS if renamed else DISKS.map(lambda piece: same(piece[0]))
    return st.one_of(disks, WORDS.map(same))


@st.composite
def table(draw: st.DrawFn, columns: frozenset[int]) -> Piece:
    """A file of fields divided by blanks, whose devices are in these columns."""
    lines: list[Piece] = []
    for _ in range(draw(st.integers(0, 5))):
        kind = draw(st.sampled_from(["entry", "entry", "comment", "empty"]))
        line: list[Piece] = [same(draw(st.sampled_from([b"", b" ", b"\t "])))]
        if kind == "comment":
            line.append(same(b"#" + draw(st.sampled_from([b"/dev/sda1", b" /dev/sda1 / ext4", b"\xff\xfe\x00"]))))
        elif kind == "entry":
            for column in range(draw(st.integers(1, 6))):
                line += [same(draw(BLANKS))] if column else []
                if column in columns and draw(st.booleans()):
                    options = draw(st.lists(either(True), min_size=1, max_size=3))
                    named = [join([same(b"logdev="), option]) for option in options]
                    line.append(join(named, b","))
                else:
                    line.append(draw(either(column in columns)))
        lines.append(join([*line, same(draw(ENDS))]))
    if lines and draw(st.booleans()):
        # the last line need not end
        old, new = lines.pop()
        lines.append((old.rstrip(b"\r\n \t"), new.rstrip(b"\r\n \t")))
    return join(lines)


@given(table(frozenset({0, 3})))
def test_fstab(piece: Piece) -> None:
    assert devices_in.fstab(piece[0], NAMES) == piece[1]


@given(table(frozenset({1, 2, 3})))
def test_crypttab(piece: Piece) -> None:
    assert devices_in.crypttab(piece[0], NAMES) == piece[1]


@st.composite
def assignments(draw: st.DrawFn, names: tuple[bytes, ...], others: tuple[bytes, ...]) -> Piece:
    """A file of shell assignments; devices are in the values of some variables."""
    lines: list[Piece] = []
    for _ in range(draw(st.integers(0, 5))):
        renamed = draw(st.booleans())
        name = draw(st.sampled_from(names if renamed else others))
        values = [
            join([same(draw(st.sampled_from([b"", b"root=", b"resume=", b"cryptdevice="]))), draw(either(renamed))])
            for _ in range(draw(st.integers(0, 3)))
        ]
        quote = draw(st.sampled_from([b'"', b"'", b""]))
        between = draw(st.sampled_from([b" ", b"\t", b" \\\n "])) if quote == b'"' else b" "
        value = join(values if quote else values[:1], between)
        line = [same(draw(st.sampled_from([b"", b"  ", b"export "])) + name + b"=" + quote), value, same(quote)]
        comment = draw(st.sampled_from([b"", b" # /dev/sda1"]))
        lines.append(join([*line, same(comment + b"\n")]))
        if draw(st.booleans()):
            lines.append(same(draw(st.sampled_from([b"# GRUB_CMDLINE_LINUX=/dev/sda1\n", b"\n", b"echo /dev/sda1\n"]))))
    return join(lines)


@given(
    assignments(
        (b"GRUB_CMDLINE_LINUX", b"GRUB_CMDLINE_LINUX_DEFAULT", b"GRUB_CMDLINE_XEN", b"GRUB_DEVICE", b"boot"),
        (b"GRUB_DEFAULT", b"GRUB_BACKGROUND", b"XGRUB_CMDLINE_LINUX", b"boots", b"RESUME"),
    )
)
def test_grub_defaults(piece: Piece) -> None:
    assert devices_in.grub_defaults(piece[0], NAMES) == piece[1]


@given(assignments((b"RESUME", b"resume", b"ROOT", b"CRYPTDEVICE"), (b"RESUMED", b"MODULES", b"XROOT", b"KEYMAP")))
def test_resume(piece: Piece) -> None:
    assert devices_in.resume(piece[0], NAMES) == piece[1]


@given(assignments((b"GRUB_CMDLINE_LINUX",), (b"OTHER",)), st.sampled_from([b'"', b"'"]), st.binary(max_size=30))
def test_what_follows_a_quote_that_never_ends_stays(piece: Piece, quote: bytes, rest: bytes) -> None:
    tail = b"GRUB_CMDLINE_LINUX=" + quote + b"/dev/sda1 " + rest.replace(quote, b"").replace(b"\\", b"")
    assert devices_in.grub_defaults(piece[0] + tail, NAMES) == piece[1] + tail


@given(st.lists(st.tuples(st.sampled_from([b"What", b"Where", b"#What", b"Options", b"XWhat"]), either(True))))
def test_mount_unit(lines: list[tuple[bytes, Piece]]) -> None:
    old = b"".join(key + b"=" + value[0] + b"\n" for key, value in lines)
    new = b"".join(key + b"=" + value[key in {b"What", b"Options"}] + b"\n" for key, value in lines)
    assert devices_in.mount_unit(old, NAMES) == new


# A link by hardware is replaced by the disk of that number; test_editors.py has that.
_NO_LINKS = either(True).filter(lambda piece: not piece[0].startswith(b"/dev/disk/"))


@given(st.lists(st.tuples(st.integers(0, 9), _NO_LINKS, st.sampled_from([b"\n", b"\r\n", b" \n"]))))
def test_device_map(lines: list[tuple[int, Piece, bytes]]) -> None:
    old = b"".join(b"(hd%d)\t" % number + piece[0] + end for number, piece, end in lines)
    new = b"".join(b"(hd%d)\t" % number + piece[1] + end for number, piece, end in lines)
    assert devices_in.device_map(old, NAMES) == new


@pytest.mark.parametrize("editor", EDITORS)
@given(data=st.binary(max_size=400))
def test_arbitrary_bytes_without_a_device_stay(editor: Editor, data: bytes) -> None:
    assert editor(data.replace(b"/dev/", b"/dev."), NAMES) == data.replace(b"/dev/", b"/dev.")


@pytest.mark.parametrize("editor", EDITORS)
@given(piece=st.one_of(table(frozenset({0, 1, 2, 3})), assignments((b"RESUME", b"GRUB_DEVICE"), (b"X",))))
def test_what_was_edited_is_not_edited_again(editor: Editor, piece: Piece) -> None:
    once = editor(piece[0], NAMES)
    assert editor(once, NAMES) == once


@given(assignments((b"A",), (b"B", b"C")), st.from_regex(r"[A-Za-z0-9 >._/()$-]{0,40}", fullmatch=True))
def test_setting_a_variable_leaves_the_others(piece: Piece, value: str) -> None:
    before = {found.name: found for found in shell.assignments(piece[0].decode("latin-1"))}
    new = shell.set_value(piece[0], "NEW", value)
    assert new.startswith(piece[0])
    assert shell.value(new, "NEW") == value
    assert shell.set_value(new, "NEW", value) == new
    for name in before:
        assert shell.value(new, name) == shell.value(piece[0], name)


#: What makes a program slow that looks back from everywhere.
LONG = [
    *(piece * (512 * 1024 // len(piece)) for piece in (b" ", b"\t \\\n", b'"', b"'", b"\\", b"=", b"[", b"a", b"#")),
    *(
        piece * 20000
        for piece in (b"/dev/sda", b"/dev/sda1 ", b"A='", b'A="\\"', b"GRUB_DEVICE=", b"(hd0) ", b"What= ")
    ),
    *(piece * 20000 for piece in (b"linux root=", b"Name: grub-pc/install_devices\n", b"\n\n", b"alias a b\n")),
    b'RESUME="' + b"/dev/sda1 " * 20000,
    b"A=" + b"a\\" * 200000,
]


def fast(call: Callable[[bytes], Any], data: bytes) -> None:
    """Call with a long text: what grows with its square takes hours, and what does not takes less than a second."""
    started = time.process_time()
    call(data)
    assert time.process_time() - started < 20


@pytest.mark.parametrize("data", LONG, ids=lambda data: ascii(data[:12]))
def test_no_file_takes_long(data: bytes) -> None:
    for editor in EDITORS:
        fast(lambda data, editor=editor: editor(data, NAMES), data)  # type: ignore[misc]
    fast(lambda data: shell.value(data, "A"), data)
    fast(lambda data: shell.set_value(data, "A", "b"), data)
    fast(console.inittab, data)
    fast(console.securetty, data)
    fast(lambda text: display.xorg(text, "modesetting"), data)
    fast(lambda data: modprobe.aliases(data, block_driver="a", net_driver="b"), data)


@settings(max_examples=30)
@given(st.lists(st.sampled_from([b"/dev/sda1", b" ", b"\n", b"'", b'"', b"\\", b"A=", b"RESUME="]), max_size=3))
def test_no_repetition_takes_long(pieces: list[bytes]) -> None:
    data = b"".join(pieces) * 3000
    for editor in EDITORS:
        fast(lambda data, editor=editor: editor(data, NAMES), data)  # type: ignore[misc]
