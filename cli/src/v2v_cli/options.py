# SPDX-License-Identifier: GPL-2.0-or-later
"""The options, each declared once: for virt-v2v, for ``v2v convert`` and for the helpers.

The short names are virt-v2v's. Each has a readable twin.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from v2v_cli.getopt_long_only import Habit, base0_integer
from v2v_cli.modes import Modes, completion

_INPUT, _OUTPUT, _CONVERSION, _GENERAL = "Input", "Output", "Conversion", "General"


def _integer(text: str | int) -> int:
    try:
        # typer gives the default value to the parser, too
        return text if isinstance(text, int) else base0_integer(text)
    except ValueError as err:
        raise typer.BadParameter(str(err)) from err


Arguments = Annotated[
    list[str] | None, typer.Argument(metavar="GUEST", help="What to convert: files, names or URIs.", show_default=False)
]

InputMode = Annotated[
    str,
    typer.Option(
        "--input",
        "-i",
        metavar="MODE",
        help="Where the guest comes from.",
        autocompletion=completion("input"),
        rich_help_panel=_INPUT,
    ),
    Modes("input"),
]
InputConnection = Annotated[
    str | None,
    typer.Option("--input-connection", "-ic", metavar="URI", help="Source hypervisor.", rich_help_panel=_INPUT),
]
InputFormat = Annotated[
    str | None,
    typer.Option(
        "--input-format", "-if", metavar="FORMAT", help="Format of the disks; or else detected.", rich_help_panel=_INPUT
    ),
]
InputOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--input-option", "-io", metavar="KEY[=VALUE]", help="Option of the input; '?' lists.", rich_help_panel=_INPUT
    ),
]
InputPassword = Annotated[
    Path | None,
    typer.Option(
        "--input-password-file", "-ip", metavar="FILE", help="Password of the source.", rich_help_panel=_INPUT
    ),
]
InputTransport = Annotated[
    str | None,
    typer.Option(
        "--input-transport", "-it", metavar="ssh|vddk", help="How the disks are read.", rich_help_panel=_INPUT
    ),
]

OutputMode = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="MODE",
        help="Where the guest goes to.",
        autocompletion=completion("output"),
        rich_help_panel=_OUTPUT,
    ),
    Modes("output"),
]
OutputAllocation = Annotated[
    str,
    typer.Option(
        "--output-allocation", "-oa", metavar="sparse|preallocated", help="Of the disks.", rich_help_panel=_OUTPUT
    ),
]
OutputConnection = Annotated[
    str | None,
    typer.Option("--output-connection", "-oc", metavar="URI", help="Target hypervisor.", rich_help_panel=_OUTPUT),
]
OutputFormat = Annotated[
    str | None,
    typer.Option("--output-format", "-of", metavar="raw|qcow2", help="Format of the disks.", rich_help_panel=_OUTPUT),
]
OutputName = Annotated[
    str | None,
    typer.Option("--output-name", "-on", metavar="NAME", help="New name of the guest.", rich_help_panel=_OUTPUT),
]
OutputOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--output-option",
        "-oo",
        metavar="KEY[=VALUE]",
        help="Option of the output; '?' lists.",
        rich_help_panel=_OUTPUT,
    ),
]
OutputPassword = Annotated[
    Path | None,
    typer.Option(
        "--output-password-file", "-op", metavar="FILE", help="Password of the target.", rich_help_panel=_OUTPUT
    ),
]
OutputStorage = Annotated[
    str | None,
    typer.Option(
        "--output-storage", "-os", metavar="STORAGE", help="Directory, pool or domain.", rich_help_panel=_OUTPUT
    ),
]
Connections = Annotated[
    int,
    typer.Option(
        "--connections",
        metavar="N",
        parser=_integer,
        help="Connections for each disk; 0: as many as both ends like.",
        rich_help_panel=_OUTPUT,
    ),
    Habit.LAST_COUNTS,
]
Copier = Annotated[
    str | None,
    typer.Option(
        "--copier",
        metavar="NAME",
        help="The plugin that copies; if not given, the one that suits the output.",
        autocompletion=completion("copy"),
        rich_help_panel=_OUTPUT,
    ),
    Modes("copy"),
]
Converter = Annotated[
    str,
    typer.Option(
        "--converter",
        metavar="NAME",
        help="The plugin that converts.",
        autocompletion=completion("convert"),
        rich_help_panel=_CONVERSION,
    ),
    Modes("convert"),
]
Observers = Annotated[
    list[str] | None,
    typer.Option("--observer", metavar="NAME", help="A plugin that watches; repeatable."),
]
Parallel = Annotated[
    int,
    typer.Option(
        "--parallel",
        metavar="N",
        parser=_integer,
        help="Copy so many disks at once.",
        rich_help_panel=_OUTPUT,
    ),
    Habit.LAST_COUNTS,
]

Networks = Annotated[
    list[str] | None,
    typer.Option(
        "--network", "-n", metavar="[SOURCE:]TARGET", help="Map a network, or all.", rich_help_panel=_CONVERSION
    ),
]
Bridges = Annotated[
    list[str] | None,
    typer.Option(
        "--bridge", "-b", metavar="[SOURCE:]TARGET", help="Map a bridge, or all.", rich_help_panel=_CONVERSION
    ),
]
Macs = Annotated[
    list[str] | None,
    typer.Option(
        "--mac",
        metavar="MAC:network|bridge:TARGET",
        help="Map one interface; or give it an address: MAC:ip:ADDRESS[,GATEWAY[,LENGTH[,NAMESERVER…]]].",
        rich_help_panel=_CONVERSION,
    ),
]
Root = Annotated[
    str,
    typer.Option(
        "--root", metavar="ask|single|first|/dev/…", help="Which system, if several.", rich_help_panel=_CONVERSION
    ),
    Habit.LAST_COUNTS,
]
BlockDriver = Annotated[
    str,
    typer.Option(
        "--block-driver", metavar="virtio-blk|virtio-scsi", help="For Windows guests.", rich_help_panel=_CONVERSION
    ),
]
NoTrim = Annotated[
    bool, typer.Option("--no-fstrim", help="Copy free space of file systems too.", rich_help_panel=_CONVERSION)
]
Keys = Annotated[
    list[str] | None,
    typer.Option(
        "--key",
        metavar="SELECTOR",
        # the third form, with the key itself on the command line, is kept for scripts and not recommended to anybody
        help="Unlock an encrypted disk: ID:file:FILE; ID is a device, a UUID, or all.",
        rich_help_panel=_CONVERSION,
    ),
]
Collect = Annotated[
    list[str] | None,
    typer.Option(
        "--collect",
        metavar="PATH[:NAME]",
        help="Copy a directory of the guest out before the conversion, as NAME in the archive; repeatable.",
        rich_help_panel=_CONVERSION,
    ),
]
CollectOutput = Annotated[
    Path | None,
    typer.Option(
        "--collect-output", metavar="FILE.tar.xz", help="The archive for --collect.", rich_help_panel=_CONVERSION
    ),
]
KeysFromStdin = Annotated[
    bool,
    typer.Option(
        "--keys-from-stdin",
        help="Read keys from standard input, one a line; each is tried on every encrypted disk.",
        rich_help_panel=_CONVERSION,
    ),
]
NoSerialConsole = Annotated[
    bool,
    typer.Option(
        "--no-serial-console", help="The target has no serial port: no console on it.", rich_help_panel=_CONVERSION
    ),
]
Memory = Annotated[
    int | None,
    typer.Option(
        "--memsize", "-m", metavar="MB", parser=_integer, help="Of the appliance.", rich_help_panel=_CONVERSION
    ),
    Habit.LAST_COUNTS,
]
Cpus = Annotated[
    int | None,
    typer.Option("--smp", metavar="N", parser=_integer, help="CPUs of the appliance.", rich_help_panel=_CONVERSION),
    Habit.LAST_COUNTS,
]

PrintSource = Annotated[
    bool, typer.Option("--print-source", help="Print what the source says about the guest.", rich_help_panel=_GENERAL)
]
MachineReadable = Annotated[
    str | None,
    typer.Option(
        "--machine-readable",
        metavar="[=FORM]",
        help="Write JSON lines to stdout, file:NAME, stream:stderr or fd:N; without a guest, list what is supported.",
        rich_help_panel=_GENERAL,
    ),
    Habit.VALUE_OPTIONAL,
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show warnings and errors only.", rich_help_panel=_GENERAL)]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show debug messages.", rich_help_panel=_GENERAL)]
Trace = Annotated[bool, typer.Option("-x", help="Trace the calls of libguestfs.", rich_help_panel=_GENERAL)]
Version = Annotated[bool, typer.Option("--version", "-V", help="Show the version.", rich_help_panel=_GENERAL)]
Colors = Annotated[
    bool,
    typer.Option("--color", "--colors", "--colour", "--colours", help="Use colours.", rich_help_panel=_GENERAL),
]
Wrap = Annotated[bool, typer.Option("--wrap", help="Break lines at column 76.", rich_help_panel=_GENERAL)]
DebugGc = Annotated[bool, typer.Option("--debug-gc", hidden=True)]
ShortOptions = Annotated[bool, typer.Option("--short-options", hidden=True)]
LongOptions = Annotated[bool, typer.Option("--long-options", hidden=True)]

Directory = Annotated[
    Path, typer.Option("--dir", metavar="DIR", help="The conversion directory.", rich_help_panel=_GENERAL)
]
InPlace = Annotated[bool, typer.Option("--in-place", help="Change the source itself.", rich_help_panel=_CONVERSION)]
Report = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="Write down what was done: JSON if it ends in .json, else text; '-' is stdout.",
        rich_help_panel=_GENERAL,
    ),
]
EventsFd = Annotated[
    int | None,
    typer.Option(
        "--events-fd",
        metavar="N",
        parser=_integer,
        help="Write events as JSON lines to a file descriptor.",
        rich_help_panel=_GENERAL,
    ),
]
