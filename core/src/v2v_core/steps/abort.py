# SPDX-License-Identifier: GPL-2.0-or-later
"""Takes back what plugins created outside the directory, by calling their hooks ``v2v_…_abort``.

The cleanup does this, and so does a set-up that is run again. The ledger says which plugin an object belongs to, and
what the user asked of that plugin. So no file is needed that a later step may have overwritten, and no plugin gets the
objects of another one.
"""

from __future__ import annotations

from v2v_core.conversion_dir import ConversionDir
from v2v_core.discovery import Role
from v2v_core.errors import V2VError
from v2v_core.hookspecs import AbortResult, InputAbortRequest, OutputAbortRequest, OwnedObject
from v2v_core.ledger import Owner
from v2v_core.plugins import load_plugin
from v2v_core.reporting import StepReport
from v2v_core.served import find_output
from v2v_core.settings import InputChoice, OutputChoice
from v2v_core.steps.output_choice import settings_of


def take_back(directory: ConversionDir, role: Role, report: StepReport) -> tuple[OwnedObject, ...]:
    """Take back what the plugins of a role created. Never raise, because the user must see the error that came first.

    :return: what could not be deleted. It stays in the ledger, and a warning names each object.
    """
    left: list[OwnedObject] = []
    for owner in directory.ledger.unsettled(role):
        remaining, reason = _take_back(directory, owner, report)
        if remaining:
            named = ", ".join(f"{thing.kind} {thing.identity}" for thing in remaining)
            report.warning(
                f"-{role.value[0]} {owner.choice.mode} could not undo what it did{reason}; left behind: {named}"
            )
        else:
            directory.ledger.settle(owner.number)
        left += remaining
    return tuple(left)


def _take_back(directory: ConversionDir, owner: Owner, report: StepReport) -> tuple[tuple[OwnedObject, ...], str]:
    """Return what is left, and the reason, as the warning quotes it."""
    owned = tuple(owner.objects)
    if owner.role is Role.INPUT and not owned:
        return (), ""
    try:
        result = _abort(directory, owner, report)
    except V2VError as err:
        return owned, f" ({err.message})"
    left = tuple(thing for thing in owned if thing in result.left)
    directory.ledger.gone(owner.number, (thing for thing in owned if thing not in left))
    return left, ""


def _abort(directory: ConversionDir, owner: Owner, report: StepReport) -> AbortResult:
    plugin = load_plugin(owner.role, owner.choice.mode)
    choice, owned = owner.choice, tuple(owner.objects)
    if isinstance(choice, InputChoice):
        return plugin.input_abort(
            InputAbortRequest(
                directory=directory.private("input"),
                owned=owned,
                report=report,
                arguments=choice.arguments,
                connection=choice.connection,
                transport=choice.transport,
                password_file=choice.password_file,
                options=plugin.check_options(choice.options, required=False),
            )
        )
    return plugin.output_abort(
        OutputAbortRequest(
            directory=directory.private("output"),
            settings=settings_of(plugin, choice, owner.name),
            owned=owned,
            state=_state(directory, owner),
            report=report,
        )
    )


def _state(directory: ConversionDir, owner: Owner) -> dict[str, object]:
    try:
        output = find_output(directory)
    except V2VError:
        # cut short by a crash: the plugin has to make do with the ledger
        return {}
    return dict(output.state) if output is not None and output.owner == owner.number else {}


def chosen_output(directory: ConversionDir, number: int) -> OutputChoice:
    """Return what the user asked of the output that was set up under a number.

    :raises V2VError: the ledger does not know it.
    """
    owner = directory.ledger.owner(number)
    if owner is None or not isinstance(owner.choice, OutputChoice):
        raise V2VError(f"{directory.path}: the ledger does not know the output that was set up")
    return owner.choice
