# SPDX-License-Identifier: GPL-2.0-or-later
"""The typer command of ``virt-v2v``: options in, one request out, the pipeline is called."""

from __future__ import annotations

import os
import sys
from typing import ClassVar

import typer

from v2v_cli import options as opt
from v2v_cli.command import GetoptCommand, option_table, single_command
from v2v_cli.exit import Session
from v2v_cli.getopt_long_only import Arity, OptionSpec, option_names
from v2v_core import __version__
from v2v_core.errors import UsageError

_FLAGS = "no-logfile no-selinux-relabel selinux-relabel selinux-relabel-at-boot update"
_WITH_VALUE = (
    "append-line chmod chown commands-from-file copy copy-in delete edit firstboot"
    " firstboot-command firstboot-install hostname install link mkdir move password password-crypto root-password run"
    " run-command scrub selinux-relabel-exclude ssh-inject tar-in timezone touch truncate truncate-recursive uninstall"
    " upload write"
)
_NOT_YET = "not supported yet by this version"


class VirtV2VCommand(GetoptCommand):
    """virt-v2v's options, with those that are known and do not work here (yet)."""

    refused: ClassVar = (
        *(OptionSpec((f"--{name}",), Arity.NONE, refusal=_NOT_YET) for name in _FLAGS.split()),
        *(OptionSpec((f"--{name}",), Arity.REQUIRED, refusal=_NOT_YET) for name in _WITH_VALUE.split()),
        OptionSpec(
            ("--echo-keys",),
            Arity.NONE,
            refusal="keys are not asked for on the terminal; use --key or --keys-from-stdin",
        ),
        OptionSpec(
            ("--in-place",), refusal="virt-v2v copies and converts; use 'v2v convert --in-place' to change the source"
        ),
    )
    removed: ClassVar = {
        "compressed": "write -oo compressed",
        "qemu-boot": "write -oo qemu-boot",
        "password-file": "write -ip FILE",
        "bandwidth": "limit the bandwidth outside of virt-v2v, for example with tc",
        "bandwidth-file": "limit the bandwidth outside of virt-v2v, for example with tc",
        "no-trim": "it had no effect; leave it out",
        "vmtype": "it had no effect; leave it out",
        **{
            f"vddk-{name}": f"write -io vddk-{name}=…"
            for name in ["config", "cookie", "libdir", "nfchostport", "port", "snapshot", "thumbprint", "transports"]
        },
        **{
            f"vdsm-{name}": f"write -oo vdsm-{name}=…"
            for name in ["compat", "image-uuid", "vol-uuid", "vm-uuid", "ovf-output", "ovf-flavour"]
        },
    }


def virt_v2v(
    ctx: typer.Context,
    guests: opt.Arguments = None,
    input_mode: opt.InputMode = "libvirt",
    input_connection: opt.InputConnection = None,
    input_format: opt.InputFormat = None,
    input_options: opt.InputOptions = None,
    input_password: opt.InputPassword = None,
    input_transport: opt.InputTransport = None,
    output_mode: opt.OutputMode = "libvirt",
    output_allocation: opt.OutputAllocation = "sparse",
    output_connection: opt.OutputConnection = None,
    output_format: opt.OutputFormat = None,
    output_name: opt.OutputName = None,
    output_options: opt.OutputOptions = None,
    output_password: opt.OutputPassword = None,
    output_storage: opt.OutputStorage = None,
    parallel: opt.Parallel = 1,
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
    print_source: opt.PrintSource = False,
    machine_readable: opt.MachineReadable = None,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    trace: opt.Trace = False,
    version: opt.Version = False,
    colors: opt.Colors = False,
    wrap: opt.Wrap = False,
    debug_gc: opt.DebugGc = False,
    short_options: opt.ShortOptions = False,
    long_options: opt.LongOptions = False,
) -> int:
    """Convert a guest of a foreign hypervisor so that it boots on KVM."""
    session: Session = ctx.obj
    session.verbose, session.color = verbose, colors or sys.stderr.isatty()
    if version:
        sys.stdout.write(f"{session.program} {__version__}\n")
        return 0
    if short_options or long_options:
        return _list_options(ctx, "-" if short_options else "--")
    if trace:
        os.environ["LIBGUESTFS_TRACE"] = "1"
    # from here on the parts that take time to import
    from v2v_cli.choices import convert_choice, copy_choice, input_choice, output_choice
    from v2v_cli.listings import answer
    from v2v_cli.rendering import renderers
    from v2v_core.settings import RunChoice

    if answer(machine_readable, guests, (input_mode, input_connection, input_options), (output_mode, output_options)):
        return 0
    if not guests:
        raise UsageError("no guest was named", hint="write, for example: virt-v2v -i disk guest.img -o local -os DIR")
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
        ),
        copy=copy_choice(parallel),
        verbose=verbose,
    )
    session.renderers = renderers(
        session.program, quiet=quiet, verbose=verbose, colors=colors, wrap=wrap, machine_readable=machine_readable
    )
    from v2v_core import pipeline

    if print_source:
        from v2v_cli.render.print_source import print_source as describe

        sys.stdout.write(describe(pipeline.print_source(choice, session.renderers)))
    else:
        pipeline.run(choice, session.renderers)
    return 0


def _list_options(ctx: typer.Context, dashes: str) -> int:
    """Print the options for shell completion; the two-letter ones are in both lists."""
    for name in sorted(option_names(option_table(command, ctx)), key=str.lower):
        letters = name.lstrip("-")
        is_long = len(letters) > 1
        if (is_long if dashes == "--" else len(name) - len(letters) == 1) and letters not in _HIDDEN:
            sys.stdout.write(f"{dashes}{letters}\n")
    return 0


_HIDDEN = {"debug-gc", "short-options", "long-options"}

command = single_command(
    virt_v2v, cls=VirtV2VCommand, epilog="Installed modes: 'v2v plugins list'. This machine: 'v2v doctor'."
)
