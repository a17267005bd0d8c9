# SPDX-License-Identifier: GPL-2.0-or-later
"""Functions that read the values of options. Each takes the option's name for messages, and the word or words.

Each raises UsageError if the value cannot be used. The message holds no value that may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

from v2v_cli.getopt_long_only import base0_integer
from v2v_core.errors import UsageError
from v2v_core.near_names import did_you_mean

#: Number of fields of a key selector after the ID, by kind.
_KEY_FIELDS = {"key": 2, "file": 2, "clevis": 1}
#: Characters that are read from standard input.
_KEYS_LIMIT = 1024 * 1024


def path(_option: str, word: str) -> Path:
    """Return a path as the user wrote it."""
    return Path(word)


def readable_file(option: str, word: str) -> Path:
    """Return the absolute path of a file that this user can read."""
    named = Path(word)
    try:
        with named.open("rb"):
            return named.absolute()
    except OSError as err:
        raise UsageError(f"{option}: cannot read {named}: {err.strerror}") from err


def connection_uri(option: str, uri: str) -> str:
    """Check that a URI holds no password, as every user of the machine can read the command line; return the URI."""
    try:
        password = urlsplit(uri).password
    except ValueError:
        password = None
    if password is not None:
        raise UsageError(
            f"{option} holds a password, which every user of this machine could see",
            hint=f"put it into a file and name that with -{option[1]}p FILE",
        )
    return uri


def key_values(option: str, words: tuple[str, ...]) -> tuple[tuple[str, str | None], ...]:
    """Split ``KEY=VALUE`` at the first ``=``; a bare key has the value None."""
    pairs = []
    for word in words:
        key, equals, value = word.partition("=")
        if not key:
            raise UsageError(f"{option} needs a key", hint=f"write {option} KEY=VALUE")
        pairs.append((key, value if equals else None))
    return tuple(pairs)


def at_least(least: int, *, most: int | None = None) -> Callable[[str, str], int]:
    """Return a function that reads an integer of at least ``least``, and at most ``most``."""

    def read(option: str, word: str) -> int:
        try:
            value = base0_integer(word)
        except ValueError as err:
            raise UsageError(f"{option}: {err}") from err
        if value < least:
            raise UsageError(f"{option} must be at least {least}, and not {value}")
        if most is not None and value > most:
            raise UsageError(f"{option} must be at most {most}, and not {value}")
        return value

    return read


def either(yes: str, is_yes: bool, no: str, is_no: bool) -> bool | None:
    """Return which of two opposite flags was given; None if neither was."""
    if is_yes and is_no:
        raise UsageError(f"{yes} and {no} were both given", hint="leave one of them out")
    return is_yes if is_yes or is_no else None


def bits_per_second(option: str, word: str) -> int:
    """Read a rate, ``100M`` or ``50MB/s``; return bits per second, or 0 for no limit."""
    from v2v_core.copying.bandwidth import parse_rate

    try:
        return parse_rate(word)
    except ValueError as err:
        raise UsageError(f"{option}: {err}", hint=f"write, for example, {option} 100M or {option} 50MB/s") from err


def readable_if_there(option: str, word: str) -> Path:
    """Return the absolute path of a regular file that this user can read, or that does not exist yet."""
    named = Path(word).absolute()
    try:
        exists, regular = named.exists(), named.is_file()
    except OSError as err:
        raise UsageError(f"{option}: cannot read {named}: {err.strerror}") from err
    if exists and not regular:
        raise UsageError(f"{option}: {named} is not a regular file", hint="name a file that holds a line of text")
    return readable_file(option, word) if exists else named


def one_of(*allowed: str) -> Callable[[str, str], str]:
    """Return a function that checks that a word is one of these."""

    def read(option: str, word: str) -> str:
        if word not in allowed:
            listed = f"choose one of {', '.join(allowed)}"
            raise UsageError(f"unknown {option} {word!r}", hint=f"{did_you_mean(word, allowed)} {listed}".strip())
        return word

    return read


def root_choice(option: str, word: str) -> str:
    """Check the choice of the operating system: a word, or the device that it is on."""
    words = ("ask", "single", "first")
    if word in words or word.startswith(("/dev/", "btrfsvol:/dev/")):
        return word
    listed = "choose ask, single, first, or a device as in /dev/sda2"
    raise UsageError(f"unknown {option} {word!r}", hint=f"{did_you_mean(word, words)} {listed}".strip())


def key_selectors(option: str, words: tuple[str, ...]) -> tuple[str, ...]:
    """Check the form of key selectors, and rewrite ``/dev/mapper/VG-LV`` to ``/dev/VG/LV``. No message holds a key."""
    selectors = []
    for number, word in enumerate(words, start=1):
        name, *rest = word.split(":")
        if not name or not rest or len(rest) != _KEY_FIELDS.get(rest[0]) or not all(rest):
            raise UsageError(
                f"{option} number {number} is malformed",
                hint="write ID:file:FILE, ID:key:STRING or ID:clevis; ID is a device, a UUID or 'all'",
            )
        if rest[0] == "file":
            readable_file(option, rest[1])
        selectors.append(":".join([_plain_device(name), *rest]))
    return tuple(selectors)


def _plain_device(name: str) -> str:
    # the device mapper doubles a hyphen of a name, and separates volume group and volume by a single one
    match = re.fullmatch(r"/dev/mapper/((?:[^-]|--)+)-((?:[^-]|--)+)", name)
    return "/dev/" + "/".join(part.replace("--", "-") for part in match.groups()) if match else name


def keys_in(stream: TextIO) -> tuple[str, ...]:
    """Read keys, one a line, and return them as selectors for every device. No message holds a key."""
    if stream.isatty():
        raise UsageError(
            "--keys-from-stdin: standard input is a terminal",
            hint="write --keys-from-stdin < FILE, or give --key ID:file:FILE",
        )
    try:
        lines = stream.read(_KEYS_LIMIT).splitlines()
    except (OSError, UnicodeDecodeError) as err:
        raise UsageError("--keys-from-stdin: standard input cannot be read as text") from err
    keys = tuple(f"all:key:{line}" for line in lines if line)
    if not keys:
        raise UsageError("--keys-from-stdin: there is no key on standard input")
    return keys
