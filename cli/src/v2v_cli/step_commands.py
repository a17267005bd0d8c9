# SPDX-License-Identifier: GPL-2.0-or-later
"""The typer commands of the helpers: one step each, with the options of virt-v2v that it needs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from v2v_cli import options as opt
from v2v_cli.choices import convert_choice, copy_choice, input_choice, output_choice
from v2v_cli.command import single_command
from v2v_cli.exit import Session
from v2v_cli.rendering import renderers
from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import UsageError
from v2v_core.signals import signals_wait

if TYPE_CHECKING:
    from typer.core import TyperCommand


def input_setup_command(mode: str) -> TyperCommand:
    """Make ``helper-v2v-input-MODE``."""

    def input_setup(
        ctx: typer.Context,
        directory: opt.Directory,
        guests: opt.Arguments = None,
        input_connection: opt.InputConnection = None,
        input_format: opt.InputFormat = None,
        input_options: opt.InputOptions = None,
        input_password: opt.InputPassword = None,
        input_transport: opt.InputTransport = None,
        in_place: opt.InPlace = False,
        quiet: opt.Quiet = False,
        verbose: opt.Verbose = False,
        events_fd: opt.EventsFd = None,
    ) -> int:
        """Serve the disks of a guest on DIR/in1 … and write DIR/metadata.in."""
        choice = input_choice(
            mode,
            guests,
            connection=input_connection,
            disk_format=input_format,
            transport=input_transport,
            password_file=input_password,
            options=input_options,
            in_place=in_place,
        )
        session = _begin(ctx, quiet, verbose, events_fd)
        from v2v_core.steps import input_setup as step

        step.run(_marked(ConversionDir.open_or_create(directory)), choice, session.renderers)
        return 0

    return single_command(input_setup)


def convert_command() -> TyperCommand:
    """Make ``helper-v2v-convert``."""

    def convert(
        ctx: typer.Context,
        directory: opt.Directory,
        root: opt.Root = "ask",
        block_driver: opt.BlockDriver = "virtio-blk",
        no_trim: opt.NoTrim = False,
        no_serial_console: opt.NoSerialConsole = False,
        keys: opt.Keys = None,
        keys_from_stdin: opt.KeysFromStdin = False,
        collect: opt.Collect = None,
        collect_output: opt.CollectOutput = None,
        memory: opt.Memory = None,
        cpus: opt.Cpus = None,
        networks: opt.Networks = None,
        bridges: opt.Bridges = None,
        macs: opt.Macs = None,
        converter: opt.Converter = "guestfs",
        report: opt.Report = None,
        quiet: opt.Quiet = False,
        verbose: opt.Verbose = False,
        trace: opt.Trace = False,
        events_fd: opt.EventsFd = None,
    ) -> int:
        """Convert the guest on DIR/in1 … so that it boots on KVM, and write DIR/metadata.out."""
        choice = convert_choice(
            root=root,
            block_driver=block_driver,
            memory=memory,
            cpus=cpus,
            trim=not no_trim,
            serial_console=not no_serial_console,
            keys=keys,
            keys_from_stdin=keys_from_stdin,
            collect=collect,
            collect_output=collect_output,
            networks=networks,
            bridges=bridges,
            macs=macs,
            verbose=verbose or trace,
            converter=converter,
        )
        if trace:
            os.environ["LIBGUESTFS_TRACE"] = "1"
        session = _begin(ctx, quiet, verbose, events_fd)
        # in a process of its own: this one stays able to stop it
        from v2v_cli import report_file
        from v2v_core.steps.convert_apart import convert_apart

        path, opened = report_file.checked(report), _open(directory)
        try:
            convert_apart(opened, choice, session.renderers)
        finally:
            with signals_wait():
                report_file.write(opened, path, session.renderers)
        return 0

    return single_command(convert)


def output_setup_command(mode: str) -> TyperCommand:
    """Make ``helper-v2v-output-MODE setup``."""

    def output_setup(
        ctx: typer.Context,
        directory: opt.Directory,
        output_allocation: opt.OutputAllocation = "sparse",
        output_connection: opt.OutputConnection = None,
        output_format: opt.OutputFormat = None,
        output_name: opt.OutputName = None,
        output_options: opt.OutputOptions = None,
        output_password: opt.OutputPassword = None,
        output_storage: opt.OutputStorage = None,
        quiet: opt.Quiet = False,
        verbose: opt.Verbose = False,
        events_fd: opt.EventsFd = None,
    ) -> int:
        """Create the destination of each disk and serve it on DIR/out1 …"""
        choice = output_choice(
            mode,
            allocation=output_allocation,
            connection=output_connection,
            disk_format=output_format,
            name=output_name,
            options=output_options,
            password_file=output_password,
            storage=output_storage,
        )
        session = _begin(ctx, quiet, verbose, events_fd)
        from v2v_core.steps import output_check, output_setup

        opened = _open(directory)
        output_check.run(opened, choice, session.renderers)
        output_setup.run(opened, choice, session.renderers)
        return 0

    return single_command(output_setup)


def copy_command() -> TyperCommand:
    """Make ``helper-v2v-copy``."""

    def copy(
        ctx: typer.Context,
        directory: opt.Directory,
        parallel: opt.Parallel = 1,
        connections: opt.Connections = 0,
        copier: opt.Copier = None,
        quiet: opt.Quiet = False,
        verbose: opt.Verbose = False,
        events_fd: opt.EventsFd = None,
    ) -> int:
        """Copy each disk from DIR/in1 … to DIR/out1 …"""
        choice = copy_choice(parallel, copier=copier, connections=connections)
        session = _begin(ctx, quiet, verbose, events_fd)
        from v2v_core.steps import copy as step

        step.run(_open(directory), choice, session.renderers)
        return 0

    return single_command(copy)


def output_finalize_command(mode: str) -> TyperCommand:
    """Make ``helper-v2v-output-MODE final``."""

    def output_finalize(
        ctx: typer.Context,
        directory: opt.Directory,
        quiet: opt.Quiet = False,
        verbose: opt.Verbose = False,
        events_fd: opt.EventsFd = None,
    ) -> int:
        """Make the guest exist at the destination, and print what was created."""
        session = _begin(ctx, quiet, verbose, events_fd)
        from v2v_core.steps import output_finalize as step
        from v2v_core.steps.output_check import saved_choice

        opened = _open(directory)
        chosen = saved_choice(opened).mode
        if chosen != mode:
            raise UsageError(
                f"the output was set up with -o {chosen}, and not {mode}", hint=f"run helper-v2v-output-{chosen} final"
            )
        result = step.run(opened, session.renderers)
        sys.stdout.write("".join(f"{created}\n" for created in result.created))
        return 0

    return single_command(output_finalize)


def cleanup_command() -> TyperCommand:
    """Make ``helper-v2v-cleanup``."""

    def cleanup(
        ctx: typer.Context,
        directory: opt.Directory,
        quiet: opt.Quiet = False,
        verbose: opt.Verbose = False,
        events_fd: opt.EventsFd = None,
    ) -> int:
        """Stop the servers, take back an output that was begun and not finished, and remove DIR."""
        session = _begin(ctx, quiet, verbose, events_fd)
        if not directory.exists():
            # run twice, or by two supervisors, it has succeeded
            sys.stdout.write(f"{session.program}: {directory} does not exist: nothing to clean up\n")
            return 0
        from v2v_core.steps import cleanup as step

        step.run(ConversionDir.existing(directory), session.renderers)
        return 0

    return single_command(cleanup)


def _begin(ctx: typer.Context, quiet: bool, verbose: bool, events_fd: int | None) -> Session:
    session: Session = ctx.obj
    session.verbose, session.color = verbose, sys.stderr.isatty()
    session.renderers = renderers(session.program, quiet=quiet, verbose=verbose)
    if events_fd is not None:
        from v2v_cli.render.machine import JsonLines, open_channel

        session.renderers.append(JsonLines(open_channel(f"fd:{events_fd}")))
    return session


def _open(path: Path) -> ConversionDir:
    # the input step makes the directory; a mistyped one is not made by those that come after it
    if not path.is_dir():
        raise UsageError(f"{path} does not exist", hint="name the directory that the input step was given with --dir")
    return _marked(ConversionDir.open_or_create(path))


def _marked(directory: ConversionDir) -> ConversionDir:
    # whatever this process starts, directly or not, is found by the cleanup through this
    os.environ.update(directory.environment)
    return directory
