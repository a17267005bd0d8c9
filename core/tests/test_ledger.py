# SPDX-License-Identifier: GPL-2.0-or-later
"""The ledger: which plugin an object belongs to, and that no object that is still owned is forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

from v2v_core.discovery import Role
from v2v_core.hookspecs import OwnedObject
from v2v_core.ledger import LedgerBook
from v2v_core.settings import InputChoice, OutputChoice

LOCAL = OutputChoice(mode="local", storage="/srv", options=(("flag", None), ("key", "value")))


@pytest.fixture
def book(tmp_path: Path) -> LedgerBook:
    return LedgerBook(tmp_path)


def identities(book: LedgerBook) -> list[str]:
    return [thing.identity for thing in book.owned()]


def test_objects_are_read_in_the_order_in_which_they_were_recorded(book: LedgerBook) -> None:
    assert book.owned() == ()
    account = book.begin(Role.OUTPUT, LOCAL, "guest")
    account.record("volume", "name with\nnewline, ünïcode and \udcff")
    account.record("domain", "b")
    assert LedgerBook(book.directory).owned() == (
        OwnedObject(kind="volume", identity="name with\nnewline, ünïcode and \udcff"),
        OwnedObject(kind="domain", identity="b"),
    )


def test_each_plugin_has_its_own_objects_and_what_was_asked_of_it(book: LedgerBook) -> None:
    source = InputChoice(mode="vcenter", connection="vpx://user@vc/dc", arguments=("guest",))
    book.begin(Role.INPUT, source, "guest").record("snapshot", "snapshot-1")
    first, second = book.begin(Role.OUTPUT, LOCAL, "a"), book.begin(Role.OUTPUT, OutputChoice(mode="null"), "b")
    second.record("x", "2")
    first.record("file", "/srv/a")
    assert [
        (owner.number, owner.role, owner.name, owner.choice, [thing.identity for thing in owner.objects])
        for owner in book.owners()
    ] == [
        (1, Role.INPUT, "guest", source, ["snapshot-1"]),
        (2, Role.OUTPUT, "a", LOCAL, ["/srv/a"]),
        (3, Role.OUTPUT, "b", OutputChoice(mode="null"), ["2"]),
    ]


def test_what_was_deleted_is_gone_and_the_rest_is_still_owned(book: LedgerBook) -> None:
    account = book.begin(Role.OUTPUT, LOCAL, "guest")
    for name in ("/a", "/b"):
        account.record("file", name)
    book.gone(account.owner, [OwnedObject(kind="file", identity="/a")])
    assert identities(book) == ["/b"]
    assert [owner.number for owner in book.unsettled(Role.OUTPUT)] == [account.owner]


def test_settled_objects_belong_to_the_user(book: LedgerBook) -> None:
    account = book.begin(Role.OUTPUT, LOCAL, "guest")
    account.record("file", "/a")
    book.settle(account.owner)
    assert (book.owned(), book.unsettled(Role.OUTPUT)) == ((), ())
    assert book.begin(Role.OUTPUT, LOCAL, "again").owner == account.owner + 1


def test_a_ledger_that_is_cut_at_any_byte_names_whatever_was_recorded_before(book: LedgerBook) -> None:
    """A crash cuts the last line short. The object that this line announces was never created."""
    account = book.begin(Role.OUTPUT, LOCAL, "guest")
    begun = (book.directory / "ledger.jsonl").stat().st_size
    sizes = [begun]
    for name in ("/a", "/b", "/c"):
        account.record("file", name)
        sizes.append((book.directory / "ledger.jsonl").stat().st_size)
    whole = (book.directory / "ledger.jsonl").read_bytes()
    for end in range(begun, len(whole) + 1):
        (book.directory / "ledger.jsonl").write_bytes(whole[:end])
        # the newline at the end of a line is not needed to read it
        recorded = sum(end >= size - 1 for size in sizes[1:])
        assert identities(book) == ["/a", "/b", "/c"][:recorded], end


def test_record_after_a_line_that_a_crash_cut_short_is_not_lost(book: LedgerBook) -> None:
    account = book.begin(Role.OUTPUT, LOCAL, "guest")
    with (book.directory / "ledger.jsonl").open("a") as stream:
        stream.write('{"owned": 1, "kind": "file", "ident')
    account.record("file", "/b")
    assert identities(book) == ["/b"]


def test_objects_of_a_choice_that_cannot_be_read_are_still_owned(book: LedgerBook) -> None:
    """A later version may have written it; the objects must not be forgotten with it."""
    book.write({"owner": 1, "role": "output", "name": "x", "choice": {"mode": 5}})
    book.of(1).record("file", "/a")
    assert identities(book) == ["/a"]
