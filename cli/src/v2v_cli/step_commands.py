# SPDX-License-Identifier: GPL-2.0-or-later
"""The typer commands of the helpers: each runs one step, and has the options of virt-v2v that the step needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from v2v_cli.command import single_command
from v2v_cli.exit import Session
from v2v_cli.options.conversion import Conversion
from v2v_cli.options.copying import Copying
from v2v_cli.options.declaration import Offer
from v2v_cli.options.destination import Destination
from v2v_cli.options.general import Directory, Events, Messages, Report
from v2v_cli.options.source import Source
from v2v_cli.render.sanitize import sanitize
from v2v_cli.render.streams import sanitize_created
from v2v_cli.rendering import start_messages
from v2v_core import own_stdout
from v2v_core.errors import DestinationError, UsageError
from v2v_core.events import Step
from v2v_core.signals import signals_wait

if TYPE_CHECKING:
    from typer.core import TyperCommand

_Messages = Annotated[Messages, Offer(without=("trace",))]


def input_setup_command(mode: str) -> TyperCommand:
    """Make ``helper-v2v-input-MODE``."""

    def input_setup(
        session: Session,
        directory: Directory,
        source: Annotated[Source, Offer(without=("mode",))],
        events: Events,
        messages: _Messages,
    ) -> int:
        path, choice = directory.required(), source.choice(mode)
        start_messages(session, messages, events=events)
        from v2v_core.steps.alone import run_alone

        run_alone(path, Step.INPUT_SETUP, choice, session.renderers)
        return 0

    input_setup.__doc__ = f"""Serve the disks of a guest on DIR/in1 … and write DIR/metadata.in.

    Examples:
    $ helper-v2v-input-{mode} --dir DIR GUEST
    """
    return single_command(input_setup)


def convert_command() -> TyperCommand:
    """Make ``helper-v2v-convert``."""

    def convert(
        session: Session,
        directory: Directory,
        conversion: Conversion,
        report: Report,
        events: Events,
        messages: Messages,
    ) -> int:
        """Convert the guest on DIR/in1 … so that it boots on KVM, and write DIR/metadata.out.

        Examples:
        $ helper-v2v-convert --dir DIR
        $ helper-v2v-convert --dir DIR --root first --report report.json
        """
        path, choice = directory.required(), conversion.choice(verbose=messages.verbose or messages.trace)
        start_messages(session, messages, events=events)
        from v2v_cli import report_file
        from v2v_core.steps.alone import holding
        from v2v_core.steps.convert_apart import convert_apart

        report_path = report_file.checked(report.report)
        with holding(path, Step.CONVERT) as opened:
            try:
                # in a process of its own, which this one can stop
                convert_apart(opened, choice, session.renderers)
            finally:
                with signals_wait():
                    report_file.write(opened, report_path, session.renderers)
        return 0

    return single_command(convert)


def output_setup_command(mode: str) -> TyperCommand:
    """Make ``helper-v2v-output-MODE setup``."""

    def output_setup(
        session: Session,
        directory: Directory,
        destination: Annotated[Destination, Offer(without=("mode",))],
        events: Events,
        messages: _Messages,
    ) -> int:
        path, choice = directory.required(), destination.choice(mode)
        start_messages(session, messages, events=events)
        from v2v_core.steps import output_check, output_setup
        from v2v_core.steps.alone import holding

        with holding(path, Step.OUTPUT_SETUP) as opened:
            output_check.run(opened, choice, session.renderers)
            output_setup.run(opened, choice, session.renderers)
        return 0

    output_setup.__doc__ = f"""Create the destination of each disk and serve it on DIR/out1 …

    Examples:
    $ helper-v2v-output-{mode} setup --dir DIR -os STORAGE
    """
    return single_command(output_setup)


def output_check_command(mode: str) -> TyperCommand:
    """Make ``helper-v2v-output-MODE check``."""

    def output_check(
        session: Session,
        directory: Directory,
        destination: Annotated[Destination, Offer(without=("mode",))],
        events: Events,
        messages: _Messages,
    ) -> int:
        choice = destination.choice(mode)
        start_messages(session, messages, events=events)
        from v2v_core.steps.alone import check_output_alone

        check_output_alone(directory.directory, choice, session.renderers)
        if not messages.quiet:
            where = "".join(
                f" {option} {sanitize(value)}"
                for option, value in (("-oc", choice.connection), ("-os", choice.storage), ("-on", choice.name))
                if value is not None
            )
            own_stdout.stdout().write(f"{session.program}: -o {mode}{where} can be used\n")
        return 0

    output_check.__doc__ = f"""Check options, login, place and name of the output. Nothing is created or converted.

    Without --dir, what depends on the guest is not checked: the number and the sizes of its disks, and its name if -on
    is not given. With the directory of helper-v2v-input-MODE, everything is checked.

    Examples:
    $ helper-v2v-output-{mode} check -os STORAGE
    $ helper-v2v-output-{mode} check --dir DIR -os STORAGE
    """
    return single_command(output_check)


def copy_command() -> TyperCommand:
    """Make ``helper-v2v-copy``."""

    def copy(
        session: Session,
        directory: Directory,
        copying: Annotated[Copying, Offer(without=("overlap", "no_overlap"))],
        events: Events,
        messages: _Messages,
    ) -> int:
        """Copy each disk from DIR/in1 … to DIR/out1 …

        It can be stopped at any time: what the target has already is not copied again.

        Examples:
        $ helper-v2v-copy --dir DIR --parallel 2
        $ helper-v2v-copy --dir DIR --from base
        """
        path, choice = directory.required(), copying.choice()
        start_messages(session, messages, events=events)
        from v2v_core.steps.alone import run_alone

        run_alone(path, Step.COPY, choice, session.renderers)
        return 0

    return single_command(copy)


def output_finalize_command(mode: str) -> TyperCommand:
    """Make ``helper-v2v-output-MODE final``."""

    def output_finalize(session: Session, directory: Directory, events: Events, messages: _Messages) -> int:
        path = directory.required()
        start_messages(session, messages, events=events)
        from v2v_core.steps import output_finalize as step
        from v2v_core.steps.alone import holding

        with holding(path, Step.OUTPUT_FINALIZE) as opened:
            opened.require(Step.OUTPUT_FINALIZE)
            chosen = step.mode_of_output(opened)
            if chosen != mode:
                raise UsageError(
                    f"the output was set up with -o {chosen}, and not {mode}",
                    hint=f"run helper-v2v-output-{chosen} final",
                )
            result = step.run(opened, session.renderers)
        stdout = own_stdout.stdout()
        stdout.write("".join(f"{sanitize_created(created, stdout)}\n" for created in result.created))
        return 0

    output_finalize.__doc__ = f"""Make the guest exist at the destination, and print what was created.

    Examples:
    $ helper-v2v-output-{mode} final --dir DIR
    """
    return single_command(output_finalize)


def cleanup_command() -> TyperCommand:
    """Make ``helper-v2v-cleanup``."""

    def cleanup(session: Session, directory: Directory, events: Events, messages: _Messages) -> int:
        """Stop the servers, take back an output that was begun and not finished, and remove DIR.

        Examples:
        $ helper-v2v-cleanup --dir DIR
        """
        path = directory.required()
        start_messages(session, messages, events=events)
        if not path.exists():
            # a second cleanup, perhaps by another supervisor, has succeeded, too
            own_stdout.stdout().write(f"{session.program}: {sanitize(str(path))} does not exist: nothing to clean up\n")
            return 0
        from v2v_core.steps.alone import clean_up_alone

        left = clean_up_alone(path, session.renderers)
        if left:
            raise DestinationError(
                f"{len(left)} objects could not be deleted, the first is {left[0].kind} {left[0].identity}",
                hint=f"{path} is kept: run this command again when they can be deleted",
            )
        return 0

    return single_command(cleanup)
