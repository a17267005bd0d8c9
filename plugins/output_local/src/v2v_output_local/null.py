# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o null``: convert and copy, and keep nothing."""

from __future__ import annotations

from v2v_core.api import (
    HOOK_API_VERSION,
    NbdkitPlugin,
    OutputAbortRequest,
    OutputCheckRequest,
    OutputFinalizeRequest,
    OutputResult,
    OutputSetup,
    OutputSetupRequest,
    PluginOption,
    UsageError,
    hookimpl,
    require_for_output,
)

#: The largest size that nbdkit and the NBD protocol can have with some room to spare: no disk is larger.
_SIZE = "7E"


class NullOutput:
    """Throw the guest away: to see whether it can be converted, and how long that takes."""

    api_version = HOOK_API_VERSION
    summary = "converts and copies, and throws the result away"
    options: tuple[PluginOption, ...] = ()

    @hookimpl
    def v2v_output_check(self, request: OutputCheckRequest) -> None:
        """Refuse the options that would have no effect."""
        settings = request.settings
        given = {
            "-oa preallocated": settings.allocation == "preallocated",
            "-oc": settings.connection is not None,
            f"-of {settings.format}": settings.format_given and settings.format != "raw",
            "-op": settings.password_file is not None,
            "-os": settings.storage is not None,
            "-oo": bool(settings.options.values),
        }
        for option, wrong in given.items():
            if wrong:
                raise UsageError(f"-o null: the option {option} cannot be used: nothing is kept")
        require_for_output("nbdkit")

    @hookimpl
    def v2v_output_setup(self, request: OutputSetupRequest) -> OutputSetup:
        """Serve a device that forgets what is written for each disk."""
        service = NbdkitPlugin(name="null", parameters=(("size", _SIZE),))
        return OutputSetup(disks=tuple(service for _ in request.target.disks), zeroed=True)

    @hookimpl
    def v2v_output_finalize(self, request: OutputFinalizeRequest) -> OutputResult:
        """Create nothing."""
        return OutputResult()

    @hookimpl
    def v2v_output_abort(self, request: OutputAbortRequest) -> None:
        """Leave everything as it is: nothing was created."""
