# SPDX-License-Identifier: GPL-2.0-or-later
"""How the first boots of a converted guest went: a text for people, and JSON for programs.

The JSON is one object. New members may be added; the version changes if one is removed or changes its meaning::

    format, version     "v2v-first-boot", 1
    planned             whether the guest has, or had, something to do at its first boot
    finished            whether nothing is left to do
    succeeded           whether all was done, and no script failed
    scripts             a list: name, state ("waiting", "done", "failed" or "given up"), exit_code, attempts, ended
    log                 the end of what the scripts printed, a list of lines
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

from v2v_cli.render.report import harmless
from v2v_cli.render.sanitize import sanitize
from v2v_core.first_boot import FirstBootStatus, ScriptRun, ScriptState

VERSION = 1
#: Lines of the log in the text; JSON has all of them.
_LINES = 40


def first_boot_as_json(status: FirstBootStatus) -> str:
    """Return it as JSON, ASCII only."""
    record = {
        "format": "v2v-first-boot",
        "version": VERSION,
        "planned": status.planned,
        "finished": status.finished,
        "succeeded": status.succeeded,
        "scripts": [asdict(script) for script in status.scripts],
        "log": status.log.splitlines(),
    }
    return json.dumps(harmless(record), indent=1, ensure_ascii=True).replace("\x7f", "\\u007f") + "\n"


def first_boot_as_text(status: FirstBootStatus) -> str:
    """Return it as lines for people. The log is there only if something did not go well."""
    lines = [_verdict(status)]
    if status.scripts:
        lines += ["", "Scripts", *(f"  {line}" for line in _scripts(status.scripts))]
    if status.planned and not status.succeeded and status.log:
        lines += ["", "The end of the log", *(f"  {sanitize(line)}" for line in status.log.splitlines()[-_LINES:])]
    return "".join(f"{line}\n" for line in lines)


def _verdict(status: FirstBootStatus) -> str:
    if not status.planned:
        return "The guest has, and had, nothing to do at its first boot."
    wrong = sum(script.state in {ScriptState.FAILED, ScriptState.GIVEN_UP} for script in status.scripts)
    failed = f" {wrong} of {len(status.scripts)} scripts did not succeed." if wrong else ""
    if status.finished:
        return "The first boot is finished." + (failed or " Every script succeeded.")
    return "The first boot is not finished: start the guest, and let it run and restart." + failed


def _scripts(scripts: tuple[ScriptRun, ...]) -> Iterator[str]:
    width = max(len(sanitize(script.name)) for script in scripts)
    for script in scripts:
        words = [
            f"{sanitize(script.name):{width}}  {script.state.value}",
            *([] if script.exit_code is None else [f"exit code {script.exit_code}"]),
            *([f"{script.attempts} attempts"] if script.attempts > 1 else []),
            *([] if script.ended is None else [sanitize(script.ended)]),
        ]
        yield ", ".join(words)
