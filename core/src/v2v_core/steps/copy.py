# SPDX-License-Identifier: GPL-2.0-or-later
"""Step copy: the data of each disk gets from ``in`` to ``out``, several disks at once if that is wanted."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

from v2v_core import metadata, processes
from v2v_core.conversion_dir import ConversionDir
from v2v_core.discovery import Role
from v2v_core.errors import CopyError, UsageError
from v2v_core.events import EventSink, Step
from v2v_core.hookspecs import CopyRequest, CopyResult
from v2v_core.plugins import LoadedPlugin, load_plugin
from v2v_core.programs import run_program
from v2v_core.reporting import StepReport, running
from v2v_core.serving import last_error
from v2v_core.settings import CopyChoice
from v2v_core.steps.output_abort import OUTPUT
from v2v_core.steps.output_check import saved_choice
from v2v_core.steps.output_setup import destinations, stop_destinations

#: What copies where neither the user nor the output wants another one.
DEFAULT_COPIER = "nbdcopy"


def run(directory: ConversionDir, choice: CopyChoice, sinks: Sequence[EventSink] = ()) -> tuple[CopyResult, ...]:
    """Copy all disks; afterwards the data is flushed and the destinations are no longer served.

    :raises CopyError: naming the disk; what was being copied is stopped.
    """
    with running(directory, Step.COPY, sinks) as report:
        if choice.parallel < 1:
            raise UsageError("--parallel must be at least 1")
        plugin = load_plugin(Role.COPY, choice.mode or directory.read_json(OUTPUT)["copier"] or DEFAULT_COPIER)
        report.debug(f"copier: {plugin.blame}")
        requests = _requests(directory, choice, report)
        try:
            results = _copy_all(plugin, requests, choice.parallel, directory, report)
        finally:
            stop_destinations(directory)
        return results


def _requests(directory: ConversionDir, choice: CopyChoice, report: StepReport) -> list[CopyRequest]:
    output = directory.read_json(OUTPUT)
    allocation = saved_choice(directory).allocation
    sources = metadata.endpoints(directory.metadata_in, directory.path)
    requests = []
    for source, destination in zip(sources, destinations(directory), strict=True):
        size = int(run_program(["nbdinfo", "--size", source.uri], timeout=60))
        requests.append(
            CopyRequest(
                index=source.index,
                source=dataclasses.replace(source, size=size),
                destination=destination,
                allocation=allocation,
                request_size=output["request_size"],
                connections=choice.connections,
                zeroed=output["zeroed"],
                output_directory=directory.private("output"),
                report=report,
            )
        )
    return requests


def _copy_all(
    plugin: LoadedPlugin, requests: list[CopyRequest], parallel: int, directory: ConversionDir, report: StepReport
) -> tuple[CopyResult, ...]:
    def copy_one(request: CopyRequest) -> CopyResult:
        report.message(f"Copying disk {request.index}/{len(requests)}")
        try:
            return plugin.copy(request)
        except CopyError as err:
            reasons = _reasons(directory, err.disk)
            if not reasons:
                raise
            raise CopyError("; ".join([err.message, *reasons]), disk=err.disk, hint=err.hint) from err

    failed, over = threading.Event(), threading.Event()
    stopper = threading.Thread(target=_stop_workers, args=(directory, failed, over), name="copy-stopper", daemon=True)
    stopper.start()
    try:
        with ThreadPoolExecutor(max_workers=parallel, thread_name_prefix="copy") as pool:
            try:
                futures: list[Future[CopyResult]] = [pool.submit(copy_one, request) for request in requests]
                pending = set(futures)
                while pending:
                    # with a limit: a signal that comes right before a lock is waited for is seen after that only
                    done, pending = wait(pending, timeout=0.5, return_when=FIRST_EXCEPTION)
                    for future in done:
                        future.result()
            except BaseException:
                failed.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            return tuple(future.result() for future in futures)
    finally:
        over.set()
        failed.set()
        stopper.join()


def _reasons(directory: ConversionDir, disk: int) -> list[str]:
    """Give what the servers of a disk said last: the copier hears no more than that there was an error."""
    return [
        f"{end} says: {said}"
        for end, name in (("the source", "in"), ("the source", "base"), ("the destination", "out"))
        if (said := last_error(directory, f"{name}{disk}")) is not None
    ]


def _stop_workers(directory: ConversionDir, failed: threading.Event, over: threading.Event) -> None:
    """After a failure, stop the programs that the threads wait for, until the threads are through.

    Threads cannot be interrupted, programs can; again and again, for one may only just be starting, in a thread of
    which nobody knows yet because the signal came while it was being made.
    """
    failed.wait()
    while not over.is_set():
        processes.stop(directory.path, processes.is_worker)
        over.wait(0.05)
