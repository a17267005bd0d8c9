# SPDX-License-Identifier: GPL-2.0-or-later
"""The conversion with the copy of the base beside it: whether that pays, and how each of the two stops the other."""

from __future__ import annotations

import contextvars
import dataclasses
import importlib.util
import threading
from collections.abc import Sequence

from v2v_core import processes, served
from v2v_core.conversion_dir import ConversionDir
from v2v_core.copying.ends import is_remote
from v2v_core.errors import Interrupted, V2VError
from v2v_core.events import Event, EventKind, EventSink, Step
from v2v_core.model import NbdUri
from v2v_core.served import ServedDisk, ServedSource
from v2v_core.serving import data_of
from v2v_core.settings import ConvertChoice, CopyChoice
from v2v_core.signals import signals_wait
from v2v_core.steps import copy
from v2v_core.steps.convert_apart import convert_apart

#: Bytes of data. A smaller local disk is copied in less time than it takes to explain a second thing that can fail.
_LARGE = 8 * 1024**3
#: Seconds for the map of a disk.
_PATIENCE = 5.0


def is_wanted(directory: ConversionDir, choice: CopyChoice) -> bool:
    """Return whether to copy while converting: as the user says, or else where it saves time.

    The source must be set up.
    """
    source = served.read_source(directory)
    if choice.overlap is False or source.in_place or not any(disk.base is not None for disk in source.disks):
        return False
    return choice.overlap is True or (_core_copies(choice) and _pays(source))


def _core_copies(choice: CopyChoice) -> bool:
    return choice.mode is None and importlib.util.find_spec("nbd") is not None


def _pays(source: ServedSource) -> bool:
    if any(is_remote(disk) or isinstance(disk.service, NbdUri) for disk in source.disks):
        return True
    if sum(disk.size for disk in source.disks) < _LARGE:
        return False
    return sum(map(_data, source.disks)) >= _LARGE


def _data(disk: ServedDisk) -> int:
    data = data_of(disk.base or disk.uri, timeout=_PATIENCE)
    # a map that takes so long is one of a large disk
    return disk.size if data is None else data


def convert_beside_copy(
    directory: ConversionDir, choice: ConvertChoice, copying: CopyChoice, sinks: Sequence[EventSink]
) -> None:
    """Convert the guest, and copy what the source has meanwhile. The output must be set up.

    When the guest is converted, the copy of the base stops: from then on, it is known what the conversion has
    overwritten, and need not be sent twice.

    :param sinks: are called from two threads.
    :raises V2VError: one of the two failed; the other one was stopped. The first failure is raised.
    """
    output = served.read_output(directory)
    if copying.overlap is None and output.copier is not None:
        # it copies whole disks
        convert_apart(directory, choice, sinks)
        return
    base = _BaseCopy(directory, copying, sinks)

    def begin(event: Event) -> None:
        # not earlier: the events of an earlier conversion in this directory say nothing about this one
        if event.kind is EventKind.STEP_STARTED and event.step is Step.CONVERT:
            base.start()

    try:
        convert_apart(directory, choice, [*sinks, begin], stopped=base.failed.is_set)
    except Exception:
        base.end()
        if base.error is not None and base.failed.is_set():
            raise base.error from None
        raise
    except BaseException:
        base.end()
        raise
    base.end()
    if base.error is not None:
        raise base.error


class _BaseCopy:
    """The copy of the base in a thread of its own."""

    def __init__(self, directory: ConversionDir, choice: CopyChoice, sinks: Sequence[EventSink]) -> None:
        self._directory = directory
        self._choice = dataclasses.replace(choice, from_base=True)
        self._sinks = sinks
        self._stop = threading.Event()
        self._over = threading.Event()
        #: Set when the copy fails while the conversion runs.
        self.failed = threading.Event()
        self.error: BaseException | None = None
        # with the context of this thread: what the copy starts belongs to this run
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name="copy-base")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """Stop the copy if it still runs, and wait for its end: what it has copied is written down by then."""
        with signals_wait():
            self._over.set()
            self._stop.set()
            if self._thread.ident is not None:
                self._thread.join()

    def _run(self) -> None:
        try:
            copy.run(self._directory, self._choice, self._sinks, stop=self._stop)
        except Interrupted as err:
            # asked to stop, and not interrupted by the user, whose signals another thread gets
            if not self._over.is_set():
                self._fail(err)
        except BaseException as err:
            self._fail(err)

    def _fail(self, error: BaseException) -> None:
        self.error = error if isinstance(error, V2VError) else V2VError(f"the copy failed: {error}")
        if self._over.is_set():
            # the conversion has ended first
            return
        self.failed.set()
        # again and again, because the process may only just be starting
        while not self._over.is_set():
            processes.stop(self._directory.path, processes.works_for(Step.CONVERT), grace=2.0)
            self._over.wait(0.1)
