# SPDX-License-Identifier: GPL-2.0-or-later
"""Translate the filters of lvm.conf(5), so that LVM accepts and rejects the same disks under their new names.

LVM takes the first pattern that matches one of a device's names; a device that no pattern matches is accepted. Patterns
are regular expressions, so searching them for names of disks is not enough: every pattern is tried on the old and the
new name of each disk and partition. One that no longer fits is rewritten, and the result is tried in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.linux.editors import lvm_patterns
from v2v_convert_guestfs.linux.editors.lvm_patterns import Pattern, PatternError

_STRING = r"\"(?:[^\"\\]|\\.)*\"|'[^'\n]*'"
_KEY = re.compile(
    r"^[^#\n\"'=]*?(?<![\w-])(?:devices/)?(?:global_)?filter[ \t]*=\s*(?=[\[\"'])", re.ASCII | re.MULTILINE
)
#: [ "a|^/dev/sda|", "r|.*|" ]: a bracket in quotes or in a comment does not end it.
_VALUE = re.compile(rf"\[(?:[^\]\"'#]|{_STRING}|#[^\n]*(?=\n))*\]|{_STRING}", re.ASCII | re.DOTALL)
_PART = re.compile(rf"(?P<string>{_STRING})|#[^\n]*", re.ASCII | re.DOTALL)
#: A disk in a regular expression, with the ``p`` before its partitions, or a whole family of disks.
_NAME = re.compile(
    r"(?<![A-Za-z0-9_-])(?:(?P<disk>(?:xvd|sd|hd|vd)[a-z](?![a-z])|(?:nvme\d+n\d+|(?:cciss/|ida/)c\d+d\d+)(?!\d))"
    r"(?P<p>(?<=\d)p(?=[\d\[(.*?$\\]))?|(?P<family>xvd|sd|hd|vd)(?![A-Za-z0-9]))",
    re.ASCII,
)
#: A whole disk, and more partitions than disks usually have.
_NUMBERS = ("", *map(str, range(1, 16)))
#: More patterns than any filter has. Trying them takes time.
_MOST_PATTERNS = 200


@dataclass(frozen=True)
class Filter:
    """One filter of the file, translated.

    :param old: its text in the file. :param new: the new text.
    :param in_front: the devices that only a pattern put in front of the others accepts.
    """

    old: str
    new: str
    in_front: tuple[str, ...] = ()


def edit(data: bytes, names: DeviceNames) -> bytes:
    """Translate all filters."""
    text = data.decode("latin-1")
    parts, end = [], 0
    for start, one in _filters(text, names):
        parts += [text[end:start], one.new]
        end = start + len(one.old)
    return "".join((*parts, text[end:])).encode("latin-1")


def filters(data: bytes, names: DeviceNames) -> list[Filter]:
    """Return all filters of the file, each with its translation."""
    return [one for _, one in _filters(data.decode("latin-1"), names)]


def _filters(text: str, names: DeviceNames) -> Iterator[tuple[int, Filter]]:
    """Yield each filter with its position, up to the first whose bracket or quote never ends."""
    position = 0
    while key := _KEY.search(text, position):
        value = _VALUE.match(text, key.end())
        if value is None:
            return
        yield value.start(), _translated(value[0], names)
        position = value.end()


def _translated(value: str, names: DeviceNames) -> Filter:
    strings = [match for match in _PART.finditer(value) if match["string"]]
    if not strings or len(strings) > _MOST_PATTERNS:
        return Filter(value, value)
    try:
        old = [_Matcher(lvm_patterns.parse(_plain(match["string"]))) for match in strings]
    except PatternError:
        # LVM refuses such a filter, so it has none in effect.
        return Filter(value, value)
    devices = _devices(old, names)
    accepted = {new for before, new in devices.items() if _accepts(old, before)} | set(names.volumes)
    new = [_Matcher(_rewritten(one, devices, names)) for one in old]
    parts, end = [], 0
    for match, before, after in zip(strings, old, new, strict=True):
        same = before.pattern == after.pattern
        parts += [value[end : match.start()], match[0] if same else _quoted(str(after.pattern), match[0][0])]
        end = match.end()
    text = "".join((*parts, value[end:]))
    rejected = {name for name in accepted if not _accepts(new, name)}
    if rejected:
        text = text if text.startswith("[") else f"[ {text} ]"
        text = f'[ "a|^/dev/({"|".join(_expressions(rejected))})$|", {text[1:].lstrip(" ")}'
    return Filter(value, text, tuple(sorted(rejected)))


class _Matcher:
    """A pattern, ready to be tried on names."""

    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern
        self.matches = lvm_patterns.matcher(pattern.expression)


def _accepts(matchers: Sequence[_Matcher], name: str) -> bool:
    return next((one.pattern.accepts for one in matchers if one.matches(name)), True)


def _devices(matchers: Sequence[_Matcher], names: DeviceNames) -> dict[str, str]:
    """Return the new names of all disks and partitions by those of the old names that the filter is about.

    A disk may have had one of several names, for example hda and sda. The filter cannot have rejected a physical volume
    that the guest mounts file systems from, and it is likely to be about the name that one of its patterns accepts.
    """
    candidates: dict[str, list[str]] = {}
    for old, new in names.disks.items():
        candidates.setdefault(new, []).append(old)
    found: dict[str, str] = {}
    for new, several in candidates.items():
        volumes = [name.removeprefix(f"/dev/{new}") for name in names.volumes if _is_on(name, new)]

        def worth(old: str, volumes: list[str] = volumes) -> tuple[bool, bool]:
            accepted = all(_accepts(matchers, _partition(old, number)) for number in volumes)
            mentioned = any(
                one.pattern.accepts and one.matches(_partition(old, number)) and not one.matches("/dev/none")
                for one in matchers
                for number in _NUMBERS
            )
            return accepted, mentioned

        chosen = max(several, key=worth)
        for number in _NUMBERS:
            found[_partition(chosen, number)] = _partition(new, number)
    return found


def _is_on(name: str, disk: str) -> bool:
    return re.fullmatch(rf"/dev/{re.escape(disk)}\d*", name, re.ASCII) is not None


def _partition(disk: str, number: str) -> str:
    return f"/dev/{disk}{'p' if number and disk[-1].isdigit() else ''}{number}"


def _rewritten(one: _Matcher, devices: Mapping[str, str], names: DeviceNames) -> Pattern:
    """Return a pattern that matches the new names of the disks whose old names the pattern matches."""
    wanted = {new for old, new in devices.items() if one.matches(old)}
    if not wanted:
        return one.pattern
    disks = {old.removeprefix("/dev/"): new.removeprefix("/dev/") for old, new in devices.items()}
    prefixes = {re.sub(r"[a-z]$", "", name) for name in names.disks.values()}

    def renamed(match: re.Match[str]) -> str:
        if match["disk"]:
            return disks.get(match["disk"], match[0])
        return prefixes.copy().pop() if len(prefixes) == 1 else match[0]

    pattern = one.pattern
    listed = "|".join(_expressions(wanted))
    for expression in (pattern.expression, _NAME.sub(renamed, pattern.expression), f"^/dev/({listed})$"):
        try:
            matches = lvm_patterns.matcher(expression)
        except PatternError:
            continue
        if {new for new in devices.values() if matches(new)} == wanted:
            return Pattern(pattern.accepts, pattern.opening, expression, pattern.closing)
    return pattern


def _expressions(wanted: set[str]) -> list[str]:
    """Return expressions for names of devices, without /dev/. A disk with all its partitions gets one."""
    by_disk: dict[str, list[str]] = {}
    for name in sorted(wanted):
        match = re.fullmatch(r"/dev/(.*?)(\d*)", name)
        if match:
            by_disk.setdefault(match[1], []).append(match[2])
    expressions: list[str] = []
    for disk, numbers in by_disk.items():
        if set(numbers) >= set(_NUMBERS[1:]):
            expressions.append(f"{disk}[0-9]{'*' if '' in numbers else '+'}")
        else:
            expressions += [disk + number for number in numbers]
    return expressions


def _plain(string: str) -> str:
    content = string[1:-1]
    return re.sub(r"\\([\"\\])", r"\1", content) if string[0] == '"' else content


def _quoted(content: str, quote: str) -> str:
    if quote == "'":
        return f"'{content}'"
    return '"' + re.sub(r"([\"\\])", r"\\\1", content) + '"'
