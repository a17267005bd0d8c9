# SPDX-License-Identifier: GPL-2.0-or-later
"""The version of a local image: a text that is another one whenever the content has changed."""

from __future__ import annotations

import stat

from v2v_core.model import DiskService, QemuImage


def version_of(service: DiskService) -> str | None:
    """Return the version of a disk: that of its image and of all the images below.

    :return: None for what is no local file: a block device does not say when it was last written.
    """
    if not isinstance(service, QemuImage):
        return None
    versions = []
    image: QemuImage | None = service
    while image is not None:
        try:
            found = image.path.stat()
        except OSError:
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        versions.append(f"{found.st_ino}:{found.st_size}:{found.st_mtime_ns}")
        image = image.backing
    return " ".join(versions)
