# SPDX-License-Identifier: GPL-2.0-or-later
"""A hook was forgotten."""

from v2v_core.api import OutputAbortRequest, OutputCheckRequest, OutputSetup, OutputSetupRequest, hookimpl


class BrokenOutput:
    """Begins and never finishes."""

    api_version = 1
    summary = "lacks finalize"

    @hookimpl
    def v2v_output_check(self, request: OutputCheckRequest) -> None:
        """Find nothing wrong."""

    @hookimpl
    def v2v_output_setup(self, request: OutputSetupRequest) -> OutputSetup:
        """Create nothing."""
        return OutputSetup(disks=())

    @hookimpl
    def v2v_output_abort(self, request: OutputAbortRequest) -> None:
        """Undo nothing."""
