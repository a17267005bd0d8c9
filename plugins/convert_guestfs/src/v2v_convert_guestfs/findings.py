# SPDX-License-Identifier: GPL-2.0-or-later
"""What the examination of a guest found, for the user who asked for nothing else (``v2v inspect --deep``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from v2v_core.api import Fact, KernelFound


@dataclass
class Findings:
    """Filled in as the examination goes on, so that what is known before an obstacle is known after it.

    :param sizes: bytes, by device. :param system: the operating system's name for itself.
    :param tools: packages of the old hypervisor. :param kernels: of a Linux guest, the best first.
    :param drivers: that a Windows guest gets, each with its version and where it comes from.
    :param facts: what was examined in the converted guest.
    """

    sizes: dict[str, int] = field(default_factory=dict)
    system: str | None = None
    boot_loader: str | None = None
    tools: tuple[str, ...] = ()
    kernels: Sequence[KernelFound] = ()
    drivers: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
