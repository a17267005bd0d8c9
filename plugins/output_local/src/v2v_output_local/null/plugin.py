# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o null``: the hooks."""

from __future__ import annotations

from v2v_core.api import (
    AbortResult,
    NbdkitPlugin,
    OutputAbortRequest,
    OutputCheckRequest,
    OutputFinalizeRequest,
    OutputHooks,
    OutputPrecheckRequest,
    OutputResult,
    OutputSettings,
    OutputSetup,
    OutputSetupRequest,
    PluginOption,
    TargetProfile,
    UsageError,
    hookimpl,
    require_program,
)

#: Larger than any disk, and a little below the largest size of nbdkit and the NBD protocol (2^63 - 1 bytes).
_SIZE = "7E"


class NullOutput(OutputHooks):
    """Discard the guest: for finding out whether it can be converted, and how long that takes."""

    api_version = 1
    summary = "converts and copies, and discards the result"
    options: tuple[PluginOption, ...] = ()
    profile = TargetProfile(networks=False)

    @hookimpl
    def v2v_output_precheck(self, request: OutputPrecheckRequest) -> None:
        """Refuse options that would have no effect."""
        _check(request.settings)

    @hookimpl
    def v2v_output_check(self, request: OutputCheckRequest) -> None:
        """Refuse options that would have no effect."""
        _check(request.settings)

    @hookimpl
    def v2v_output_setup(self, request: OutputSetupRequest) -> OutputSetup:
        """Serve, for each disk, a device that discards what is written to it."""
        service = NbdkitPlugin(name="null", parameters=(("size", _SIZE),))
        return OutputSetup(disks=tuple(service for _ in request.disks), zeroed=True)

    @hookimpl
    def v2v_output_finalize(self, request: OutputFinalizeRequest) -> OutputResult:
        """Create nothing."""
        return OutputResult()

    @hookimpl
    def v2v_output_abort(self, request: OutputAbortRequest) -> AbortResult:
        """Do nothing: nothing was created."""
        return AbortResult()


def _check(settings: OutputSettings) -> None:
    given = {
        "-oa preallocated": settings.allocation == "preallocated",
        "-oc": settings.connection is not None,
        f"-of {settings.format}": settings.format_given and settings.format != "raw",
        "-op": settings.password_file is not None,
        "-os": settings.storage is not None,
        "-oo": bool(settings.options.values),
    }
    for option, without_effect in given.items():
        if without_effect:
            raise UsageError(f"-o null: the option {option} cannot be used: nothing is kept")
    require_program("nbdkit")
