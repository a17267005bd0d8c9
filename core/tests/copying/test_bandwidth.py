# SPDX-License-Identifier: GPL-2.0-or-later
"""The limit of the rate: held by all processes together, changed while they copy, and never in the way of a kill."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from v2v_core.copying.bandwidth import Bandwidth, parse_rate, share_rate
from v2v_core.settings import CopyChoice

#: Takes pieces of 64 KiB until it has taken as many bytes as asked for, and writes a line after each.
_TAKER = """
import sys
from pathlib import Path
from v2v_core.copying.bandwidth import Bandwidth
limit = Bandwidth(Path(sys.argv[1]))
for _ in range(int(sys.argv[2]) // 65536):
    limit.wait_for(65536)
    print(".", flush=True)
"""


def taker(shared: Path, count: int) -> subprocess.Popen[bytes]:
    """Start a process that takes bytes, and wait until it has begun to."""
    process = subprocess.Popen([sys.executable, "-c", _TAKER, str(shared), str(count)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b".\n"
    return process


def shared_rate(place: Path, rate: int | None = None, file: Path | None = None) -> Path:
    shared = share_rate(place, CopyChoice(bandwidth=rate, bandwidth_file=file))
    assert shared is not None
    return shared


def seconds_for(limit: Bandwidth, count: int, pieces: int = 1) -> float:
    start = time.monotonic()
    for _ in range(pieces):
        limit.wait_for(count)
    return time.monotonic() - start


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10M", 10_000_000),
        ("10m", 10_000_000),
        ("1500k", 1_500_000),
        ("1.5G", 1_500_000_000),
        ("200000", 200_000),
        ("10Mbit/s", 10_000_000),
        ("50MB/s", 400_000_000),
        ("50 MiB/s", 419_430_400),
        ("0", 0),
        ("10M\n", 10_000_000),
    ],
)
def test_rates_count_bits_unless_their_unit_is_bytes(text: str, rate: int) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "fast", "-5M", "10Mb", "10 M 20", "1e9", "0x10", "50", "9999999T", "10MB/h"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="10M"):
        parse_rate(text)


def test_no_rate_and_no_file_are_no_limit(tmp_path: Path) -> None:
    assert share_rate(tmp_path, CopyChoice()) is None
    assert seconds_for(Bandwidth(None), 1024**4) < 0.1


def test_one_process_keeps_the_rate_in_requests_of_any_size(tmp_path: Path) -> None:
    # 8 Mbit/s are a million bytes a second
    limit = Bandwidth(shared_rate(tmp_path, 8_000_000))
    assert 0.9 < seconds_for(limit, 1_000_000) < 1.2
    assert 0.4 < seconds_for(limit, 5_000, pieces=100) < 0.7


def test_all_processes_together_keep_the_rate(tmp_path: Path) -> None:
    shared = shared_rate(tmp_path, 32_000_000)
    start = time.monotonic()
    takers = [taker(shared, 2_000_000) for _ in range(3)]
    for process in takers:
        assert process.wait() == 0
        assert process.stdout is not None
        process.stdout.close()
    # 6 MB at 4 MB/s; the start of the processes is in it
    assert 1.3 < time.monotonic() - start < 3


def test_what_was_not_used_is_not_made_up_for(tmp_path: Path) -> None:
    limit = Bandwidth(shared_rate(tmp_path, 8_000_000))
    limit.wait_for(1)
    time.sleep(1)
    assert seconds_for(limit, 500_000) > 0.4


def test_a_killed_and_a_frozen_process_do_not_stop_the_others(tmp_path: Path) -> None:
    shared = shared_rate(tmp_path, 80_000_000)
    killed, frozen = taker(shared, 10**9), taker(shared, 10**9)
    try:
        killed.kill()
        killed.wait()
        frozen.send_signal(signal.SIGSTOP)
        assert seconds_for(Bandwidth(shared), 2_000_000) < 5
    finally:
        for process in (killed, frozen):
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def test_a_process_frozen_while_it_holds_the_lock_is_waited_for_once(tmp_path: Path) -> None:
    shared = shared_rate(tmp_path, 80_000_000)
    with shared.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        limit = Bandwidth(shared)
        assert 1.5 < seconds_for(limit, 1000) < 4
        assert seconds_for(limit, 1000, pieces=100) < 1


def test_waiting_ends_when_the_process_is_asked_to_stop(tmp_path: Path) -> None:
    stop = threading.Event()
    limit = Bandwidth(shared_rate(tmp_path, 1000), stop=stop)
    threads = [threading.Thread(target=limit.wait_for, args=(10**6,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    stop.set()
    for thread in threads:
        thread.join(1)
        assert not thread.is_alive()


def test_a_signal_ends_a_process_that_waits(tmp_path: Path) -> None:
    # the first piece takes half a second, the second one two hours
    shared = shared_rate(tmp_path, 1_000_000)
    process = taker(shared, 10**9)
    share_rate(tmp_path, CopyChoice(bandwidth=1000))
    process.terminate()
    assert process.wait(2) == -signal.SIGTERM
    assert process.stdout is not None
    process.stdout.close()


def test_file_is_read_again_while_copying(tmp_path: Path) -> None:
    file = tmp_path / "rate"
    file.write_text("100k\n")
    limit = Bandwidth(shared_rate(tmp_path, None, file))
    copying = threading.Thread(target=limit.wait_for, args=(10**6,))
    copying.start()
    copying.join(0.5)
    # 80 seconds at this rate
    assert copying.is_alive()
    file.write_text("1G\n")
    copying.join(3)
    assert not copying.is_alive()


@pytest.mark.parametrize("content", ["", "\n", "0", None])
def test_missing_or_empty_file_is_no_limit(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "rate"
    if content is not None:
        file.write_text(content)
    assert seconds_for(Bandwidth(shared_rate(tmp_path, None, file)), 10**12) < 0.5


def test_rate_of_the_option_counts_where_the_file_is_empty(tmp_path: Path) -> None:
    file = tmp_path / "rate"
    file.touch()
    assert seconds_for(Bandwidth(shared_rate(tmp_path, 8_000_000, file)), 500_000) > 0.4


def test_nonsense_keeps_the_last_rate_with_one_warning_in_all_processes(tmp_path: Path) -> None:
    file = tmp_path / "rate"
    file.write_text("8M")
    shared = shared_rate(tmp_path, None, file)
    warnings: list[str] = []
    limits = [Bandwidth(shared, warn=warnings.append) for _ in range(2)]
    limits[0].wait_for(1)
    file.write_text("as fast as you can")
    time.sleep(1.1)
    for limit in limits:
        assert 0.3 < seconds_for(limit, 500_000) < 0.8
    time.sleep(1.1)
    limits[1].wait_for(1)
    assert len(warnings) == 1
    assert str(file) in warnings[0]
    assert "8 Mbit/s" in warnings[0]


@pytest.mark.parametrize("kind", ["fifo", "directory"])
def test_what_is_no_file_warns_and_stops_nothing(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "rate"
    if kind == "fifo":
        os.mkfifo(file)
    else:
        file.mkdir()
    warnings: list[str] = []
    limit = Bandwidth(shared_rate(tmp_path, None, file), warn=warnings.append)
    assert seconds_for(limit, 10**9) < 0.5
    assert len(warnings) == 1


def test_path_that_is_not_text_is_shared(tmp_path: Path) -> None:
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9"))
    file.write_text("8M")
    assert seconds_for(Bandwidth(shared_rate(tmp_path, None, file)), 500_000) > 0.4


def test_a_time_of_another_boot_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = shared_rate(tmp_path, 8_000_000)
    later = time.monotonic_ns() + 10**9 * 86400
    with monkeypatch.context() as patched:
        patched.setattr(time, "monotonic_ns", lambda: later)
        Bandwidth(shared, stop=_stopped_soon()).wait_for(500_000)
    assert seconds_for(Bandwidth(shared), 100_000) < 1


def _stopped_soon() -> threading.Event:
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    return stop
