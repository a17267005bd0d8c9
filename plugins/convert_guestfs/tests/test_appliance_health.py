# SPDX-License-Identifier: GPL-2.0-or-later
"""When an appliance must be ended, from what qemu and its kernel say."""

from __future__ import annotations

from typing import Any

import pytest

from v2v_convert_guestfs import appliance_health
from v2v_convert_guestfs.appliance_health import (
    FULL_LIMIT,
    PAUSE_LIMIT,
    SILENCE_LIMIT,
    STALL_LIMIT,
    STOPPED_LIMIT,
    Health,
)

HUNG = "INFO: task mount:123 blocked for more than 120 seconds."


def health(free: int | None = None) -> Health:
    return Health(
        shortage=lambda disk: (f"no space for {disk}", "make some"), log=lambda _text: None, free=lambda: free
    )


def error(device: str, operation: str, *, nospace: bool, action: str = "stop") -> dict[str, Any]:
    data = {"device": device, "operation": operation, "nospace": nospace, "action": action}
    return {"event": "BLOCK_IO_ERROR", "data": {**data, "reason": "No space left on device" if nospace else "Bad"}}


def counts(**numbers: int) -> dict[str, Any]:
    return {"return": [{"device": "hd0", "stats": {"rd_operations": 1, **numbers}}]}


def message(watched: Health) -> str:
    return watched.failure.message if watched.failure is not None else ""


@pytest.mark.parametrize(
    ("device", "name"), [("hd0", "disk 1"), ("hd11", "disk 12"), ("appliance", "the appliance's own disk")]
)
def test_a_write_without_space(device: str, name: str) -> None:
    """kimchi-project/kimchi#367: qemu's event is the only sign; the guest waits for ever."""
    watched = health()
    watched.hear(error(device, "write", nospace=True))
    assert message(watched).startswith(f"{name} cannot be written: no space for ")
    assert watched.failure is not None
    assert watched.failure.hint == "make some"


def test_a_read_that_needed_space() -> None:
    """qcow2 writes changed tables before it can read others."""
    watched = health()
    watched.hear(error("hd0", "read", nospace=True, action="report"))
    assert message(watched) == "disk 1 cannot be written: no space for 1"


def test_another_write_error_ends_the_appliance_if_data_was_lost() -> None:
    watched = health()
    watched.hear(error("hd1", "write", nospace=False, action="report"))
    assert watched.failure is None
    watched.hear(counts(failed_wr_operations=1))
    assert message(watched) == "disk 2 cannot be written: Bad"


def test_a_discard_that_fails_is_no_loss() -> None:
    watched = health()
    watched.hear(error("hd1", "write", nospace=False, action="report"))
    watched.hear(counts(failed_wr_operations=0, failed_unmap_operations=1))
    assert watched.failure is None


def test_a_sector_that_cannot_be_read_is_for_the_guest_to_judge() -> None:
    watched = health()
    watched.hear(error("hd0", "read", nospace=False, action="report"))
    watched.hear(counts(failed_rd_operations=1))
    assert watched.failure is None


@pytest.mark.parametrize("status", ["paused", "internal-error", "io-error"])
def test_a_machine_that_stays_paused(status: str) -> None:
    """kubernetes/minikube#3474: "forcibly paused", and nobody says why or goes on."""
    watched = health()
    for _second in range(PAUSE_LIMIT):
        assert watched.failure is None
        watched.hear({"return": {"status": status}})
        watched.tick(stopped=False)
    assert message(watched) == f"the appliance does not go on: qemu has paused it ({status})"


def test_a_machine_that_goes_on_is_not_paused() -> None:
    watched = health()
    for number in range(10 * PAUSE_LIMIT):
        watched.hear({"return": {"status": "paused" if number % PAUSE_LIMIT else "running"}})
        watched.tick(stopped=False)
    assert watched.failure is None


def test_a_process_that_was_stopped() -> None:
    watched = health()
    for _second in range(STOPPED_LIMIT - 1):
        watched.tick(stopped=True)
    assert watched.failure is None
    watched.tick(stopped=True)
    assert message(watched) == "the appliance does not go on: the process of its qemu was stopped"


def test_a_process_that_is_slow_has_more_time() -> None:
    watched = health()
    for _second in range(SILENCE_LIMIT - 1):
        watched.tick(stopped=False)
    assert watched.failure is None
    watched.tick(stopped=False)
    assert message(watched) == "the appliance's qemu has not answered for 5 minutes"


def test_a_source_that_no_longer_answers() -> None:
    """Nothing is read or written, and the appliance's kernel says that a program waits for it."""
    watched = health()
    watched.hear_kernel(HUNG)
    for second in range(STALL_LIMIT):
        assert watched.failure is None
        if second % 5 == 0:
            watched.hear({"return": {"status": "running"}})
        watched.tick(stopped=False)
    assert message(watched) == "a disk of the guest has not answered for 5 minutes"
    assert watched.failure is not None
    assert "base1" in str(watched.failure.hint)


@pytest.mark.parametrize("hung", [HUNG, ""], ids=["a slow disk", "a program that computes"])
def test_slow_is_not_dead(hung: str) -> None:
    watched = health()
    for second in range(2 * STALL_LIMIT):
        if hung and second % 120 == 0:
            watched.hear_kernel(hung)
        if second % 5 == 0:
            watched.hear({"return": {"status": "running"}})
            watched.hear(counts(wr_operations=second // 100 if hung else 0))
        watched.tick(stopped=False)
    assert watched.failure is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "critical space allocation error, dev sdb, sector 2048 op 0x1:(WRITE) flags 0x800 phys_seg 1",
            "disk 2 cannot be written: critical space allocation error, dev sdb, sector 2048 op 0x1:(WRITE)",
        ),
        (
            "blk_update_request: I/O error, dev sda, sector 8 op 0x1:(WRITE) flags 0x0",
            "disk 1 cannot be written: blk_update_request: I/O error, dev sda, sector 8 op 0x1:(WRITE)",
        ),
        ("I/O error, dev sda, sector 8 op 0x0:(READ) flags 0x0", ""),
        ("critical target error, dev sda, sector 8 op 0x3:(DISCARD) flags 0x0", ""),
    ],
)
def test_the_kernel_says_that_something_was_not_written(line: str, expected: str) -> None:
    """The only sign where libvirt has started qemu."""
    watched = health()
    watched.hear_kernel(line)
    assert message(watched) == expected


@pytest.mark.parametrize(("free", "full"), [(0, True), (appliance_health.LEAST_FREE, False), (None, False)])
def test_a_full_file_system_is_told_before_the_next_write(free: int | None, full: bool) -> None:
    watched = health(free)
    for _second in range(FULL_LIMIT):
        assert watched.failure is None
        watched.hear({"return": {"status": "running"}})
        watched.tick(stopped=False)
    assert bool(watched.failure) is full


@pytest.mark.parametrize("odd", [{}, {"return": {}}, {"return": [1]}, {"event": "X"}, {"event": "BLOCK_IO_ERROR"}])
def test_other_messages_are_answers_all_the_same(odd: dict[str, Any]) -> None:
    watched = health()
    for _second in range(2 * SILENCE_LIMIT):
        watched.hear(odd)
        watched.tick(stopped=True)
    assert watched.failure is None
