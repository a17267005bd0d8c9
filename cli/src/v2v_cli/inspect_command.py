# SPDX-License-Identifier: GPL-2.0-or-later
"""``v2v inspect``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from v2v_cli.exit import Session
from v2v_cli.options.conversion import Conversion
from v2v_cli.options.declaration import Group, Offer, flag
from v2v_cli.options.general import Json, Messages
from v2v_cli.options.source import Source
from v2v_core import own_stdout
from v2v_core.errors import ConversionError, UsageError
from v2v_core.events import Event, EventKind, EventSink


@dataclass(frozen=True, kw_only=True)
class Depth(Group):
    """How much of the guest is looked at."""

    deep: Annotated[
        bool,
        flag(
            "--deep",
            help="Look into the disks as well: the system and its kernels, what keeps the guest from being converted, "
            "and what a conversion would change. This takes about as long as a conversion without the copy.",
        ),
    ] = False


#: Options of the conversion that change neither whether a guest can be converted, nor what is done to it. A look is
#: also never the occasion to save files of the guest.
_NOT_OFFERED = ("maps", "networks", "bridges", "no_trim", "no_serial_console", "collect", "collect_output")


def inspect(
    session: Session,
    source: Annotated[Source, Offer(without=("in_place",), defaults={"mode": "disk"})],
    depth: Depth,
    conversion: Annotated[Conversion, Offer(without=_NOT_OFFERED)],
    json: Json,
    messages: Annotated[Messages, Offer(without=("quiet",))],
) -> int:
    """Print what the source says about a guest and, with --deep, what is in its disks; nothing is changed.

    With --deep, the exit code is 0 if the guest can be converted, and 6 if something keeps it from that.

    Examples:
    $ v2v inspect --input ova guest.ova
    $ v2v inspect --input vmx guest.vmx --deep
    $ v2v inspect --input vmx guest.vmx --deep --json
    """
    from v2v_cli.listings import list_what_was_asked_for
    from v2v_cli.options.destination import Destination
    from v2v_cli.render.inspection import inspection_as_json, inspection_as_text
    from v2v_cli.rendering import start_messages
    from v2v_core import pipeline
    from v2v_core.settings import OutputChoice, RunChoice

    if list_what_was_asked_for(source, Destination(mode="null")):
        return 0
    if not source.guests:
        raise UsageError("no guest was named", hint="write, for example: v2v inspect guest.img")
    if not depth.deep and conversion != Conversion():
        raise UsageError(
            "the options of the conversion, such as --root and --key, have no meaning without --deep", hint="add --deep"
        )
    choice = RunChoice(
        input=source.choice(),
        output=OutputChoice(mode="null"),
        convert=conversion.choice(verbose=messages.verbose or messages.trace),
        verbose=messages.verbose,
    )
    start_messages(session, replace(messages, quiet=True))
    said: list[Event] = []
    sinks = [_keep(sink, said) for sink in session.renderers]
    try:
        if depth.deep:
            guest, found = pipeline.inspect_deeply(choice, sinks)
        else:
            guest, found = pipeline.print_source(choice, sinks), None
    except BaseException:
        # what would have been in the text explains the error
        for event in said:
            for renderer in session.renderers:
                renderer(event)
        raise
    write = inspection_as_json if json.json else inspection_as_text
    session.prints = True
    own_stdout.stdout().write(write(guest, found, said))
    return 0 if found is None or found.convertible else ConversionError.exit_code


def _keep(sink: EventSink, said: list[Event]) -> EventSink:
    """Return a sink that keeps infos and warnings for the text."""

    def listen(event: Event) -> None:
        if event.kind not in {EventKind.INFO, EventKind.WARNING}:
            sink(event)
        elif event not in said:
            said.append(event)

    return listen
