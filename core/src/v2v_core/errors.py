# SPDX-License-Identifier: GPL-2.0-or-later
"""The error tree. Each error has one line for the user, and attributes for programs.

Exit codes (the command line maps errors to these in one place, ``v2v_cli/exit.py``):

====  =======================================================================
0     success
1     something unexpected: a bug; the traceback is in the log of the step
2     usage: a wrong option or argument, found before anything was done
3     a plugin is missing, broken, or breaks the contract
4     the source cannot be used (step ``input_setup``)
5     the destination cannot be used (``output_check``, ``output_setup``,
      ``output_finalize``)
6     the guest cannot be converted (step ``convert``)
7     the data could not be copied (step ``copy``)
130   interrupted
====  =======================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from v2v_core.near_names import did_you_mean


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """One of the reasons why something cannot be done, and what the user can do about this one."""

    reason: str
    remedy: str


class V2VError(Exception):
    """The base of every error that is shown to the user in one line.

    :param message: what failed, which disk or file, and why.
    :param hint: what the user can do about it.
    """

    exit_code = 1
    #: Each of the reasons, if there are several. The message names all of them as well.
    obstacles: tuple[Obstacle, ...] = ()

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message

    @property
    def headline(self) -> str:
        """The message without the reasons, for displays that list each reason by itself."""
        return self.message


class UsageError(V2VError):
    """A wrong option or argument, found before anything was done. Retrying does not help."""

    exit_code = 2


class OptionError(UsageError):
    """A value of ``-io`` or ``-oo`` that the plugin cannot use. Plugins raise it."""

    def __init__(self, plugin: str, key: str, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"{plugin}: option {key!r}: {reason}", hint=hint)
        self.plugin = plugin
        self.key = key
        self.reason = reason


class PluginError(V2VError):
    """A plugin is missing, broken, or breaks the contract."""

    exit_code = 3


class PluginNotFound(PluginError):
    """No installed distribution offers this mode.

    :param installed: the names of the installed modes of the role.
    :param listed: the same for the message, where several names of one plugin are shown together.
    """

    def __init__(self, role: str, name: str, installed: Iterable[str], listed: Sequence[str] | None = None) -> None:
        self.role = role
        self.name = name
        self.installed = tuple(sorted(installed))
        shown = ", ".join(self.installed if listed is None else listed) or "none"
        super().__init__(f"unknown {role} mode {name!r} (installed: {shown})", hint=_similar(name, self.installed))


def _similar(name: str, known: Sequence[str]) -> str:
    # never a name made up from the user's words: anyone may have registered it on PyPI, and pip runs their code
    return did_you_mean(name, known, most=3) or "'v2v plugins list' lists what is installed"


class PluginLoadError(PluginError):
    """The plugin that was asked for cannot be imported or instantiated."""

    def __init__(self, role: str, name: str, target: str, cause: BaseException) -> None:
        self.role = role
        self.name = name
        self.target = target
        super().__init__(
            f"the {role} plugin {name!r} ({target}) cannot be loaded: {type(cause).__name__}: {cause}",
            hint="reinstall the distribution that provides it; 'v2v plugins show' names it",
        )


class AmbiguousPlugin(PluginError):
    """Two distributions offer the same mode."""

    def __init__(self, role: str, name: str, targets: Sequence[str]) -> None:
        self.role = role
        self.name = name
        self.targets = tuple(targets)
        super().__init__(
            f"the {role} mode {name!r} is provided more than once: {', '.join(targets)}",
            hint="uninstall all but one of the distributions that provide it",
        )


class PluginContractError(PluginError):
    """A plugin lacks a required hook, or returns something of the wrong type."""

    def __init__(self, plugin: str, reason: str) -> None:
        self.plugin = plugin
        super().__init__(
            f"the plugin {plugin} breaks the plugin contract: {reason}",
            hint="this is a bug in the plugin, report it to its author",
        )


class SourceError(V2VError):
    """The source cannot be used."""

    exit_code = 4


class SourceChanged(SourceError):
    """The source is no longer what a part of it was copied from: old and new must not be mixed."""


class DestinationError(V2VError):
    """The destination cannot be used."""

    exit_code = 5


class ConversionError(V2VError):
    """The guest cannot be converted.

    :param obstacles: the reasons one by one. ``for_obstacles`` makes the message from them.
    """

    exit_code = 6

    def __init__(self, message: str, *, hint: str | None = None, obstacles: Iterable[Obstacle] = ()) -> None:
        super().__init__(message, hint=hint)
        self.obstacles = tuple(obstacles)

    @classmethod
    def for_obstacles(cls, obstacles: Sequence[Obstacle]) -> ConversionError:
        """Return an error whose message and hint name every obstacle to the conversion."""
        hint = "; ".join(dict.fromkeys(obstacle.remedy for obstacle in obstacles))
        if len(obstacles) == 1:
            return cls(obstacles[0].reason, hint=hint, obstacles=obstacles)
        listed = "; ".join(f"({number}) {obstacle.reason}" for number, obstacle in enumerate(obstacles, 1))
        return cls(f"{cls._count(len(obstacles))}: {listed}", hint=hint, obstacles=obstacles)

    @property
    def headline(self) -> str:
        """The message without the reasons, if there are several, for displays that list each reason by itself."""
        return self._count(len(self.obstacles)) if len(self.obstacles) > 1 else self.message

    @staticmethod
    def _count(number: int) -> str:
        return f"the guest cannot be converted for {number} reasons"


class CopyError(V2VError):
    """The data of a disk could not be copied.

    :param disk: number of the disk, from 1.
    :param cause: which end failed (``copying.messages.Cause``); None if that is not known.
    :param offset: where, in bytes.
    """

    exit_code = 7

    def __init__(
        self, message: str, *, disk: int, hint: str | None = None, cause: str | None = None, offset: int | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.disk = disk
        self.cause = cause
        self.offset = offset


class MetadataError(V2VError):
    """``metadata.in`` or ``metadata.out`` is missing, damaged, or not valid.

    :param path: the file.
    """

    exit_code = 3

    def __init__(self, message: str, *, path: Path | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.path = path


class CommandError(V2VError):
    """An external program failed.

    :param argv: its argument list, which never holds a secret.
    :param status: exit status; negative for a signal, None if it could not be started.
    :param stderr_tail: the end of what it wrote to stderr.
    """

    def __init__(self, argv: Sequence[str], status: int | None, stderr_tail: str, *, hint: str | None = None) -> None:
        self.argv = tuple(argv)
        self.status = status
        self.stderr_tail = stderr_tail
        how = (
            "could not be started"
            if status is None
            else (f"was killed by signal {-status}" if status < 0 else f"failed with exit status {status}")
        )
        last = stderr_tail.strip().splitlines()[-1:] or [""]
        super().__init__(f"{argv[0]} {how}" + (f": {last[0].strip()}" if last[0].strip() else ""), hint=hint)


class Interrupted(V2VError):
    """The user or the system asked to stop."""

    exit_code = 130
