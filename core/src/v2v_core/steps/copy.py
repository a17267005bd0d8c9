# SPDX-License-Identifier: GPL-2.0-or-later
"""Step copy: makes each ``out`` equal to ``in``, several disks at once where that helps.

It has two passes. The copy of the base (``CopyChoice.from_base``) can run beside the conversion, and copies what the
source has. The copy proper then adds what is missing, and what the conversion has changed. Each disk is copied by a
process of its own (``copying.worker``), or by the program that the user or the output names.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import errno
import importlib.util
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue

from v2v_core import processes, served
from v2v_core.conversion_dir import ConversionDir
from v2v_core.copying.ends import changed_since, is_remote, is_written_once, make_tasks
from v2v_core.copying.messages import Cause
from v2v_core.copying.task import CopyTask
from v2v_core.discovery import Role
from v2v_core.errors import CopyError, Interrupted, UsageError
from v2v_core.events import EventSink, Step
from v2v_core.hookspecs import CopyRequest, CopyResult
from v2v_core.plugins import load_plugin
from v2v_core.records import to_json
from v2v_core.reporting import StepReport, failing_as, running
from v2v_core.served import ServedOutput, ServedSource
from v2v_core.serving import last_error, written_file
from v2v_core.settings import CopyChoice
from v2v_core.space import amount, free_space, has_overlay, shortage, taken
from v2v_core.steps.abort import chosen_output
from v2v_core.steps.copy_servers import CopyServers
from v2v_core.steps.trimming import Trimming, wait_for_trimming

_NO_ROOM = os.strerror(errno.ENOSPC)
#: Bytes; a file system with fewer of them is full.
_NOTHING = 1024 * 1024
#: The copier that is used where core's own cannot run.
FALLBACK_COPIER = "nbdcopy"
#: How many disks of a remote source are copied at once, unless the user says otherwise.
_REMOTE_PARALLEL = 4
#: Seconds within which a conversion that is to run beside the copy of the base has begun.
PATIENCE = 5.0
#: What was copied, for the report of the run.
RESULTS = "copy/results.json"

_Copy = Callable[[], CopyResult]


class _StoppedByCaller(Interrupted):
    """The caller has set its event."""


def run(
    directory: ConversionDir,
    choice: CopyChoice,
    sinks: Sequence[EventSink] = (),
    *,
    stop: threading.Event | None = None,
) -> tuple[CopyResult, ...]:
    """Copy all disks. Afterwards the data is flushed. The destinations are still served.

    :param stop: ends the step when it is set, for a caller that runs it in a thread: with ``Interrupted``, or, if it is
        the copy of the base, as if nothing had been left to copy.
    :raises CopyError: a disk could not be copied; the error names it. The other copies have been stopped.
    """
    stop = stop or threading.Event()
    if choice.from_base:
        return _copy_base(directory, choice, sinks, stop)
    with running(directory, Step.COPY, sinks) as report:
        (directory.path / RESULTS).unlink(missing_ok=True)
        source, output = served.read_source(directory), served.read_output(directory)
        parallel = _parallel(choice, source)
        name = _copier(choice, output, report)
        if name is None:
            _refuse_changed(source)
            results = _copy_ourselves(directory, choice, output, parallel, report, stop)
        else:
            copies = _named_copies(name, directory, choice, output, source, report)
            results = _copy_all(copies, parallel, directory, report, stop, threading.Event())
        _refuse_changed(source)
        directory.write_json(RESULTS, {"results": [to_json(result) for result in results]})
        return results


def _copy_base(
    directory: ConversionDir, choice: CopyChoice, sinks: Sequence[EventSink], stop: threading.Event
) -> tuple[CopyResult, ...]:
    """Copy the disks as the source has them. The step is neither begun nor finished by this."""
    with failing_as(directory, Step.COPY, sinks) as report:
        directory.require(Step.COPY)
        source, output = served.read_source(directory), served.read_output(directory)
        name = _copier(choice, output, report)
        if name is not None:
            report.info(f"nothing is copied before the conversion has ended: {name} copies whole disks")
            return ()
        foreign = [disk.index for disk in source.disks if disk.base is None]
        if foreign:
            listed = ", ".join(map(str, foreign))
            report.info(
                f"not copied before the conversion has ended, because there is no unchanged base: disk {listed}"
            )
        report.debug("waiting until the conversion has trimmed the disks")
        found = wait_for_trimming(directory, stop.is_set, patience=PATIENCE)
        if stop.is_set():
            report.debug("the copy of the base was stopped before it began")
            return ()
        if found is Trimming.FAILED:
            report.info("the conversion failed before it had found the free space: nothing was copied")
            return ()
        _refuse_changed(source)
        try:
            results = _copy_ourselves(directory, choice, output, _parallel(choice, source), report, stop)
        except _StoppedByCaller:
            # the caller has stopped it; that is how it ends when the conversion has ended, and no failure
            report.debug("the copy of the base was stopped")
            return ()
        _refuse_changed(source)
        return results


def _copier(choice: CopyChoice, output: ServedOutput, report: StepReport) -> str | None:
    """Return the name of the copier; None for core's own."""
    name = choice.mode or output.copier
    if name is None and is_written_once(output):
        # it has blocks of 64 KiB, none of which can be overwritten with what the conversion has changed
        name = FALLBACK_COPIER
    if name is None and importlib.util.find_spec("nbd") is None:
        report.warning(
            f"the Python binding of libnbd (module nbd) is not installed: {FALLBACK_COPIER} copies the disks, and a "
            "copy that is interrupted begins anew; 'v2v doctor' names the package"
        )
        name = FALLBACK_COPIER
    report.debug(f"copier: {name or 'own'}")
    return name


