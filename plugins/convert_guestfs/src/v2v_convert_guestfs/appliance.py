# SPDX-License-Identifier: GPL-2.0-or-later
"""The appliance: libguestfs's small virtual machine, to which the guest's disks are attached.

The guest's file systems are mounted and its programs run there, never on the host.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from v2v_convert_guestfs.appliance_cache import CACHE, broken_cache
from v2v_convert_guestfs.appliance_console import Console
from v2v_convert_guestfs.appliance_health import Health
from v2v_convert_guestfs.appliance_watch import Watch
from v2v_convert_guestfs.host.kvm import emulation_forced
from v2v_convert_guestfs.library_events import listen
from v2v_convert_guestfs.time_limits import limited
from v2v_core.api import (
    ConversionError,
    ConvertRequest,
    ConvertSettings,
    DiskEndpoint,
    free_space,
    fullest,
    has_overlay,
    overlay_shortage,
    shortage,
    visible,
)

#: A handle of libguestfs; its Python binding has no types.
Handle = Any

#: Seconds for the start of the appliance. It takes 4 with KVM, 10 to 25 without it, and ten times as long on a busy
#: machine.
LAUNCH_TIMEOUT = 300

_MAX_CPUS = 8
_HINT = "run libguestfs-test-tool; where /dev/kvm exists and does not work, convert with emulation"
_NO_ROOM = os.strerror(errno.ENOSPC)
_NBD_PORT = 10809
_OTHERS_OF_QEMU = frozenset({"qemu-nbd", "qemu-img", "qemu-io"})


def nbd_drive(endpoint: DiskEndpoint) -> dict[str, Any]:
    """Translate an NBD URI into the parameters of libguestfs's add_drive.

    :raises ConversionError: libguestfs cannot reach such a server.
    """
    parts = urlsplit(endpoint.uri)
    export = unquote(parts.path[1:])
    if parts.scheme == "nbd+unix":
        sockets = parse_qs(parts.query).get("socket", [])
        if len(sockets) == 1 and sockets[0]:
            return {"filename": export, "protocol": "nbd", "server": [f"unix:{sockets[0]}"], "format": "raw"}
    if parts.scheme == "nbd" and parts.hostname:
        server = f"tcp:{parts.hostname}:{parts.port or _NBD_PORT}"
        return {"filename": export, "protocol": "nbd", "server": [server], "format": "raw"}
    raise ConversionError(
        f"disk {endpoint.index} cannot be opened: libguestfs does not understand the NBD address {endpoint.uri}",
        hint="serve the disk on a Unix socket (nbd+unix:///?socket=PATH) or without TLS (nbd://HOST:PORT/EXPORT)",
    )


@contextmanager
def libguestfs_errors_as(failing: str, *, hint: str | None = None) -> Iterator[None]:
    """Raise ConversionError for every error of libguestfs in the block; those are RuntimeErrors.

    :param failing: the beginning of the message: what cannot be done, to which disk, device or file.
    :raises ConversionError: libguestfs reported an error.
    """
    try:
        yield
    except RuntimeError as err:
        raise ConversionError(f"{failing}: {brief(err)}", hint=hint) from err


def brief(err: BaseException) -> str:
    """Return the message of an error as one line, without the name of libguestfs's call at its beginning.

    Parts of it may come from the guest, so control characters are removed.
    """
    lines = [line for line in (visible(line).strip() for line in str(err).split("\n")) if line]
    text = "; ".join(lines[-3:]) if lines else type(err).__name__
    return re.sub(r"^(?:[a-z0-9_]+: )+", "", text) or text


class NotStartedError(ConversionError):
    """The appliance does not start.

    :param cache: where libguestfs keeps it, if that one may be broken; None if another one would not start either.
    """

    def __init__(self, reason: str, cache: Path | None = None) -> None:
        super().__init__(
            f"the appliance of libguestfs does not start: {reason}",
            hint=f"read its console in the log of this step; {_HINT}",
        )
        self.reason, self.cache = reason, cache


class Appliance:
    """A running appliance with the disks of the request; as a context manager it is shut down at the end.

    ``handle`` is libguestfs's. Leaving the context without an error flushes the disks and reports if that failed;
    leaving it with an error only makes sure that none of it goes on running. If the appliance was ended because it
    could not go on, that is the error, and not what followed from it.
    """

    def __init__(self, request: ConvertRequest, block_sizes: Sequence[int] = ()) -> None:
        self._request = request
        #: Bytes of a logical block of each disk; empty for 512.
        self._block_sizes = block_sizes
        self.handle: Handle = None
        #: Of this run alone, and only where the one that libguestfs keeps does not start.
        self._own_cache = request.temporary / "appliance"
        self._kept: list[object] = []
        self._health: Health | None = None
        self._watch: Watch | None = None

    def __enter__(self) -> Self:
        """Start the appliance. If the one that libguestfs keeps does not start, build another one for this run.

        libguestfs builds its appliance from the files of the host and keeps it until a package is installed or removed.
        Built while the package manager was replacing those files, it would be broken until then.

        :raises ConversionError: a disk cannot be opened, or the appliance does not start.
        """
        drives = [nbd_drive(endpoint) for endpoint in self._request.disks]
        for drive, size in zip(drives, self._block_sizes, strict=False):
            drive["blocksize"] = size
        if not drives:
            raise ConversionError("the guest has no disks: there is nothing to convert")
        report = self._request.report
        try:
            self._start(drives)
        except NotStartedError as err:
            if err.cache is None:
                raise
            report.info(f"The appliance that libguestfs keeps in {err.cache} does not start; building another one")
            report.debug(f"it did not start: {err.reason}")
            try:
                self._start(drives, self._own_cache)
            except BaseException:
                self._remove_own_cache()
                raise
            report.warning(
                f"the appliance that libguestfs keeps in {err.cache} does not start ({err.reason}); this conversion "
                "uses one that it has built for itself, which takes longer. It may have been built while packages were "
                f"being installed. Remove it, and libguestfs builds another: rm -r {err.cache}"
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failed: BaseException | None = error
        try:
            if kind is None:
                with libguestfs_errors_as(
                    "the changes could not be written to the guest's disks when the appliance was shut down",
                    hint="look for I/O errors of the disk servers in the log, and for a full file system on this host",
                ):
                    self.handle.shutdown()
        except ConversionError as err:
            failed = err
            raise
        finally:
            self._end()
            self._remove_own_cache()
            self._blame(failed)

    def _end(self) -> None:
        """Make sure that the appliance does not go on running."""
        self.handle.close()
        if self._watch is not None:
            self._watch.close()

    def _blame(self, error: BaseException | None) -> None:
        """Raise the reason why the appliance was ended, if it was, in place of the error that this led to.

        :param error: None if nothing seems to have failed. A signal that stops the run remains what it is.
        :raises ConversionError: the appliance was ended because it could not go on.
        """
        failure = self._health.failure if self._health is not None else None
        if failure is not None and (error is None or isinstance(error, Exception)):
            raise failure from error

    def _shortage(self, index: int) -> tuple[str, str]:
        """Return why a disk of the guest, or 0 for the appliance's own, has no space, and what helps."""
        if index:
            return overlay_shortage(self._request.temporary, index)
        # qemu keeps what the appliance writes to its own disk in a file there
        temporary = Path(os.environ.get("TMPDIR") or "/var/tmp")  # noqa: S108 - qemu's choice
        return shortage(temporary), "free some space, or set TMPDIR to a directory on a larger file system"

    def _free(self) -> int | None:
        """Return the bytes that are free for the overlays of the guest's disks; None if another program has them."""
        return free_space(self._request.temporary) if has_overlay(self._request.temporary) else None

    def _start(self, drives: Sequence[dict[str, Any]], cache: Path | None = None) -> None:
        """Make a handle, add the disks, start the appliance.

        :param cache: where libguestfs is to build an appliance; it may use the one that it keeps otherwise.
        :raises ConversionError: a disk cannot be added, or the appliance does not start.
        """
        report = self._request.report
        health = self._health = Health(shortage=self._shortage, log=report.debug, free=self._free)
        console = Console(report.debug, heard=health.hear_kernel)
        self.handle = self._new_handle(console)
        self._watch = None
        try:
            self._watch_it(health)
            if cache is not None:
                cache.mkdir(mode=0o700)
                self.handle.set_cachedir(os.fspath(cache))
            for endpoint, drive in zip(self._request.disks, drives, strict=True):
                with libguestfs_errors_as(f"disk {endpoint.index} cannot be added to the appliance"):
                    # Nothing is lost that a crash of the host would not lose anyway: the disk is an overlay until the
                    # copy, and it is flushed when the appliance is shut down.
                    self.handle.add_drive(**drive, cachemode="unsafe", discard="besteffort")
            self._launch(console)
        except BaseException as err:
            self._end()
            self._blame(err)
            raise

    def _watch_it(self, health: Health) -> None:
        """Let qemu report to a watch, where libguestfs starts qemu itself.

        A qemu of libvirt cannot open our directory. It reports errors to the appliance there, and never waits.

        :raises ConversionError: the socket for the reports cannot be made.
        """
        if not str(self.handle.get_backend()).startswith("direct"):
            self.handle.config("-global", "scsi-hd.werror=report")
            return
        try:
            self._watch = Watch(self._request.directory, health)
        except OSError as err:
            raise ConversionError(f"no socket can be made in {self._request.directory}: {err.strerror}") from err
        self.handle.config("-qmp", f"unix:{self._watch.socket}")

    def _new_handle(self, console: Console) -> Handle:
        try:
            import guestfs
        except ImportError as err:
            raise ConversionError(
                "the Python binding of libguestfs is not installed",
                hint="install python3-guestfs (Debian, Ubuntu) or python3-libguestfs (Fedora, RHEL) and make the "
                "virtual environment with --system-site-packages",
            ) from err
        settings, report = self._request.settings, self._request.report
        handle = guestfs.GuestFS(python_return_dict=True, close_on_exit=False)
        if settings.emulation:
            handle.set_backend_settings(["force_tcg"])
        if "LIBGUESTFS_BACKEND" not in os.environ:
            # The libvirt backend would run qemu as another user, who cannot open the conversion directory.
            handle.set_backend("direct")
        handle.set_identifier("v2v")
        handle.set_smp(self._cpus())
        if settings.memory:
            handle.set_memsize(max(512, settings.memory // (1024 * 1024)))
        self._request.temporary.mkdir(parents=True, exist_ok=True)
        if "LIBGUESTFS_CACHEDIR" not in os.environ:
            # Shared by all programs that use libguestfs: building the appliance takes seconds. Its own choice would be
            # TMPDIR, which is in the conversion directory here.
            handle.set_cachedir(CACHE)
        handle.set_tmpdir(os.fspath(self._request.temporary))
        handle.set_verbose(bool(settings.verbose))
        calls = guestfs.EVENT_TRACE | guestfs.EVENT_WARNING | guestfs.EVENT_LIBRARY
        try:
            self._kept += [
                listen(handle, calls, lambda text: report.debug(text.rstrip())),
                listen(handle, guestfs.EVENT_APPLIANCE, console.hear),
            ]
        except OSError as err:
            # libguestfs would write them to stderr.
            handle.set_verbose(False)
            report.debug(f"libguestfs's calls and the appliance's console are not in this log: {err}")
        else:
            handle.set_trace(True)
        return handle

    def _cpus(self) -> int:
        """Return the number of the appliance's CPUs. One if they are emulated: a second one makes nothing faster."""
        settings = self._request.settings
        wanted = settings.cpus or (1 if is_emulated(settings) else os.cpu_count() or 1)
        return max(1, min(wanted, _MAX_CPUS))

    def _launch(self, console: Console) -> None:
        started = time.monotonic()
        with limited("the start of libguestfs's appliance", LAUNCH_TIMEOUT, kill_child_emulators, hint=_HINT):
            try:
                self.handle.launch()
            except RuntimeError as err:
                console.finish()
                self._check_room(f"{err} {console.reason}")
                # libguestfs itself has one sentence for all causes, and paragraphs on how to report them.
                reason = console.reason or str(err).partition("\n")[0]
                raise NotStartedError(reason, broken_cache(self.handle, console, err)) from err
        self._request.report.debug(f"the appliance was up after {time.monotonic() - started:.1f} s")

    def _check_room(self, failure: str) -> None:
        """Raise an error of its own if the appliance did not start because a file system is full.

        :raises ConversionError: that is so.
        """
        if _NO_ROOM not in failure:
            return
        # supermin builds the appliance in the first one, libguestfs has its files in the second, qemu in the third
        places = {
            Path(self.handle.get_cachedir()): "LIBGUESTFS_CACHEDIR",
            self._request.temporary: "VIRT_V2V_TMPDIR",
            Path(os.environ.get("TMPDIR") or "/tmp"): "TMPDIR",  # noqa: S108 - the place of temporary files
        }
        place = fullest(places)
        raise ConversionError(
            f"the appliance of libguestfs does not start: {shortage(place)}",
            hint=f"free some space, or set {places[place]} to a directory on a larger file system, and run again",
        )

    def _remove_own_cache(self) -> None:
        try:
            shutil.rmtree(self._own_cache)
        except FileNotFoundError:
            pass
        except OSError as err:
            self._request.report.debug(f"{self._own_cache} stays until the run is cleaned up: {err}")


def is_emulated(settings: ConvertSettings) -> bool:
    """Return whether the appliance runs without hardware virtualization."""
    return settings.emulation or emulation_forced()


def kill_child_emulators() -> None:
    """Kill the virtual machines that are children of this process.

    A call that hangs in libguestfs cannot be interrupted otherwise.
    """
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text(errors="replace")
        except OSError:
            continue
        name, _, rest = text.partition(" (")[2].rpartition(") ")
        if rest.split()[1:2] == [str(os.getpid())] and name.startswith("qemu") and name not in _OTHERS_OF_QEMU:
            with suppress(ProcessLookupError):
                os.kill(int(stat.parent.name), signal.SIGKILL)
