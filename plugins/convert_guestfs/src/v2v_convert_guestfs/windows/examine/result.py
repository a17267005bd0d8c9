# SPDX-License-Identifier: GPL-2.0-or-later
"""Examine the converted guest before it is handed over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from v2v_convert_guestfs.windows.examine import addresses, databases, files, services
from v2v_convert_guestfs.windows.examine.expected import Expected
from v2v_convert_guestfs.windows.examine.hive_reader import HiveReader, system_hive
from v2v_convert_guestfs.windows.examine.verdicts import UnknownError
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_core.api import ConversionError, Fact, Verdict


def examine_result(guest: WindowsGuest, expected: Expected) -> tuple[Fact, ...]:
    """Return the facts of a guest whose changes are all written."""
    path = guest.session.inspection.windows
    found: list[Fact] = []
    try:
        with system_hive(guest.session, path.system_hive if path is not None else "") as hive:
            found += registry_facts(hive, guest, expected)
    except UnknownError as err:
        found.append(Fact(name="another reader can read the hive SYSTEM", verdict=Verdict.FAILED, detail=str(err)))
    return (*found, *file_facts(guest, expected))


def registry_facts(hive: HiveReader, guest: WindowsGuest, expected: Expected) -> Iterator[Fact]:
    """Yield the facts of the registry."""
    if expected.driver is not None:
        yield from services.driver_facts(hive, guest.system, expected.driver)
        yield from databases.database_facts(hive, guest.system, expected.driver)
    if expected.first_boot is not None:
        yield from services.first_boot_facts(hive, guest.system, expected.first_boot)


def file_facts(guest: WindowsGuest, expected: Expected) -> Iterator[Fact]:
    """Yield the facts of files and of the boot configuration."""
    if expected.driver is not None:
        yield from files.driver_facts(guest, expected.driver)
    yield from files.written_facts(guest, expected.files)
    if expected.boot_facts is not None:
        yield from expected.boot_facts(guest)
    if expected.first_boot is not None:
        yield from files.first_boot_facts(guest, expected.first_boot.files)
    yield from addresses.address_facts(guest, expected.first_boot, expected.addresses)


def stop_on_failures(facts: Sequence[Fact]) -> None:
    """Stop if a fact is not true.

    :raises ConversionError: it names all that are not true, and what is missing.
    """
    failed = [fact for fact in facts if fact.verdict is Verdict.FAILED]
    if failed:
        listed = "; ".join(f"({number}) {fact.name}: {fact.detail}" for number, fact in enumerate(failed, 1))
        raise ConversionError(
            f"the converted guest is not as it must be, {len(failed)} of {len(facts)} facts: {listed}",
            hint="this is an error of the conversion or of the guest's disk: check the disk with chkdsk at the source "
            "and convert again; the log of this step shows what was written",
        )
