# SPDX-License-Identifier: GPL-2.0-or-later
"""The one place where exceptions become exit codes and lines on stderr."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from v2v_cli.render.sanitize import sanitize
from v2v_cli.render.streams import accept_every_text
from v2v_core import own_stdout
from v2v_core.errors import PluginNotFound, UsageError, V2VError
from v2v_core.standard_streams import exit_code_after_output

if TYPE_CHECKING:
    from v2v_cli.render import Renderer

_INTERRUPTED = 130
_USAGE = 2
_RED, _PLAIN = "\x1b[31m", "\x1b[0m"


@dataclass
class Session:
    """What the error lines of a program depend on. The command fills it in when it has read its options.

    :param prints: what the command prints is its result; that of a run is elsewhere.
    """

    program: str
    verbose: bool = False
    color: bool = False
    renderers: list[Renderer] = field(default_factory=list)
    prints: bool = True


def guard(session: Session, body: Callable[[], int | None]) -> int:
    """Run the body of a program and return its exit code; whatever is raised becomes a line on stderr."""
    accept_every_text()
    try:
        code = body() or 0
    except V2VError as err:
        code = _report(session, err)
    except KeyboardInterrupt:
        code = _report(session, V2VError("interrupted"), _INTERRUPTED)
    except BrokenPipeError:
        # of a stream that a program that imports this one has put in the place of ours
        code = 1
    except Exception as err:
        code = _report_unexpected(session, err)
    finally:
        for renderer in session.renderers:
            _quietly(renderer.close)
    _quietly(own_stdout.stdout().flush)
    _quietly(own_stdout.give_back)
    if not session.prints:
        # what could not be said about a run does not undo it
        return code
    return exit_code_after_output(session.program, code)


def _report(session: Session, error: V2VError, code: int | None = None) -> int:
    if isinstance(error, PluginNotFound):
        from v2v_cli.distributions import hint_for

        error.hint = hint_for(error)
    for renderer in session.renderers:
        _quietly(lambda renderer=renderer: renderer.failed(error))  # type: ignore[misc]
    lines = [_error_line(session, error.headline)]
    if len(error.obstacles) > 1:
        for number, obstacle in enumerate(error.obstacles, start=1):
            lines.append(_error_line(session, f"({number}) {obstacle.reason}"))
            lines.append(f"hint: {sanitize(obstacle.remedy)}")
    elif error.hint:
        lines.append(f"hint: {sanitize(error.hint)}")
    lines += [f"{session.program}: {sanitize(note)}" for note in getattr(error, "__notes__", ())]
    if session.verbose and not isinstance(error, UsageError):
        lines += _traceback(error)
    _write("\n".join(lines) + "\n")
    return error.exit_code if code is None else code


def _report_unexpected(session: Session, error: Exception) -> int:
    # only if typer has been imported already: importing it here would slow down --version
    aborted = getattr(sys.modules.get("typer"), "Abort", None)
    if aborted is not None and isinstance(error, aborted):
        # typer turns a KeyboardInterrupt that arrives between the steps into this
        return _report(session, V2VError("interrupted"), _INTERRUPTED)
    typer_errors = getattr(sys.modules.get("typer.exceptions"), "TyperException", None)
    if typer_errors is not None and isinstance(error, typer_errors):
        usage = V2VError(_of_typer(error), hint=f"'{session.program} --help' lists the options")
        return _report(session, usage, _USAGE)
    bug = V2VError(f"internal error: {type(error).__name__}: {error}; this is a bug", hint="-v shows where it happened")
    for note in getattr(error, "__notes__", ()):
        bug.add_note(note)
    bug.__cause__ = error
    return _report(session, bug)


def _of_typer(error: Exception) -> str:
    text = str(getattr(error, "format_message", lambda: error)())
    return text[:1].lower() + text[1:].rstrip(".")


def _error_line(session: Session, message: str) -> str:
    line = f"{session.program}: error: {sanitize(message)}"
    return f"{_RED}{line}{_PLAIN}" if session.color else line


def _traceback(error: BaseException) -> list[str]:
    text = "".join(traceback.format_exception(error.__cause__ or error))
    return [sanitize(line) for line in text.splitlines()]


def _write(text: str) -> None:
    def write() -> None:
        own_stdout.stdout().flush()
        sys.stderr.write(text)
        sys.stderr.flush()

    _quietly(write)


def _quietly(act: Callable[[], object]) -> None:
    """Use the streams and channels. If one is closed, nothing can be reported, and the exit code stays as it is."""
    with contextlib.suppress(OSError, ValueError):
        act()
