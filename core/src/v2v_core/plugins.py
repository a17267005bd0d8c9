# SPDX-License-Identifier: GPL-2.0-or-later
"""Calling plugins: one pluggy manager per plugin of a run, checked hooks, checked results, typed methods.

pluggy notices a misspelt hook and a wrong argument, but neither a *missing* hook nor a result of the wrong type. Both
are checked here, and the error names the plugin. Exceptions of other libraries are wrapped here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pluggy

from v2v_core import hookspecs
from v2v_core.copying.sink import Sink
from v2v_core.deep_inspection import InspectResult
from v2v_core.discovery import Role, installed, load
from v2v_core.errors import (
    ConversionError,
    CopyError,
    DestinationError,
    OptionError,
    PluginContractError,
    PluginError,
    PluginLoadError,
    SourceError,
    V2VError,
)
from v2v_core.events import Event
from v2v_core.finding import Finding
from v2v_core.first_boot import FirstBootStatus
from v2v_core.hook_results import problem_of, problem_of_json
from v2v_core.hookspecs import (
    HOOK_API_VERSION,
    AbortResult,
    ConvertRequest,
    ConvertResult,
    ConvertSettings,
    CopyRequest,
    CopyResult,
    InputAbortRequest,
    InputResult,
    InputSetupRequest,
    InputVersions,
    InputVersionsRequest,
    OutputAbortRequest,
    OutputCheckRequest,
    OutputCheckResult,
    OutputFinalizeRequest,
    OutputPrecheckRequest,
    OutputResult,
    OutputResumeRequest,
    OutputSetup,
    OutputSetupRequest,
    OutputSinkRequest,
    ProbeRequest,
)
from v2v_core.model import (
    DiskService,
    Guest,
    NbdkitPlugin,
    NbdUri,
    OptionValues,
    PluginOption,
    QemuImage,
    TargetProfile,
)
from v2v_core.near_names import did_you_mean
from v2v_core.settings import RawOptions
from v2v_core.space import is_no_room, no_room

_SPECS: dict[Role, tuple[type, frozenset[str]]] = {
    Role.INPUT: (hookspecs.InputHooks, frozenset({"v2v_input_setup"})),
    Role.CONVERT: (hookspecs.ConvertHooks, frozenset({"v2v_convert"})),
    Role.OUTPUT: (
        hookspecs.OutputHooks,
        frozenset({"v2v_output_check", "v2v_output_setup", "v2v_output_finalize", "v2v_output_abort"}),
    ),
    Role.COPY: (hookspecs.CopyHooks, frozenset({"v2v_copy"})),
    Role.OBSERVER: (hookspecs.ObserverHooks, frozenset({"v2v_event"})),
}

ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class LoadedPlugin:
    """A plugin that was found, instantiated and checked, with its hooks as typed methods."""

    role: Role
    name: str
    blame: str
    options: tuple[PluginOption, ...]
    summary: str
    manager: pluggy.PluginManager
    profile: TargetProfile = TargetProfile()
    uri_schemes: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()

    def check_options(self, given: RawOptions, *, required: bool = True) -> OptionValues:
        """Check ``-io`` or ``-oo`` against what the plugin declares.

        :param required: an option that is declared so must be there.
        :raises OptionError: unknown, missing, given twice, or not a truth value where one is needed.
        """
        return check_options(
            f"-{'i' if self.role is Role.INPUT else 'o'} {self.name}", self.options, given, required=required
        )

    def without_secrets(self, given: RawOptions) -> RawOptions:
        """Return the options whose values are not secret, as the plugin declares them."""
        secret = {word for option in self.options if option.secret for word in (option.name, *option.aliases)}
        return tuple((key, value) for key, value in given if key not in secret)

    def input_setup(self, request: InputSetupRequest) -> InputResult:
        """Call ``v2v_input_setup``."""
        result = self._call_unchecked("v2v_input_setup", request, InputResult, SourceError)
        guest: object = result.guest
        if not isinstance(guest, Guest):
            raise PluginContractError(self.blame, f"v2v_input_setup returned a {type(guest).__name__} as guest")
        self._check_services(result.disks, len(result.guest.disks), "v2v_input_setup")
        self._check_fields("v2v_input_setup", result)
        return result

    def output_precheck(self, request: OutputPrecheckRequest) -> OutputCheckResult:
        """Call ``v2v_output_precheck``, which a plugin need not have."""
        if not self.manager.hook.v2v_output_precheck.get_hookimpls():
            return OutputCheckResult()
        return self._call_check("v2v_output_precheck", request)

    def output_check(self, request: OutputCheckRequest) -> OutputCheckResult:
        """Call ``v2v_output_check``."""
        return self._call_check("v2v_output_check", request)

    def convert_check(self, settings: ConvertSettings) -> None:
        """Call ``v2v_convert_check``, which a plugin need not have."""
        if self.manager.hook.v2v_convert_check.get_hookimpls():
            self._call("v2v_convert_check", settings, type(None), ConversionError)

    def convert(self, request: ConvertRequest) -> ConvertResult:
        """Call ``v2v_convert``."""
        return self._call("v2v_convert", request, ConvertResult, ConversionError)

    def inspect(self, request: ConvertRequest) -> InspectResult:
        """Call ``v2v_inspect``.

        :raises PluginError: the converter does not have this hook.
        """
        self.require_inspect()
        return self._call("v2v_inspect", request, InspectResult, ConversionError)

    def require_inspect(self) -> None:
        """Check that the converter can look into guests.

        :raises PluginError: it cannot.
        """
        if not self.manager.hook.v2v_inspect.get_hookimpls():
            raise PluginError(
                f"the converter {self.name!r} cannot look into guests",
                hint="leave --deep out, or choose another converter with --converter",
            )

    def first_boot(self, request: ConvertRequest) -> FirstBootStatus:
        """Call ``v2v_first_boot``.

        :raises PluginError: the converter does not have this hook.
        """
        self.require_first_boot()
        return self._call("v2v_first_boot", request, FirstBootStatus, ConversionError)

    def require_first_boot(self) -> None:
        """Check that the converter can say how the first boots of a guest went.

        :raises PluginError: it cannot.
        """
        if not self.manager.hook.v2v_first_boot.get_hookimpls():
            raise PluginError(
                f"the converter {self.name!r} cannot tell how the first boots of a guest went",
                hint="name the converter that the guest was converted with: --converter",
            )

    def output_setup(self, request: OutputSetupRequest) -> OutputSetup:
        """Call ``v2v_output_setup``."""
        return self._call_output_setup("v2v_output_setup", request)

    def output_sink(self, request: OutputSinkRequest) -> Sink:
        """Call ``v2v_output_sink``.

        :raises PluginContractError: the output has said that it has one, and does not.
        """
        if not self.manager.hook.v2v_output_sink.get_hookimpls():
            raise PluginContractError(self.blame, "OutputSetup.sink is true, but there is no hook v2v_output_sink")
        result = self._call_hook("v2v_output_sink", request, DestinationError)
        if not isinstance(result, Sink):
            raise PluginContractError(self.blame, f"v2v_output_sink returned {type(result).__name__} and not a Sink")
        return result

    @property
    def resumes(self) -> bool:
        """Whether an output has ``v2v_output_resume``."""
        return bool(self.manager.hook.v2v_output_resume.get_hookimpls())

    def output_resume(self, request: OutputResumeRequest) -> OutputSetup:
        """Call ``v2v_output_resume``, which a plugin need not have."""
        return self._call_output_setup("v2v_output_resume", request)

    def copy(self, request: CopyRequest) -> CopyResult:
        """Call ``v2v_copy``.

        :raises CopyError: naming the disk.
        """

        def wrap(message: str, *, hint: str | None = None) -> V2VError:
            return CopyError(message, disk=request.index, hint=hint)

        return self._call("v2v_copy", request, CopyResult, wrap)

    def output_finalize(self, request: OutputFinalizeRequest) -> OutputResult:
        """Call ``v2v_output_finalize``."""
        return self._call("v2v_output_finalize", request, OutputResult, DestinationError)

    def output_abort(self, request: OutputAbortRequest) -> AbortResult:
        """Call ``v2v_output_abort``."""
        return self._call("v2v_output_abort", request, AbortResult, DestinationError)

    def input_abort(self, request: InputAbortRequest) -> AbortResult:
        """Call ``v2v_input_abort``. Without this hook, everything is left."""
        if not self.manager.hook.v2v_input_abort.get_hookimpls():
            return AbortResult(left=request.owned)
        return self._call("v2v_input_abort", request, AbortResult, SourceError)

    def input_versions(self, request: InputVersionsRequest) -> InputVersions | None:
        """Call ``v2v_input_versions``; return None without this hook."""
        if not self.manager.hook.v2v_input_versions.get_hookimpls():
            return None
        return self._call("v2v_input_versions", request, InputVersions, SourceError)

    def probe(self, request: ProbeRequest) -> tuple[Finding, ...]:
        """Call ``v2v_probe``, which a plugin need not have."""
        caller = self.manager.hook.v2v_probe
        if not caller.get_hookimpls():
            return ()
        findings = self._call("v2v_probe", request, tuple, PluginError)
        if not all(isinstance(finding, Finding) for finding in findings):
            raise PluginContractError(self.blame, "v2v_probe must return a tuple of Finding")
        return findings

    def event(self, event: Event) -> None:
        """Call ``v2v_event``. The caller handles exceptions."""
        self.manager.hook.v2v_event(event=event)

    def _call_output_setup(self, hook: str, request: OutputSetupRequest | OutputResumeRequest) -> OutputSetup:
        result = self._call_unchecked(hook, request, OutputSetup, DestinationError)
        self._check_services(result.disks, len(request.disks), hook)
        self._check_fields(hook, result)
        if problem := problem_of_json(result.state, "state"):
            raise PluginContractError(self.blame, f"the state of {hook} is not JSON: {problem}")
        if result.identities and len(set(result.identities)) != len(request.disks):
            raise PluginContractError(
                self.blame, f"{hook} returned {len(set(result.identities))} identities for {len(request.disks)} disks"
            )
        return result

    def _call_check(self, hook: str, request: object) -> OutputCheckResult:
        # most checks have nothing to return
        result = self._call_hook(hook, request, DestinationError)
        if result is None:
            return OutputCheckResult()
        if not isinstance(result, OutputCheckResult):
            wanted = "nothing or an OutputCheckResult"
            raise PluginContractError(self.blame, f"{hook} returned {type(result).__name__} and not {wanted}")
        self._check_fields(hook, result)
        return result

    def _call(self, hook: str, request: object, result_type: type[ResultT], wrap: Callable[..., V2VError]) -> ResultT:
        """Call a hook, and check its result down to the types of its fields."""
        result = self._call_unchecked(hook, request, result_type, wrap)
        self._check_fields(hook, result)
        return result

    def _call_unchecked(
        self, hook: str, request: object, result_type: type[ResultT], wrap: Callable[..., V2VError]
    ) -> ResultT:
        """Call a hook, and check that its result is of a type."""
        result = self._call_hook(hook, request, wrap)
        if not isinstance(result, result_type):
            wanted = "nothing" if result_type is type(None) else f"an {result_type.__name__}"
            raise PluginContractError(self.blame, f"{hook} returned {type(result).__name__} and not {wanted}")
        return result

    def _check_fields(self, hook: str, result: object) -> None:
        if problem := problem_of(result, type(result)):
            raise PluginContractError(self.blame, f"{hook} returned an {type(result).__name__} whose {problem}")

    def _call_hook(self, hook: str, request: object, wrap: Callable[..., V2VError]) -> object:
        caller: Callable[..., Any] = getattr(self.manager.hook, hook)
        try:
            return caller(request=request)
        except V2VError as err:
            if err.exit_code != V2VError.exit_code:
                raise
            # an error of a program or of core says what failed, but not that it was this plugin's step
            raise wrap(err.message, hint=err.hint) from err
        except Exception as err:
            if is_no_room(err):
                places = {"temporary": "VIRT_V2V_TMPDIR", "directory": "TMPDIR"}
                variables = {place: name for key, name in places.items() if (place := getattr(request, key, None))}
                message, hint = no_room(err, variables, f"what the plugin {self.name} makes")
                raise wrap(message, hint=hint) from err
            raise wrap(
                f"the plugin {self.blame} failed in {hook}: {type(err).__name__}: {err}",
                hint="the log of the step has the traceback",
            ) from err

    def _check_services(self, services: object, count: int, hook: str) -> None:
        kinds = (QemuImage, NbdkitPlugin, NbdUri)
        if not isinstance(services, tuple) or not all(isinstance(service, kinds) for service in services):
            raise PluginContractError(
                self.blame, f"{hook} must return a QemuImage, NbdkitPlugin or NbdUri for each disk"
            )
        checked: tuple[DiskService, ...] = services
        if len(checked) != count:
            raise PluginContractError(self.blame, f"{hook} serves {len(checked)} disks of a guest that has {count}")


def load_plugin(role: Role, name: str) -> LoadedPlugin:
    """Find, import, instantiate and check the plugin that was asked for, and no other.

    :raises PluginNotFound, PluginLoadError, AmbiguousPlugin, PluginContractError: as their names say.
    """
    blocked = {word for word in os.environ.get("V2V_DISABLE_PLUGINS", "").split(",") if word}
    if name in blocked:
        raise PluginError(
            f"the {role} plugin {name!r} is disabled",
            hint="it is named in the environment variable V2V_DISABLE_PLUGINS",
        )
    made = load(role, name)
    blame = next((f"{name!r} of {p.distribution} {p.version}" for p in installed(role) if p.name == name), repr(name))
    return check_plugin(role, name, made, blame)


def check_plugin(role: Role, name: str, plugin_class: Any, blame: str) -> LoadedPlugin:
    """Instantiate a plugin and check it against the contract of its role.

    :raises PluginLoadError: its constructor failed.
    :raises PluginContractError: a required hook is missing, a hook is misspelt or has other arguments, or the plugin
        was written for a later version of the hooks.
    """
    api_version = getattr(plugin_class, "api_version", 1)
    if not isinstance(api_version, int) or api_version > HOOK_API_VERSION:
        raise PluginContractError(blame, f"it needs hook version {api_version}, this v2v-core has {HOOK_API_VERSION}")
    try:
        plugin = plugin_class()
    except Exception as err:
        raise PluginLoadError(role, name, blame, err) from err
    specs, required = _SPECS[role]
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(specs)
    manager.add_hookspecs(hookspecs.ProbeHooks)
    try:
        manager.register(plugin, name=name)
        manager.check_pending()
    except (pluggy.PluginValidationError, ValueError) as err:
        raise PluginContractError(blame, str(err).replace("\n", " ")) from err
    callers = manager.get_hookcallers(plugin) or []
    missing = sorted(required - {caller.name for caller in callers})
    if missing:
        raise PluginContractError(blame, f"the hook {', '.join(missing)} is missing (or not marked with @hookimpl)")
    options = getattr(plugin, "options", ())
    if not isinstance(options, tuple) or not all(isinstance(option, PluginOption) for option in options):
        raise PluginContractError(blame, "its options must be a tuple of PluginOption")
    profile = getattr(plugin, "profile", TargetProfile())
    if not isinstance(profile, TargetProfile):
        raise PluginContractError(blame, f"its profile must be a TargetProfile, and not {profile!r}")
    if os.environ.get("V2V_TRACE_HOOKS"):
        manager.trace.root.setwriter(_trace)
        manager.enable_tracing()
    return LoadedPlugin(
        role,
        name,
        blame,
        options,
        str(getattr(plugin, "summary", "")),
        manager,
        profile,
        uri_schemes=_words(plugin, "uri_schemes", blame),
        capabilities=_words(plugin, "capabilities", blame),
    )


def _words(plugin: object, name: str, blame: str) -> tuple[str, ...]:
    words = getattr(plugin, name, ())
    if not isinstance(words, tuple) or not all(isinstance(word, str) for word in words):
        raise PluginContractError(blame, f"its {name} must be a tuple of strings")
    return words


def check_options(
    mode: str, declared: tuple[PluginOption, ...], given: RawOptions, *, required: bool = True
) -> OptionValues:
    """Check options against a declaration.

    :raises OptionError: unknown, missing, given twice, or not a truth value where one is needed.
    """
    spellings = {spelling: option for option in declared for spelling in (option.name, *option.aliases)}
    values: dict[str, tuple[str, ...]] = {}
    for key, value in given:
        option = spellings.get(key)
        if option is None:
            known = ", ".join(option.name for option in declared)
            listed = f"it understands: {known}" if known else "it understands none"
            raise OptionError(mode, key, "unknown", hint=f"{did_you_mean(key, spellings)} {listed}".strip())
        if option.name in values and not option.repeatable:
            raise OptionError(mode, key, "given more than once")
        values[option.name] = (*values.get(option.name, ()), _checked_value(mode, option, key, value))
    for option in declared:
        if required and option.required and option.name not in values:
            raise OptionError(mode, option.name, "is required")
    return OptionValues(values=values)


def _checked_value(mode: str, option: PluginOption, key: str, value: str | None) -> str:
    if option.flag:
        if value not in {None, "true", "false"}:
            raise OptionError(mode, key, f"{value!r} is neither true nor false")
        return value or "true"
    if not value:
        raise OptionError(mode, key, "needs a value", hint=f"write {key}=VALUE")
    return value


def _trace(text: str) -> None:
    os.write(2, text.encode("utf-8", "replace"))
