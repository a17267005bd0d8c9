# SPDX-License-Identifier: GPL-2.0-or-later
"""What Windows has begun and not finished: updates, file renames at the next start, its own setup, a disk check.

A half-installed update replaces system files and parts of the registry at the next start; if that fails, it is rolled
back to what was there before the conversion. What only waits for a restart does no harm: it has it on KVM.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from v2v_convert_guestfs.session import Blockers
from v2v_convert_guestfs.windows.checks.reading import WINDOWS, controls, number, software, text, texts
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.registry.hives import HiveName
from v2v_core.api import visible

_SERVICING = rf"{WINDOWS}\Component Based Servicing"
_SESSION_MANAGER = r"Control\Session Manager"
#: What Windows runs at its start to finish an update.
_UPDATER = "poqexec"
_FINISH = (
    "start the guest at its hypervisor, let Windows finish its updates, restart it until it wants no more restarts, "
    "and shut it down"
)
#: What a renamed or deleted file must be below of to matter: drivers and what they are installed from.
_DRIVERS = re.compile(r"\\system32\\(?:drivers|driverstore|catroot2?)\\", re.IGNORECASE)
_SYSTEM = re.compile(r"\\(?:windows|winnt)\\(?:system32|syswow64|sysnative|winsxs|boot|inf)\\", re.IGNORECASE)
#: Files below the system's directories that installers of anything leave there.
_TEMPORARY = re.compile(r"\\te?mp\\|\\tmp[^\\]*$|\.tmp$|\\spool\\", re.IGNORECASE)
_MOST_NAMED = 3
#: What setup writes about its own state (Windows Vista and later).
_GENERALIZED = re.compile(r"IMAGE_STATE_(?:GENERALIZE|SPECIALIZE)_RESEAL_TO_(?:OOBE|AUDIT)")
_MINI_SETUP = re.compile(r"\bsetup(?:\.exe)?\b.*-mini\b", re.IGNORECASE)


def examine(guest: WindowsGuest, blockers: Blockers) -> None:
    """Collect what must be finished at the source, and warn of what Windows will do at its next start."""
    _check_setup(guest, blockers)
    _check_updates(guest, blockers)
    _check_renames(guest)
    _check_disk_check(guest)


def _check_updates(guest: WindowsGuest, blockers: Blockers) -> None:
    waiting = {
        "RebootPending": software(guest, rf"{_SERVICING}\RebootPending") is not None,
        "RebootInProgress": software(guest, rf"{_SERVICING}\RebootInProgress") is not None,
        "SessionsPending": bool(number(software(guest, rf"{_SERVICING}\SessionsPending"), "Exclusive")),
    }
    found = [name for name, is_there in waiting.items() if is_there]
    managers = controls(guest, _SESSION_MANAGER)
    updating = any(_UPDATER in command.lower() for key in managers for command in texts(key, "SetupExecute"))
    pending = f"{guest.system.systemroot}/WinSxS/pending.xml"
    has_list = guest.files.find(pending) is not None
    if waiting["RebootInProgress"] or (has_list and (found or updating)):
        what = [rf"Component Based Servicing\{name}" for name in found]
        what += [r"WinSxS\pending.xml"] * has_list + [r"Session Manager\SetupExecute"] * updating
        blockers.add(f"updates of the guest's Windows are half installed ({', '.join(what)})", _FINISH)
        return
    if software(guest, rf"{WINDOWS}\WindowsUpdate\Auto Update\RebootRequired") is not None:
        found.append("RebootRequired")
    if found:
        guest.session.report.warning(
            f"the guest's Windows waits for a restart to finish updates or installations ({', '.join(found)}): it does "
            "that at its first start on KVM, before the first boot's scripts. If that fails, nobody sees it there: to "
            "be sure, restart the guest at its hypervisor before the conversion"
        )
    elif has_list:
        guest.session.report.warning(
            f"{pending} in the guest lists operations of an update, and nothing else says that one is pending: it is "
            "most likely left over from a failed one. If the guest has trouble with updates, run DISM /Online "
            "/Cleanup-Image /RestoreHealth at the source"
        )


def _check_renames(guest: WindowsGuest) -> None:
    """Warn of system files that are to be replaced at the next start. Most entries are remains of installers."""
    serious: list[str] = []
    for key in controls(guest, _SESSION_MANAGER):
        for name in ("PendingFileRenameOperations", "PendingFileRenameOperations2"):
            found = key.value(name)
            serious += serious_renames(found.data) if found is not None else []
    named = list(dict.fromkeys(serious))
    if named:
        shown = ", ".join(visible(one) for one in named[:_MOST_NAMED])
        more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        guest.session.report.warning(
            f"Windows will replace or remove system files at its next start (PendingFileRenameOperations): {shown}"
            f"{more}. To be sure that this works, restart the guest at its hypervisor before the conversion"
        )


def serious_renames(data: bytes) -> list[str]:
    r"""Return the paths in a PendingFileRenameOperations that matter.

    The value is a list of pairs: a path, and its new one or "" to delete it, so it cannot be read as a REG_MULTI_SZ.
    What is deleted matters if it is a driver; what gets a new name matters if that is in a directory of the system.
    """
    parts = data[: len(data) & ~1].decode("utf-16-le", "replace").split("\0")
    serious = []
    plain = [_plain(part) for part in parts]
    for old, new in zip(plain[::2], plain[1::2], strict=False):
        if new and (_SYSTEM.search(new) or _DRIVERS.search(new)) and not _TEMPORARY.search(new):
            serious.append(new)
        elif old and not new and _DRIVERS.search(old) and not _TEMPORARY.search(old):
            serious.append(old)
    return serious


def _plain(path: str) -> str:
    r"""Return a path without what the kernel needs before it: ``!`` (replace), ``*1`` (a number), ``\??\``."""
    return re.sub(r"^(?:!|\*\d+)*\\\?\?\\", "", path)


def _check_setup(guest: WindowsGuest, blockers: Blockers) -> None:
    setup = guest.registry.key(HiveName.SYSTEM, "Setup")
    state = text(software(guest, rf"{WINDOWS}\Setup\State"), "ImageState")
    running = number(setup, "SystemSetupInProgress")
    if _GENERALIZED.fullmatch(state) or (running and _MINI_SETUP.search(text(setup, "CmdLine"))):
        guest.session.report.warning(
            "the guest is a template that was prepared with sysprep: at its first start on KVM Windows sets itself up "
            "and asks for what no answer file says, and only then do the scripts of the first boot run. Settings of "
            "network cards are not part of a template"
        )
    elif running:
        blockers.add(
            "Windows has not finished its setup or an upgrade (SystemSetupInProgress)",
            "start the guest at its hypervisor, let the setup come to its end, and shut the guest down",
        )
    elif number(setup, "OOBEInProgress"):
        guest.session.report.warning(
            "nobody has answered the first questions of this Windows yet (OOBEInProgress): it asks them at its first "
            "start on KVM, and the scripts of the first boot may have to wait for the answers"
        )


def _check_disk_check(guest: WindowsGuest) -> None:
    commands = {command for key in controls(guest, _SESSION_MANAGER) for command in texts(key, "BootExecute")}
    scheduled = scheduled_checks(sorted(commands))
    if scheduled:
        guest.session.report.warning(
            f"Windows will check a disk (chkdsk) at its next start: {visible(', '.join(scheduled))}. The first boot on "
            "KVM waits for that; to have it behind you, restart the guest at its hypervisor before the conversion"
        )


def scheduled_checks(commands: Sequence[str]) -> list[str]:
    r"""Return the volumes that a BootExecute has checked at the next start.

    ``autocheck autochk *`` is what every Windows has; ``autocheck autochk /k:C *`` excludes a volume.
    """
    found = []
    for command in commands:
        words = command.split()
        if any(word.lower() == "autochk" for word in words) and any(word.startswith("\\??\\") for word in words):
            found += [word.removeprefix("\\??\\") for word in words if word.startswith("\\??\\")]
    return found
