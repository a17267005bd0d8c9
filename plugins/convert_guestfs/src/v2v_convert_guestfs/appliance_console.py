# SPDX-License-Identifier: GPL-2.0-or-later
"""The appliance's serial console: all of it goes to the log, and an error quotes the line that says most."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from v2v_core.api import visible

#: Lines that are kept for an error message: a kernel panic has about 50.
_KEPT = 200
#: Characters of a line, in the log as well: a line of the console should never end, in the worst case.
_LINE_LIMIT = 2000
_QUOTED_LIMIT = 300
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
#: Lines of the kernel.
_TIMESTAMP = re.compile(r"\[ *[0-9]+\.[0-9]+\] ?")
_ERROR = re.compile(r"\berror\b", re.IGNORECASE)
_PANIC = re.compile(r"Kernel panic|Out of memory")
#: What every appliance prints, even one that comes up. systemd-tmpfiles finds no users there.
_USUAL = re.compile(
    r"^supermin: |^Starting |^Rebooting|Failed to resolve |Failed to parse ACL |^mdadm: No arrays|^lvm_system_dir|"
    r"^guestfsd$|^\[\]$|: echo: write error: |: lvmetad: command not found|^qemu[^:]*: warning: "
)


class Console:
    """Collects what the appliance prints, line by line; libguestfs hands it over in arbitrary pieces.

    :param log: takes each line. :param heard: takes each line of the appliance's kernel, too.
    """

    def __init__(self, log: Callable[[str], None], *, heard: Callable[[str], None] = lambda _line: None) -> None:
        self._log, self._heard = log, heard
        self._lines: deque[str] = deque(maxlen=_KEPT)
        self._begun = ""

    def hear(self, text: str) -> None:
        """Take the next piece."""
        *lines, self._begun = re.split(r"[\r\n]+", self._begun + text)
        if len(self._begun) > _LINE_LIMIT:
            lines, self._begun = [*lines, self._begun], ""
        for line in lines:
            self._take(line)

    def finish(self) -> None:
        """Take what was printed last, without an end of line."""
        self._take(self._begun)
        self._begun = ""

    @property
    def reason(self) -> str | None:
        """Return the line that most likely says why the appliance did not start; None if it printed nothing."""
        return meaningful_line(tuple(self._lines))

    def blames_qemu(self, appliance: Path) -> bool:
        """Check whether nothing but qemu printed anything, and nothing about the files of the appliance.

        It complained about the guest's disks, its own options, or the machine.
        """
        return bool(self._lines) and all(
            line.startswith("qemu") and os.fspath(appliance) not in line for line in self._lines
        )

    def _take(self, line: str) -> None:
        clean = visible(_ESCAPES.sub("", line))[:_LINE_LIMIT].rstrip()
        if clean:
            self._lines.append(clean)
            self._log(f"appliance: {clean}")
            if _TIMESTAMP.match(clean):
                self._heard(_TIMESTAMP.sub("", clean, count=1))


def meaningful_line(lines: Sequence[str]) -> str | None:
    """Choose the line to quote, the last of the best kind that there is.

    The kinds are, from the best: an error of the init script, a program or qemu; whatever else is not printed by every
    appliance; a kernel panic, which only follows from something before; anything.
    """
    own = [line for line in lines if not _TIMESTAMP.match(line)]
    kernel = [line for line in lines if _TIMESTAMP.match(line)]
    for candidates in (
        [line for line in own if _ERROR.search(line) and not _USUAL.search(line)],
        [line for line in own if not _USUAL.search(line)],
        [line for line in kernel if _PANIC.search(line)],
        lines,
    ):
        if candidates:
            return _TIMESTAMP.sub("", candidates[-1], count=1)[:_QUOTED_LIMIT].strip()
    return None
