# SPDX-License-Identifier: GPL-2.0-or-later
"""From the values of options to the records that the steps take."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from v2v_cli.modes import input_mode
from v2v_cli.option_values import (
    at_least_one,
    collected,
    connection_uri,
    key_selectors,
    key_values,
    keys_in,
    nic_mappings,
    one_of,
    readable_file,
    root_choice,
    static_addresses,
)
from v2v_core.errors import UsageError
from v2v_core.hookspecs import ConvertSettings
from v2v_core.settings import ConvertChoice, CopyChoice, InputChoice, OutputChoice

_MEGABYTE = 1024 * 1024


def input_choice(
    mode: str,
    arguments: Sequence[str] | None,
    *,
    connection: str | None = None,
    disk_format: str | None = None,
    transport: str | None = None,
    password_file: Path | None = None,
    options: Sequence[str] | None = None,
    in_place: bool = False,
) -> InputChoice:
    """Make the record of ``-i`` and what belongs to it.

    :raises UsageError: a value makes no sense.
    """
    return InputChoice(
        mode=input_mode(mode, connection),
        arguments=tuple(arguments or ()),
        connection=connection_uri("-ic", connection),
        format=disk_format,
        transport=transport,
        password_file=readable_file("-ip", password_file),
        options=key_values(options or ()),
        in_place=in_place,
    )


def output_choice(
    mode: str,
    *,
    allocation: str = "sparse",
    connection: str | None = None,
    disk_format: str | None = None,
    name: str | None = None,
    options: Sequence[str] | None = None,
    password_file: Path | None = None,
    storage: str | None = None,
) -> OutputChoice:
    """Make the record of ``-o`` and what belongs to it.

    :raises UsageError: a value makes no sense.
    """
    return OutputChoice(
        mode=mode,
        name=name,
        storage=storage,
        connection=connection_uri("-oc", connection),
        format=disk_format,
        allocation=one_of("-oa", allocation, ("sparse", "preallocated")),
        password_file=readable_file("-op", password_file),
        options=key_values(options or ()),
    )


def convert_choice(
    *,
    root: str = "ask",
    block_driver: str = "virtio-blk",
    memory: int | None = None,
    cpus: int | None = None,
    trim: bool = True,
    serial_console: bool = True,
    keys: Sequence[str] | None = None,
    keys_from_stdin: bool = False,
    collect: Sequence[str] | None = None,
    collect_output: Path | None = None,
    networks: Sequence[str] | None = None,
    bridges: Sequence[str] | None = None,
    macs: Sequence[str] | None = None,
    verbose: bool = False,
    converter: str = "guestfs",
) -> ConvertChoice:
    """Make the record of the conversion; ``memory`` is in megabytes.

    :raises UsageError: a value makes no sense.
    """
    megabytes = at_least_one("--memsize", memory)
    settings = ConvertSettings(
        root=root_choice(root),
        block_driver=one_of("--block-driver", block_driver, ("virtio-blk", "virtio-scsi")),
        memory=None if megabytes is None else megabytes * _MEGABYTE,
        cpus=at_least_one("--smp", cpus),
        trim=trim,
        serial_console=serial_console,
        keys=(*key_selectors(keys or ()), *(keys_in(sys.stdin) if keys_from_stdin else ())),
        verbose=verbose,
        static_addresses=static_addresses(macs or ()),
        extra=collected(collect or (), collect_output),
    )
    return ConvertChoice(
        mode=converter, settings=settings, nics=nic_mappings(networks or (), bridges or (), macs or ())
    )


def copy_choice(parallel: int = 1, *, copier: str | None = None, connections: int = 0) -> CopyChoice:
    """Make the record of the copy.

    :raises UsageError: not a single disk at once, or less than no connection.
    """
    if connections < 0:
        raise UsageError("--connections must not be negative")
    return CopyChoice(mode=copier, parallel=at_least_one("--parallel", parallel) or 1, connections=connections)
