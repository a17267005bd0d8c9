# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the data of a disk is sent: the address of a transfer, and how it gets from setup to the copy.

The ticket in the URL is all that it takes to write to the disk, so an address is kept in a file that nobody else can
read. Runs in the Python of nbdkit, too, and so imports nothing but the standard library and, when it connects,
ovirt-imageio's client.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from v2v_output_rhv.upload.connections import Connections, Policy


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where data is sent.

    :param url: with the ticket: a secret. :param proxy_url: used if the other cannot be connected to; a secret, too.
    :param ca_file: the authorities that are trusted; None for those of this machine.
    :param verify: see that the certificate is the server's.
    """

    url: str = field(repr=False)
    proxy_url: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    verify: bool = True

    def connections(self, number: int, *, buffer_size: int) -> Connections:
        """Give connections, which are not started yet.

        :param number: at most so many. :param buffer_size: bytes that are read at once of what is sent as a stream.
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
            policy=Policy(connections=number),
        )


def address_file(directory: Path, index: int) -> Path:
    """Name the file that has the address of a disk, in the output's own directory."""
    return directory / f"imageio-{index}.json"


def write_address(path: Path, address: Address) -> None:
    """Keep an address for the copy."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
        json.dump(dataclasses.asdict(address), stream)


def read_address(path: Path) -> Address:
    """Read what setup wrote."""
    return Address(**json.loads(path.read_text(encoding="utf-8")))
