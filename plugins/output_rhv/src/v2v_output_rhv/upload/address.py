# SPDX-License-Identifier: GPL-2.0-or-later
"""The address that the data of a disk is sent to, and the file that carries it from setup to the copy.

Anyone who has the ticket in the URL can write to the disk. Therefore only this user can read the file. This module also
runs in the Python of nbdkit. It imports only the standard library, and in functions what each of them needs.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

from v2v_output_rhv.upload.connections import Connections, Policy


@dataclass(frozen=True, kw_only=True)
class Address:
    """The address of a transfer.

    :param url: URL with the ticket; a secret. :param proxy_url: used if ``url`` cannot be connected to; also a secret.
    :param ca_file: file of the trusted certificate authorities; None for those of this machine.
    :param verify: verify the certificate of the server.
    :param idle: seconds after which a request keeps an unused connection, and with it the transfer, alive.
    """

    url: str = field(repr=False)
    proxy_url: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    verify: bool = True
    idle: float = Policy().idle

    def connections(self, number: int, *, buffer_size: int) -> Connections:
        """Return connections that are not started yet.

        :param number: the most connections. :param buffer_size: bytes that the client reads at once from a stream.
        """
        from ovirt_imageio import client

        texts = [text for text in (self.url, self.proxy_url) if text]
        return Connections(
            lambda: client.ImageioClient(
                self.url,
                cafile=self.ca_file,
                secure=self.verify,
                proxy_url=self.proxy_url,
                buffer_size=buffer_size,
            ),
            secrets=tuple(part for text in texts for part in (text, text.rpartition("/")[2])),
            policy=Policy(connections=number, idle=self.idle),
        )


def address_file(directory: Path, index: int) -> Path:
    """Return the file of a disk's address in the output's private directory."""
    return directory / f"imageio-{index}.json"


def write_address(path: Path, address: Address) -> None:
    """Write an address for the copy, readable by this user only."""
    from v2v_core.api import write_atomically

    write_atomically(path, json.dumps(dataclasses.asdict(address)).encode())


def read_address(path: Path) -> Address:
    """Read an address that ``write_address`` wrote."""
    return Address(**json.loads(path.read_text(encoding="utf-8")))
