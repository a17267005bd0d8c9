# SPDX-License-Identifier: GPL-2.0-or-later
"""``v2v convert`` and ``v2v inspect``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from v2v_cli import options as opt
from v2v_cli.exit import Session
from v2v_core.errors import UsageError

if TYPE_CHECKING:
    from v2v_core.conversion_dir import ConversionDir

_Json = Annotated[bool, typer.Option("--json", help="Print events and the result as JSON lines, and nothing else.")]
_OptionalDirectory = Annotated[
    Path | None, typer.Option("--dir", metavar="DIR", help="Conversion directory, instead of one of its own.")
]


def convert(
    ctx: typer.Context,
    guests: opt.Arguments = None,
    input_mode: opt.InputMode = "disk",
    input_connection: opt.InputConnection = None,
    input_format: opt.InputFormat = None,
    input_options: opt.InputOptions = None,
    input_password: opt.InputPassword = None,
    input_transport: opt.InputTransport = None,
    output_mode: opt.OutputMode = "local",
    output_allocation: opt.OutputAllocation = "sparse",
    output_connection: opt.OutputConnection = None,
    output_format: opt.OutputFormat = None,
    output_name: opt.OutputName = None,
    output_options: opt.OutputOptions = None,
    output_password: opt.OutputPassword = None,
    output_storage: opt.OutputStorage = None,
    parallel: opt.Parallel = 1,
    connections: opt.Connections = 0,
    copier: opt.Copier = None,
    converter: opt.Converter = "guestfs",
    observers: opt.Observers = None,
    networks: opt.Networks = None,
    bridges: opt.Bridges = None,
    macs: opt.Macs = None,
    root: opt.Root = "ask",
    block_driver: opt.BlockDriver = "virtio-blk",
    no_trim: opt.NoTrim = False,
    keys: opt.Keys = None,
    keys_from_stdin: opt.KeysFromStdin = False,
    collect: opt.Collect = None,
    collect_output: opt.CollectOutput = None,
    memory: opt.Memory = None,
    cpus: opt.Cpus = None,
    in_place: opt.InPlace = False,
    directory: _OptionalDirectory = None,
    report: opt.Report = None,
    json: _Json = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    trace: opt.Trace = False,
) -> int:
    """Convert a guest."""
    from v2v_cli.choices import convert_choice, copy_choice, input_choice, output_choice
    from v2v_cli.listings import answer
    from v2v_core.settings import RunChoice

    session: Session = ctx.obj
    if answer(None, guests, (input_mode, input_connection, input_options), (output_mode, output_options)):
        return 0
    if not guests:
        raise UsageError("no guest was named", hint="write, for example: v2v convert guest.img --output-storage DIR")
    if trace:
        os.environ["LIBGUESTFS_TRACE"] = "1"
    choice = RunChoice(
        input=input_choice(
            input_mode,
            guests,
            connection=input_connection,
            disk_format=input_format,
            transport=input_transport,
            password_file=input_password,
            options=input_options,
            in_place=in_place,
        ),
        output=output_choice(
            output_mode,
            allocation=output_allocation,
            connection=output_connection,
            disk_format=output_format,
            name=output_name,
            options=output_options,
            password_file=output_password,
            storage=output_storage,
        ),
        convert=convert_choice(
            root=root,
            block_driver=block_driver,
            memory=memory,
            cpus=cpus,
            trim=not no_trim,
            keys=keys,
            keys_from_stdin=keys_from_stdin,
            collect=collect,
            collect_output=collect_output,
            networks=networks,
            bridges=bridges,
            macs=macs,
            verbose=verbose or trace,
            converter=converter,
        ),
        copy=copy_choice(parallel, copier=copier, connections=connections),
        directory=directory,
        observers=tuple(observers or ()),
        verbose=verbose,
    )
    report_path = _report(report, guests, json=json)
    _begin(session, quiet, verbose, json)
    from v2v_cli import report_file
    from v2v_core import pipeline

    def at_end(left: ConversionDir) -> None:
        report_file.write(left, report_path, session.renderers)

    if in_place:
        pipeline.convert_in_place(choice, session.renderers, at_end=at_end)
        created: tuple[str, ...] = ()
    else:
        created = pipeline.run(choice, session.renderers, at_end=at_end).created
    if json:
        from v2v_cli.render.machine import JsonLines

        JsonLines(sys.stdout).finished(created=list(created))
    elif not quiet:
        sys.stdout.write("".join(f"created {name}\n" for name in created))
    return 0


def inspect(
    ctx: typer.Context,
    guests: opt.Arguments = None,
    input_mode: opt.InputMode = "disk",
    input_connection: opt.InputConnection = None,
    input_format: opt.InputFormat = None,
    input_options: opt.InputOptions = None,
    input_password: opt.InputPassword = None,
    input_transport: opt.InputTransport = None,
    verbose: opt.Verbose = False,
) -> int:
    """Print what the source says about a guest; nothing is converted."""
    from v2v_cli.choices import input_choice, output_choice
    from v2v_core.settings import RunChoice

    session: Session = ctx.obj
    if not guests:
        raise UsageError("no guest was named", hint="write, for example: v2v inspect guest.img")
    choice = RunChoice(
        input=input_choice(
            input_mode,
            guests,
            connection=input_connection,
            disk_format=input_format,
            transport=input_transport,
            password_file=input_password,
            options=input_options,
        ),
        output=output_choice("null"),
        verbose=verbose,
    )
    _begin(session, quiet=True, verbose=verbose, json=False)
    from v2v_cli.render.print_source import print_source
    from v2v_core import pipeline

    sys.stdout.write(print_source(pipeline.print_source(choice, session.renderers)))
    return 0


def _report(path: Path | None, guests: list[str], *, json: bool) -> Path | None:
    from v2v_cli import report_file

    if json and path == report_file.STDOUT:
        raise UsageError("--report - and --json both want stdout", hint="name a file for the report")
    return report_file.checked(path, guests)


def _begin(session: Session, quiet: bool, verbose: bool, json: bool) -> None:
    from v2v_cli.rendering import renderers

    session.verbose, session.color = verbose, sys.stderr.isatty()
    session.renderers = renderers(session.program, quiet=quiet, verbose=verbose, json_lines=json)