def _parallel(choice: CopyChoice, source: ServedSource) -> int:
    """Return how many disks are copied at once. Two disks of one local source only disturb each other.

    :raises UsageError: the user wants fewer than one.
    """
    if choice.parallel is not None:
        if choice.parallel < 1:
            raise UsageError("--parallel must be at least 1")
        return choice.parallel
    return max(1, min(len(source.disks), _REMOTE_PARALLEL)) if any(map(is_remote, source.disks)) else 1


def _refuse_changed(source: ServedSource) -> None:
    """Check that no local image of the source was written since it was set up: old and new must not be mixed.

    :raises CopyError: one was.
    """
    for disk in source.disks:
        if changed_since(disk):
            raise CopyError(
                f"disk {disk.index} could not be copied: its source {disk.origin or ''} has changed".replace("  ", " ")
                + " since the conversion began",
                disk=disk.index,
                hint="shut down whatever writes to it, and begin again with a new directory",
                cause=Cause.CHANGED,
            )


def _copy_ourselves(
    directory: ConversionDir,
    choice: CopyChoice,
    output: ServedOutput,
    parallel: int,
    report: StepReport,
    stop: threading.Event,
) -> tuple[CopyResult, ...]:
    """Copy each disk in a process of core's own."""
    tasks = make_tasks(directory, choice, output, chosen_output(directory, output.owner))
    # set when the caller wants the end, and when a disk has failed
    over = threading.Event()
    servers = CopyServers(directory, tasks, report, over)

    def one(task: CopyTask) -> _Copy:
        return lambda: servers.copy(task)

    with servers.looked_after():
        return _copy_all({task.index: one(task) for task in tasks}, parallel, directory, report, stop, over)


def _named_copies(
    name: str,
    directory: ConversionDir,
    choice: CopyChoice,
    output: ServedOutput,
    source: ServedSource,
    report: StepReport,
) -> dict[int, _Copy]:
    """Return how a copier that the user or the output names copies each disk."""
    if is_written_once(output) and not output.zeroed:
        raise UsageError(
            "a compressed image cannot be written a second time", hint="run step output_setup again, and then this one"
        )
    plugin = load_plugin(Role.COPY, name)
    report.debug(f"copier: {plugin.blame}")
    allocation = chosen_output(directory, output.owner).allocation
    destinations = {disk.index: disk for disk in output.disks}
    # no journal says what such a copier has written
    served.write_output(directory, dataclasses.replace(output, zeroed=False))

    def one(request: CopyRequest) -> _Copy:
        return lambda: plugin.copy(request)

    return {
        disk.index: one(
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
        )
        for disk in source.disks
    }


def _copy_all(
    copies: Mapping[int, _Copy],
    parallel: int,
    directory: ConversionDir,
    report: StepReport,
    stop: threading.Event,
    failed: threading.Event,
) -> tuple[CopyResult, ...]:
    outcomes: SimpleQueue[CopyResult | BaseException] = SimpleQueue()
    over = threading.Event()

    def copy_one(index: int) -> None:
        try:
            report.message(f"Copying disk {index}/{len(copies)}")
            outcomes.put(copies[index]())
        except BaseException as err:
            outcomes.put(_explained(directory, err))

    stopper = threading.Thread(target=_stop_workers, args=(directory, failed, over), name="copy-stopper", daemon=True)
    stopper.start()
    try:
        with ThreadPoolExecutor(max_workers=parallel, thread_name_prefix="copy") as pool:
            try:
                for index in copies:
                    # with the context of this thread: what the copier starts belongs to this run
                    pool.submit(contextvars.copy_context().run, copy_one, index)
                results = list(wait_for(outcomes, len(copies), stop))
            except BaseException:
                failed.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return tuple(sorted(results, key=lambda result: result.index))
    finally:
        over.set()
        failed.set()
        stopper.join()


def wait_for(
    outcomes: SimpleQueue[CopyResult | BaseException], count: int, stop: threading.Event | None = None
) -> Iterator[CopyResult]:
    """Yield results as they come, and raise the first error, or ``Interrupted`` when ``stop`` is set.

    The queue is written in C. :func:`concurrent.futures.wait` is not used, because a signal may arrive at any moment
    of the wait, and would leave locks half taken that Python code takes in several steps.
    """
    while count:
        if stop is not None and stop.is_set():
            raise _StoppedByCaller("the copy was stopped")
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
    if err.cause == Cause.FULL or any(_NO_ROOM in text for text in (err.message, *reasons)):
        reasons += _shortages(directory, err.disk)
    if not reasons:
        return err
    message = "; ".join([err.message, *reasons])
    detailed = CopyError(message, disk=err.disk, hint=err.hint, cause=err.cause, offset=err.offset)
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
