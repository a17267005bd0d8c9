# SPDX-License-Identifier: GPL-2.0-or-later
"""A converter that changes nothing, for guests without an operating system."""

from v2v_core.api import Capabilities, ConvertRequest, ConvertResult, Firmware, Inspection, hookimpl


class OutsideConvert:
    """Says what it has to say and leaves the disks alone."""

    api_version = 1
    summary = "no conversion"

    @hookimpl
    def v2v_convert(self, request: ConvertRequest) -> ConvertResult:
        """Change nothing."""
        request.report.info("nothing to convert")
        return ConvertResult(
            inspection=Inspection(root="/dev/sda", os_type="unknown", distro="unknown", arch="x86_64"),
            capabilities=Capabilities(),
            firmware=Firmware.BIOS,
        )
