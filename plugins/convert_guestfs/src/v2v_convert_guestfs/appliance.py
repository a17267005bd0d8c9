# SPDX-License-Identifier: GPL-2.0-or-later
"""The appliance: a small virtual machine of libguestfs's, to which the guest's disks are attached.

Everything of the guest is read and run in there, never on the host.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from v2v_convert_guestfs.library_events import listen
from v2v_convert_guestfs.time_limits import limited
from v2v_core.api import ConversionError, ConvertRequest, ConvertSettings, DiskEndpoint, visible

#: A handle of libguestfs; its Python binding has no types.
Handle = Any

#: Seconds until an appliance that does not come up is given up. It takes 4 with KVM and 10 to 25 without it, and on a
#: busy machine ten times as much.
LAUNCH_TIMEOUT = 300

_MAX_CPUS = 8
#: Where libguestfs keeps its appliance, unless LIBGUESTFS_CACHEDIR says otherwise (guestfs(3)).
_CACHE = "/var/tmp"  # noqa: S108 - libguestfs makes a directory of this user's own in it, and checks that it is
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
def explained(failing: str, *, hint: str | None = None) -> Iterator[None]:
    """Turn an error of libguestfs into one for the user.

    :param failing: what cannot be done, to which disk, device or file.
    :raises ConversionError: in place of every error of libguestfs, which are all RuntimeErrors.
    """
    try:
        yield
    except RuntimeError as err:
        raise ConversionError(f"{failing}: {brief(err)}", hint=hint) from err


def brief(err: BaseException) -> str:
    """Give the words of an error as one line without the name of libguestfs's call at their beginning.

    They may come from the guest: nothing that a terminal would obey is left in them.
    """
    lines = [line for line in (visible(line).strip() for line in str(err).split("\n")) if line]
    text = "; ".join(lines[-3:]) if lines else type(err).__name__
    return re.sub(r"^(?:[a-z0-9_]+: )+", "", text) or text


class Appliance:
    """A running appliance with the disks of the request; as a context manager it is shut down at the end.

    ``handle`` is libguestfs's. Leaving the context without an error flushes the disks and says if that failed; leaving
    it with one only makes sure that nothing of it goes on running.
    """

    def __init__(self, request: ConvertRequest) -> None:
        self._request = request
        self.handle: Handle = None
        self._heard: object = None

    def __enter__(self) -> Self:
        """Start it.

        :raises ConversionError: a disk cannot be opened, or the appliance does not come up.
        """
        drives = [nbd_drive(endpoint) for endpoint in self._request.disks]
        if not drives:
            raise ConversionError("the guest has no disks: there is nothing to convert")
        self.handle = self._new_handle()
        try:
            for endpoint, drive in zip(self._request.disks, drives, strict=True):
                with explained(f"disk {endpoint.index} cannot be added to the appliance"):
                    # Nothing is lost that a crash of the host would not lose anyway: the disk is an overlay until the
                    # copy, and it is flushed when the appliance is shut down.
                    self.handle.add_drive(**drive, cachemode="unsafe", discard="besteffort")
            self._launch()
        except BaseException:
            self.handle.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                with explained(
                    "the changes could not be written to the guest's disks when the appliance was shut down",
                    hint="look for I/O errors of the disk servers in the log, and for a full file system on this host",
                ):
                    self.handle.shutdown()
        finally:
            self.handle.close()

    def _new_handle(self) -> Handle:
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
            # What libguestfs keeps between runs, as it does for all of its programs: the appliance, which takes seconds
            # to build. Its own choice would be TMPDIR, and that leads into the conversion directory.
            handle.set_cachedir(_CACHE)
        handle.set_tmpdir(os.fspath(self._request.temporary))
        wanted = guestfs.EVENT_TRACE | guestfs.EVENT_WARNING
        if settings.verbose:
            handle.set_verbose(True)
            wanted |= guestfs.EVENT_LIBRARY | guestfs.EVENT_APPLIANCE
        try:
            self._heard = listen(handle, wanted, lambda text: report.debug(text.rstrip()))
        except OSError as err:
            # Without somebody who hears it, it would write to stderr.
            handle.set_verbose(False)
            report.debug(f"libguestfs's calls are not in this log: {err}")
        else:
            handle.set_trace(True)
        return handle

    def _cpus(self) -> int:
        """Give the number of its CPUs. One, if they are emulated: a second one makes nothing faster."""
        settings = self._request.settings
        wanted = settings.cpus or (1 if is_emulated(settings) else os.cpu_count() or 1)
        return max(1, min(wanted, _MAX_CPUS))

    def _launch(self) -> None:
        started = time.monotonic()
        hint = "run libguestfs-test-tool; where /dev/kvm exists and does not work, convert with emulation"
        with (
            limited("the start of libguestfs's appliance", LAUNCH_TIMEOUT, kill_child_emulators, hint=hint),
            explained("the appliance of libguestfs does not start", hint=hint),
        ):
            self.handle.launch()
        self._request.report.debug(f"the appliance was up after {time.monotonic() - started:.1f} s")


def is_emulated(settings: ConvertSettings) -> bool:
    """Tell whether the appliance runs without hardware virtualization."""
    return settings.emulation or "force_tcg" in os.environ.get("LIBGUESTFS_BACKEND_SETTINGS", "")


def kill_child_emulators() -> None:
    """Kill the virtual machines that this very process has started.

    What hangs inside libguestfs cannot be interrupted otherwise.
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
