# SPDX-License-Identifier: GPL-2.0-or-later
"""The Windows drivers, which only some guests need."""

from __future__ import annotations

import os
from pathlib import Path

from v2v_core.finding import Finding, Status, present_or

_VIRTIO_WIN = ("/usr/share/virtio-win", "/usr/share/virtio-win/virtio-win.iso")


def probe_virtio_win() -> Finding:
    """Look for the virtio drivers for Windows."""
    places = (os.environ.get("VIRTIO_WIN"), os.environ.get("VIRTIO_WIN_DIR"), *_VIRTIO_WIN)
    return present_or(
        "virtio-win",
        next((place for place in places if place and Path(place).exists()), None),
        Status.OPTIONAL,
        "not found; only Windows guests need it, which no converter of this version converts",
        "install virtio-win, or set VIRTIO_WIN to virtio-win.iso (https://fedorapeople.org/groups/virt/virtio-win/)",
    )
