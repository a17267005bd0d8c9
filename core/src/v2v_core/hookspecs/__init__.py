# SPDX-License-Identifier: GPL-2.0-or-later
"""The hooks: a module for each role, and in it the records of its requests and results.

Each hook takes one frozen request record and returns one frozen result record. A plugin is a class with these methods,
each marked ``@hookimpl``. An entry point of its distribution names the class, in the group of its role::

    [project.entry-points."v2v.output"]
    foo = "v2v_output_foo:FooOutput"

Everything that a later step needs goes into the result, because each step may run in a process of its own.
"""

from v2v_core.hookspecs.common import (
    HOOK_API_VERSION,
    PROJECT,
    AbortResult,
    Ledger,
    NoLedger,
    ObserverHooks,
    OwnedObject,
    Plugin,
    ProbeHooks,
    ProbeRequest,
    hookimpl,
    hookspec,
)
from v2v_core.hookspecs.convert import ConvertHooks, ConvertRequest, ConvertResult, ConvertSettings
from v2v_core.hookspecs.copy import CopyHooks, CopyRequest, CopyResult
from v2v_core.hookspecs.input import (
    InputAbortRequest,
    InputHooks,
    InputResult,
    InputSetupRequest,
    InputVersions,
    InputVersionsRequest,
)
from v2v_core.hookspecs.output import (
    OutputAbortRequest,
    OutputCheckRequest,
    OutputCheckResult,
    OutputFinalizeRequest,
    OutputHooks,
    OutputPrecheckRequest,
    OutputResult,
    OutputResumeRequest,
    OutputSettings,
    OutputSetup,
    OutputSetupRequest,
    OutputSinkRequest,
)

__all__ = [
    "HOOK_API_VERSION",
    "PROJECT",
    "AbortResult",
    "ConvertHooks",
    "ConvertRequest",
    "ConvertResult",
    "ConvertSettings",
    "CopyHooks",
    "CopyRequest",
    "CopyResult",
    "InputAbortRequest",
    "InputHooks",
    "InputResult",
    "InputSetupRequest",
    "InputVersions",
    "InputVersionsRequest",
    "Ledger",
    "NoLedger",
    "ObserverHooks",
    "OutputAbortRequest",
    "OutputCheckRequest",
    "OutputCheckResult",
    "OutputFinalizeRequest",
    "OutputHooks",
    "OutputPrecheckRequest",
    "OutputResult",
    "OutputResumeRequest",
    "OutputSettings",
    "OutputSetup",
    "OutputSetupRequest",
    "OutputSinkRequest",
    "OwnedObject",
    "Plugin",
    "ProbeHooks",
    "ProbeRequest",
    "hookimpl",
    "hookspec",
]
