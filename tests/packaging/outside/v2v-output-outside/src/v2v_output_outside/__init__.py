# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o outside -os DIR``: each guest in a directory of its own, called by a number."""

import shutil
from pathlib import Path

from v2v_core.api import (
    AbortResult,
    DestinationError,
    OutputAbortRequest,
    OutputCheckRequest,
    OutputFinalizeRequest,
    OutputResult,
    OutputSetup,
    OutputSetupRequest,
    QemuImage,
    UsageError,
    hookimpl,
    libvirt_domain,
)


class OutsideOutput:
    """Numbered directories."""

    api_version = 1
    summary = "a numbered directory for each guest"

    @hookimpl
    def v2v_output_check(self, request: OutputCheckRequest) -> None:
        """Check that the directory exists."""
        if request.settings.storage is None:
            raise UsageError("-o outside needs a directory", hint="name it with -os")
        if not Path(request.settings.storage).is_dir():
            raise DestinationError(f"{request.settings.storage} is not a directory", hint="make it")

    @hookimpl
    def v2v_output_setup(self, request: OutputSetupRequest) -> OutputSetup:
        """Make the next directory, and an image for each disk."""
        storage = Path(request.settings.storage or "")
        place = next(path for number in range(1000) if not (path := storage / str(number)).exists())
        request.ledger.record("directory", str(place))
        place.mkdir()
        images = [place / f"disk{disk.index}" for disk in request.disks]
        for image, disk in zip(images, request.disks, strict=True):
            with image.open("xb") as stream:
                stream.truncate(disk.size or 0)
        return OutputSetup(
            disks=tuple(QemuImage(path=image, format="raw") for image in images),
            state={"place": str(place)},
            zeroed=True,
        )

    @hookimpl
    def v2v_output_finalize(self, request: OutputFinalizeRequest) -> OutputResult:
        """Put the XML beside the images."""
        place = Path(request.state["place"])
        xml = libvirt_domain(request.metadata, name=request.settings.name, report=request.report)
        (place / "domain.xml").write_bytes(xml)
        return OutputResult(created=(str(place),))

    @hookimpl
    def v2v_output_abort(self, request: OutputAbortRequest) -> AbortResult:
        """Remove the directory, and say if it is still there."""
        for thing in request.owned:
            shutil.rmtree(thing.identity, ignore_errors=True)
        return AbortResult(left=tuple(thing for thing in request.owned if Path(thing.identity).exists()))
