# SPDX-License-Identifier: GPL-2.0-or-later
"""Step copy: the data of each disk gets from ``in`` to ``out``, several disks at once if that is wanted."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

from v2v_core import metadata, processes
from v2v_core.conversion_dir import ConversionDir
from v2v_core.discovery import Role
from v2v_core.errors import UsageError
from v2v_core.events import EventSink, Step
from v2v_core.hookspecs import CopyRequest, CopyResult
from v2v_core.plugins import LoadedPlugin, load_plugin
from v2v_core.programs import run_program
from v2v_core.reporting import StepReport, running
from v2v_core.settings import CopyChoice
from v2v_core.steps.output_abort import OUTPUT
from v2v_core.steps.output_check import saved_choice
from v2v_core.steps.output_setup import destinations, stop_destinations


def run(directory: ConversionDir, choice: CopyChoice, sinks: Sequence[EventSink] = ()) -> tuple[CopyResult, ...]:
    """Copy all disks; afterwards the data is flushed and the destinations are no longer served.

    :raises CopyError: naming the disk; what was being copied is stopped.
    """
    with running(directory, Step.COPY, sinks) as report:
        if choice.parallel < 1:
            raise UsageError("--parallel must be at least 1")
        plugin = load_plugin(Role.COPY, choice.mode)
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
                report=report,
            )
        )
    return requests


def _copy_all(
    plugin: LoadedPlugin, requests: list[CopyRequest], parallel: int, directory: ConversionDir, report: StepReport
) -> tuple[CopyResult, ...]:
    def copy_one(request: CopyRequest) -> CopyResult:
        report.message(f"Copying disk {request.index}/{len(requests)}")
        return plugin.copy(request)

    with ThreadPoolExecutor(max_workers=parallel, thread_name_prefix="copy") as pool:
        futures: list[Future[CopyResult]] = []
        try:
            # inside, for a signal may come as soon as the first one runs
            for request in requests:
                futures.append(pool.submit(copy_one, request))
            wait(futures, return_when=FIRST_EXCEPTION)
            failed = next((future for future in futures if future.done() and future.exception() is not None), None)
            if failed is not None:
                failed.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            # threads cannot be interrupted; the programs that they wait for can, and one may only just be starting
            while True:
                processes.stop(directory.path, processes.is_worker)
                if all(future.done() for future in futures):
                    break
                time.sleep(0.05)
            raise
        return tuple(future.result() for future in futures)
