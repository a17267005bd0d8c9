# SPDX-License-Identifier: GPL-2.0-or-later
"""Step copy: copies the data of each disk from ``in`` to ``out``, several disks at once if the user asked for it."""

from __future__ import annotations

import contextlib
import contextvars
import errno
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue

from v2v_core import processes, served
from v2v_core.conversion_dir import ConversionDir
from v2v_core.discovery import Role
from v2v_core.errors import CopyError, UsageError
from v2v_core.events import EventSink, Step
from v2v_core.hookspecs import CopyRequest, CopyResult
from v2v_core.plugins import LoadedPlugin, load_plugin
from v2v_core.reporting import StepReport, running
from v2v_core.served import ServedOutput
from v2v_core.serving import last_error, written_file
from v2v_core.settings import CopyChoice
from v2v_core.space import amount, free_space, has_overlay, shortage, taken
from v2v_core.steps.abort import chosen_output
from v2v_core.steps.output_setup import stop_destinations

_NO_ROOM = os.strerror(errno.ENOSPC)
#: Bytes; a file system with fewer of them is full.
_NOTHING = 1024 * 1024
#: The copier that is used if neither the user nor the output names one.
DEFAULT_COPIER = "nbdcopy"


def run(directory: ConversionDir, choice: CopyChoice, sinks: Sequence[EventSink] = ()) -> tuple[CopyResult, ...]:
    """Copy all disks. Afterwards the data is flushed and the destinations are no longer served.

    :raises CopyError: a disk could not be copied; the error names it. The other copies have been stopped.
    """
    with running(directory, Step.COPY, sinks) as report:
        if choice.parallel is not None and choice.parallel < 1:
            raise UsageError("--parallel must be at least 1")
        output = served.read_output(directory)
        plugin = load_plugin(Role.COPY, choice.mode or output.copier or DEFAULT_COPIER)
        report.debug(f"copier: {plugin.blame}")
        requests = _requests(directory, choice, output, report)
        try:
            results = _copy_all(plugin, requests, choice.parallel or 1, directory, report)
        finally:
            stop_destinations(directory)
        return results


def _requests(
    directory: ConversionDir, choice: CopyChoice, output: ServedOutput, report: StepReport
) -> list[CopyRequest]:
    allocation = chosen_output(directory, output.owner).allocation
    destinations = {disk.index: disk for disk in output.disks}
    return [
        CopyRequest(
            index=disk.index,
            source=disk.endpoint,
            destination=destinations[disk.index],
            allocation=allocation,
            request_size=output.request_size,
            connections=choice.connections,
            zeroed=output.zeroed,
            output_directory=directory.private("output"),
            report=report,
        )
        for disk in served.read_source(directory).disks
    ]


def _copy_all(
    plugin: LoadedPlugin, requests: list[CopyRequest], parallel: int, directory: ConversionDir, report: StepReport
) -> tuple[CopyResult, ...]:
    outcomes: SimpleQueue[CopyResult | BaseException] = SimpleQueue()

    def copy_one(request: CopyRequest) -> None:
        try:
            report.message(f"Copying disk {request.index}/{len(requests)}")
            outcomes.put(plugin.copy(request))
        except BaseException as err:
            outcomes.put(_explained(directory, err))

    failed, over = threading.Event(), threading.Event()
    stopper = threading.Thread(target=_stop_workers, args=(directory, failed, over), name="copy-stopper", daemon=True)
    stopper.start()
    try:
        with ThreadPoolExecutor(max_workers=parallel, thread_name_prefix="copy") as pool:
            try:
                for request in requests:
                    # with the context of this thread: what the copier starts belongs to this run
                    pool.submit(contextvars.copy_context().run, copy_one, request)
                results = list(wait_for(outcomes, len(requests)))
            except BaseException:
                failed.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return tuple(sorted(results, key=lambda result: result.index))
    finally:
        over.set()
        failed.set()
        stopper.join()


def wait_for(outcomes: SimpleQueue[CopyResult | BaseException], count: int) -> Iterator[CopyResult]:
    """Yield results as they come, and raise the first error.

    The queue is written in C. :func:`concurrent.futures.wait` is not used, because a signal may arrive at any moment
    of the wait, and would leave locks half taken that Python code takes in several steps.
    """
    while count:
        # with a time limit, because a signal that arrives just before the wait is noticed only after it
        with contextlib.suppress(Empty):
            outcome = outcomes.get(timeout=0.5)
            if isinstance(outcome, BaseException):
                raise outcome
            yield outcome
            count -= 1


def _explained(directory: ConversionDir, err: BaseException) -> BaseException:
    """Return the error with the last errors of the disk's servers, and with what is known about a lack of space.

    The copier learns only that something failed.
    """
    if not isinstance(err, CopyError):
        return err
    reasons = _server_errors(directory, err.disk)
    if any(_NO_ROOM in text for text in (err.message, *reasons)):
        reasons += _shortages(directory, err.disk)
    if not reasons:
        return err
    detailed = CopyError("; ".join([err.message, *reasons]), disk=err.disk, hint=err.hint)
    detailed.__cause__ = err
    return detailed


def _shortages(directory: ConversionDir, disk: int) -> list[str]:
    """Say which file system is full: that of the destination, or else that of the overlay, or neither on this host.

    The overlay is only read, but qemu may still have to write what it knows about it.
    """
    reasons = []
    output = served.read_output(directory)
    for endpoint, service in zip(output.disks, output.services, strict=False):
        if endpoint.index == disk and (file := written_file(service)) is not None:
            of_all = f" of at most {amount(endpoint.size)}" if endpoint.size is not None else ""
            reasons.append(f"{shortage(file.parent)}; {amount(taken([file]))}{of_all} were written")
    free = free_space(directory.overlay)
    if not reasons and has_overlay(directory.overlay, disk) and free is not None and free < _NOTHING:
        reasons.append(shortage(directory.overlay))
    return reasons


def _server_errors(directory: ConversionDir, disk: int) -> list[str]:
    return [
        f"{end} says: {error}"
        for end, name in (("the source", "in"), ("the source", "base"), ("the destination", "out"))
        if (error := last_error(directory, f"{name}{disk}")) is not None
    ]


def _stop_workers(directory: ConversionDir, failed: threading.Event, over: threading.Event) -> None:
    """After a failure, stop the programs that the threads wait for, until the threads have ended.

    A thread cannot be interrupted, but its program can be stopped. This is done again and again, because a program may
    only just be starting, in a thread that the pool does not know yet: the signal may have arrived while the pool was
    making it.
    """
    failed.wait()
    while not over.is_set():
        processes.stop(directory.path, processes.works_for(Step.COPY))
        over.wait(0.05)
