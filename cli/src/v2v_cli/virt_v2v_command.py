# SPDX-License-Identifier: GPL-2.0-or-later
"""The typer command of ``virt-v2v``: it reads the options and calls the pipeline."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated, ClassVar

from v2v_cli.command import GetoptCommand, options_of, single_command
from v2v_cli.exit import Session
from v2v_cli.getopt_long_only import Arity, OptionSpec
from v2v_cli.options.conversion import Conversion
from v2v_cli.options.copying import BEYOND_VIRT_V2V, Copying
from v2v_cli.options.declaration import Group, Offer, Use, flag, option
from v2v_cli.options.destination import Destination
from v2v_cli.options.general import Messages
from v2v_cli.options.source import Source
from v2v_cli.render.created import write_created
from v2v_core import __version__, own_stdout
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
    """virt-v2v's options, including those that are known and refused."""

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


@dataclass(frozen=True, kw_only=True)
class VirtV2v(Group):
    """The options that only virt-v2v has."""

    panel: ClassVar = "General"

    print_source: Annotated[
        bool, flag("--print-source", help="Print what the source says about the guest; nothing is converted.")
    ] = False
    machine_readable: Annotated[
        str | None,
        option(
            "--machine-readable",
            metavar="[=FORM]",
            use=Use.MAYBE,
            help="Write messages as JSON lines to stdout, file:NAME, stream:stderr or fd:N. If no guest is named, list "
            "what this virt-v2v can do.",
        ),
    ] = None
    version: Annotated[bool, flag("--version", "-V", help="Print the version.")] = False
    colors: Annotated[
        bool, flag("--color", "--colors", "--colour", "--colours", help="Use colours even if this is not a terminal.")
    ] = False
    wrap: Annotated[bool, flag("--wrap", help="Break lines at column 76.")] = False
    debug_gc: Annotated[bool, flag("--debug-gc", help="Accepted, and without effect.", hidden=True)] = False
    short_options: Annotated[
        bool, flag("--short-options", help="List the one-dash options, for shell completion.", hidden=True)
    ] = False
    long_options: Annotated[
        bool, flag("--long-options", help="List the two-dash options, for shell completion.", hidden=True)
    ] = False


def virt_v2v(
    session: Session,
    source: Annotated[Source, Offer(without=("in_place",), defaults={"mode": "libvirt"})],
    destination: Annotated[Destination, Offer(defaults={"mode": "libvirt"})],
    copying: Annotated[Copying, Offer(without=BEYOND_VIRT_V2V)],
    conversion: Annotated[Conversion, Offer(without=("converter", "no_serial_console"))],
    own: VirtV2v,
    messages: Messages,
) -> int:
    """Convert a guest of a foreign hypervisor so that it boots on KVM.

    Examples:
    $ virt-v2v -i disk guest.vmdk -o local -os /var/lib/libvirt/images
    $ virt-v2v -i ova guest.ova -o null
    $ virt-v2v -i vcenter -ic https://USER@VCENTER/ -ip FILE GUEST -o local -os .

    'v2v plugins list' lists the kinds of sources and targets, 'v2v doctor' what is missing on this machine.
    """
    session.verbose, session.color = messages.verbose, own.colors or sys.stderr.isatty()
    if own.version:
        own_stdout.stdout().write(f"{session.program} {__version__}\n")
        return 0
    if own.short_options or own.long_options:
        return _list_options("-" if own.short_options else "--")
    # imported only now: these modules take time to load
    from v2v_cli.listings import list_capabilities, list_what_was_asked_for
    from v2v_cli.rendering import start_messages
    from v2v_core.settings import RunChoice

    if own.machine_readable is not None and not source.guests:
        list_capabilities(own.machine_readable)
        return 0
    if list_what_was_asked_for(source, destination):
        return 0
    if not source.guests:
        raise UsageError("no guest was named", hint="write, for example: virt-v2v -i disk guest.img -o local -os DIR")
    choice = RunChoice(
        input=source.choice(),
        output=destination.choice(),
        convert=conversion.choice(verbose=messages.verbose or messages.trace),
        copy=copying.choice(),
        verbose=messages.verbose,
    )
    start_messages(
        session,
        messages,
        colors=own.colors,
        wrap=own.wrap,
        machine_readable=own.machine_readable,
        result_on_stdout=own.print_source,
    )
    from v2v_core import pipeline

    if own.print_source:
        from v2v_cli.render.print_source import print_source

        session.prints = True
        own_stdout.stdout().write(print_source(pipeline.print_source(choice, session.renderers)))
        return 0
    created = pipeline.run(choice, session.renderers).created
    if not messages.quiet:
        write_created(created)
    return 0


def _list_options(dashes: str) -> int:
    """Print the names of the options for shell completion. Two-letter names are in both lists."""
    names = ["--help", *(name for one in options_of(command).values() if not one.hidden for name in one.names)]
    for name in sorted(names, key=str.lower):
        letters = name.lstrip("-")
        is_long = len(letters) > 1
        if is_long if dashes == "--" else len(name) - len(letters) == 1:
            own_stdout.stdout().write(f"{dashes}{letters}\n")
    return 0


command = single_command(virt_v2v, cls=VirtV2VCommand)
