# SPDX-License-Identifier: GPL-2.0-or-later
"""A transfer as vdsm makes it: the image is exported, and the daemon on the host gets a ticket for it."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

from engine_simulator.state import Disk, Transfer
from imageio_daemon import ImageioDaemon, exported, exported_full

#: Seconds for which a ticket is valid without being used (``ImageTransferHostTicketValidityInSeconds``).
VALIDITY = 300


class TransferHost:
    """The host that transfers, with its daemon, and the daemon on the engine's machine, which is a proxy to it.

    :param backing: ``nbd``, which is what vdsm does, or ``file``, which older ones did for raw images; or ``full``: the
        storage has no space for anything that is written.
    """

    def __init__(self, daemon: ImageioDaemon, proxy: ImageioDaemon, backing: str) -> None:
        self.backing = backing
        self.validity = VALIDITY
        #: The port of the host that clients are told, if it is another one than the daemon's: a wire between them.
        self.port: int | None = None
        self._daemon = daemon
        self._proxy = proxy
        self._exports: dict[str, contextlib.ExitStack] = {}
        # a socket's path must be short
        self._sockets = tempfile.TemporaryDirectory(prefix="v2v-nbd.", dir="/tmp")

    def open(self, transfer: Transfer, disk: Disk) -> None:
        """Serve the image, and install the ticket that allows to write to it."""
        stack = contextlib.ExitStack()
        self._exports[transfer.id] = stack
        image_format = "qcow2" if disk.format == "cow" else "raw"
        socket = Path(self._sockets.name) / transfer.id[:8]
        if self.backing == "file" and image_format == "raw":
            url = f"file://{disk.image}"
        elif self.backing == "full":
            url = stack.enter_context(exported_full(disk.image, socket))
        else:
            url = stack.enter_context(exported(disk.image, image_format, socket))
        self._daemon.add_ticket(
            url,
            disk.size,
            ticket_id=transfer.ticket,
            timeout=self.validity,
            inactivity_timeout=transfer.inactivity_timeout,
            sparse=disk.sparse,
        )
        self._proxy.add_ticket(
            self._daemon.url(transfer.ticket), disk.size, ticket_id=transfer.ticket, timeout=self.validity
        )

    def close(self, transfer: Transfer) -> None:
        """Take the ticket back, and stop exporting."""
        for daemon in (self._daemon, self._proxy):
            # a daemon that was killed has no tickets
            with contextlib.suppress(Exception):
                daemon.remove_ticket(transfer.ticket)
        stack = self._exports.pop(transfer.id, None)
        if stack is not None:
            stack.close()

    def urls(self, transfer: Transfer) -> tuple[str, str]:
        """Return the URLs that the engine shows: that of the host, and that of the proxy."""
        url = self._daemon.url(transfer.ticket)
        if self.port is not None:
            url = url.replace(f":{self._daemon.port}/", f":{self.port}/")
        return url, self._proxy.url(transfer.ticket)

    def ticket(self, transfer: Transfer) -> dict[str, Any]:
        """Return the daemon's information about a transfer."""
        return self._daemon.ticket(transfer.ticket)

    def expire(self, transfer: Transfer) -> None:
        """Let the ticket expire now."""
        self._daemon.extend_ticket(transfer.ticket, 0)

    def close_all(self) -> None:
        """Stop exporting anything."""
        for stack in self._exports.values():
            stack.close()
        self._exports.clear()

    def stop(self) -> None:
        """Stop, for good."""
        self.close_all()
        self._sockets.cleanup()
