# SPDX-License-Identifier: GPL-2.0-or-later
"""Checking plugins: core notices what pluggy does not, and the error names the plugin."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from v2v_core.discovery import Role
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
from v2v_core.hookspecs import (
    ConvertHooks,
    ConvertRequest,
    ConvertResult,
    ConvertSettings,
    CopyRequest,
    InputResult,
    InputSetupRequest,
    OutputCheckRequest,
    OutputSettings,
    hookimpl,
)
from v2v_core.model import DiskEndpoint, Guest, NbdUri, PluginOption, SourceDisk, TargetProfile
from v2v_core.plugins import check_options, check_plugin, load_plugin
from v2v_core.testing import FakeConvert, FakeCopy, FakeInput, FakeOutput, FakeReporter, failing
from v2v_core.testing.fixtures import Install

BLAME = "'foo' of v2v-foo 1.0"


def checked(role: Role, plugin_class: Any) -> Any:
    return check_plugin(role, "foo", plugin_class, BLAME)


def input_request(tmp_path: Path) -> InputSetupRequest:
    return InputSetupRequest(directory=tmp_path, arguments=(), report=FakeReporter())


@pytest.mark.parametrize(
    ("role", "plugin_class"),
    [
        (Role.INPUT, FakeInput),
        (Role.OUTPUT, FakeOutput),
        (Role.CONVERT, FakeConvert),
        (Role.COPY, FakeCopy),
    ],
)
def test_plugin_that_keeps_the_contract_is_accepted(role: Role, plugin_class: type) -> None:
    plugin = checked(role, plugin_class)
    assert (plugin.role, plugin.name, plugin.blame) == (role, "foo", BLAME)
    assert plugin.summary == plugin_class.summary  # type: ignore[attr-defined]


@pytest.mark.parametrize("hook", ["check", "setup", "finalize", "abort"])
def test_missing_hook_is_named(hook: str) -> None:
    class Lacking(FakeOutput):
        pass

    setattr(Lacking, f"v2v_output_{hook}", None)
    with pytest.raises(PluginContractError) as refused:
        checked(Role.OUTPUT, Lacking)
    assert f"v2v_output_{hook} is missing" in refused.value.message
    assert BLAME in refused.value.message


def test_hook_without_the_mark_is_missing() -> None:
    class Unmarked:
        def v2v_convert(self, request: object) -> None: ...

    with pytest.raises(PluginContractError, match=r"v2v_convert is missing .*@hookimpl"):
        checked(Role.CONVERT, Unmarked)


def test_misspelt_hook_is_named() -> None:
    class Misspelt(FakeInput):
        @hookimpl
        def v2v_input_stup(self, request: object) -> None: ...

    with pytest.raises(PluginContractError, match="v2v_input_stup"):
        checked(Role.INPUT, Misspelt)


def test_hook_of_another_role_is_named() -> None:
    class Confused(FakeInput):
        @hookimpl
        def v2v_output_check(self, request: object) -> None: ...

    with pytest.raises(PluginContractError, match="v2v_output_check"):
        checked(Role.INPUT, Confused)


def test_wrong_argument_is_named() -> None:
    class Wrong:
        @hookimpl
        def v2v_input_setup(self, reqest: object) -> None: ...

    with pytest.raises(PluginContractError, match="reqest") as refused:
        checked(Role.INPUT, Wrong)
    assert "\n" not in refused.value.message


def test_hook_that_returns_nothing_is_blamed(tmp_path: Path) -> None:
    class Silent:
        @hookimpl
        def v2v_input_setup(self, request: InputSetupRequest) -> None:
            return None

    with pytest.raises(PluginContractError, match="v2v_input_setup returned NoneType and not an InputResult"):
        checked(Role.INPUT, Silent).input_setup(input_request(tmp_path))


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"guest": None}, "returned dict"),
        (InputResult(guest="guest", disks=()), "returned a str as guest"),  # type: ignore[arg-type]
        (InputResult(guest=Guest(name="g"), disks=[]), "must return a QemuImage"),  # type: ignore[arg-type]
        (InputResult(guest=Guest(name="g"), disks=("/disk.img",)), "must return a QemuImage"),  # type: ignore[arg-type]
        (InputResult(guest=Guest(name="g"), disks=(NbdUri(uri="nbd://x"),)), "serves 1 disks of a guest that has 0"),
        (InputResult(guest=Guest(name="g", disks=(SourceDisk(index=1),)), disks=()), "serves 0 disks"),
    ],
    ids=["dict", "guest", "list", "path", "too many", "too few"],
)
def test_result_of_the_wrong_kind_is_blamed(tmp_path: Path, result: object, expected: str) -> None:
    class Wrong:
        @hookimpl
        def v2v_input_setup(self, request: InputSetupRequest) -> object:
            return result

    with pytest.raises(PluginContractError, match=expected) as refused:
        checked(Role.INPUT, Wrong).input_setup(input_request(tmp_path))
    assert BLAME in refused.value.message


def test_check_that_returns_something_is_blamed(tmp_path: Path) -> None:
    class Talkative(FakeOutput):
        @hookimpl
        def v2v_output_check(self, request: OutputCheckRequest) -> bool:  # type: ignore[override]
            return True

    request = OutputCheckRequest(
        directory=tmp_path, settings=OutputSettings(name="g"), guest=Guest(name="g"), report=FakeReporter()
    )
    with pytest.raises(PluginContractError, match="v2v_output_check returned bool and not nothing"):
        checked(Role.OUTPUT, Talkative).output_check(request)


@pytest.mark.parametrize("version", [2, 99, "1", None])
def test_plugin_for_later_hooks_is_refused(version: object) -> None:
    later = type("Later", (FakeInput,), {"api_version": version})
    with pytest.raises(PluginContractError, match="it needs hook version"):
        checked(Role.INPUT, later)


def test_profile_is_a_target_profile() -> None:
    vague = type("Vague", (FakeOutput,), {"profile": "everything"})
    with pytest.raises(PluginContractError, match="its profile must be a TargetProfile, and not 'everything'"):
        checked(Role.OUTPUT, vague)


def test_a_target_has_everything_unless_its_plugin_says_otherwise() -> None:
    assert checked(Role.OUTPUT, FakeOutput).profile == TargetProfile()
    small = type("Small", (FakeOutput,), {"profile": TargetProfile(most_disks=1)})
    assert checked(Role.OUTPUT, small).profile.most_disks == 1


@pytest.mark.parametrize("attribute", ["uri_schemes", "capabilities"])
def test_words_of_a_plugin_are_a_tuple_of_strings(attribute: str) -> None:
    vague = type("Vague", (FakeInput,), {attribute: "vpx"})
    with pytest.raises(PluginContractError, match=f"its {attribute} must be a tuple of strings"):
        checked(Role.INPUT, vague)


def test_plugin_without_a_version_has_version_1() -> None:
    class Plain:
        @hookimpl
        def v2v_input_setup(self, request: InputSetupRequest) -> None: ...

    plugin = checked(Role.INPUT, Plain)
    assert (plugin.options, plugin.summary) == ((), "")


def test_constructor_that_fails_is_a_load_error() -> None:
    class Fragile(FakeInput):
        def __init__(self) -> None:
            raise RuntimeError("no SDK")

    with pytest.raises(PluginLoadError, match="RuntimeError: no SDK") as refused:
        checked(Role.INPUT, Fragile)
    assert isinstance(refused.value.__cause__, RuntimeError)


@pytest.mark.parametrize("options", [[], ("key",), {"a": 1}])
def test_options_of_the_wrong_kind_are_refused(options: object) -> None:
    with pytest.raises(PluginContractError, match="tuple of PluginOption"):
        checked(Role.INPUT, type("Odd", (FakeInput,), {"options": options}))


@pytest.mark.parametrize(
    ("role", "plugin_class", "call", "hook", "error"),
    [
        (Role.INPUT, FakeInput, "input_setup", "v2v_input_setup", SourceError),
        (Role.CONVERT, FakeConvert, "convert", "v2v_convert", ConversionError),
        (Role.OUTPUT, FakeOutput, "output_check", "v2v_output_check", DestinationError),
        (Role.OUTPUT, FakeOutput, "output_setup", "v2v_output_setup", DestinationError),
        (Role.OUTPUT, FakeOutput, "output_finalize", "v2v_output_finalize", DestinationError),
        (Role.OUTPUT, FakeOutput, "output_abort", "v2v_output_abort", DestinationError),
    ],
)
def test_foreign_exception_is_wrapped_with_the_name_of_the_plugin(
    role: Role, plugin_class: type, call: str, hook: str, error: type[V2VError]
) -> None:
    def crash(self: object, request: object) -> None:
        raise KeyError("missing key")

    plugin = checked(role, type("Crashing", (plugin_class,), {hook: hookimpl(crash)}))
    with pytest.raises(error, match=f"{BLAME} failed in {hook}: KeyError: 'missing key'") as wrapped:
        getattr(plugin, call)(object())
    assert isinstance(wrapped.value.__cause__, KeyError)


def test_error_of_the_plugin_is_not_wrapped(tmp_path: Path) -> None:
    plugin = checked(Role.INPUT, failing(FakeInput, "v2v_input_setup"))
    with pytest.raises(SourceError) as raised:
        plugin.input_setup(input_request(tmp_path))
    assert (raised.value.message, raised.value.hint) == ("asked to fail in v2v_input_setup", "do not ask")


def test_copy_error_keeps_its_disk() -> None:
    class Failing:
        @hookimpl
        def v2v_copy(self, request: CopyRequest) -> None:
            raise CopyError("disk 3: no", disk=3)

    endpoint = DiskEndpoint(index=3, uri="nbd://x")
    request = CopyRequest(index=3, source=endpoint, destination=endpoint, report=FakeReporter())
    with pytest.raises(CopyError) as raised:
        checked(Role.COPY, Failing).copy(request)
    assert raised.value.disk == 3


def test_fields_that_hold_secrets_are_not_in_the_repr_of_a_record(tmp_path: Path) -> None:
    settings = ConvertSettings(keys=("all:key:hunter2",), extra={"password": "hunter2"})
    options = check_options("-o foo", (PluginOption(name="pw", help="x", secret=True),), (("pw", "hunter2"),))
    request = ConvertRequest(
        directory=tmp_path,
        temporary=tmp_path,
        guest=Guest(name="g"),
        disks=(),
        settings=settings,
        report=FakeReporter(),
    )
    assert "hunter2" not in repr(request) + repr(dataclasses.replace(OutputSettings(name="g"), options=options))


DECLARED = (
    PluginOption(name="compressed", help="x", flag=True),
    PluginOption(name="thumbprint", help="x", aliases=("print",)),
    PluginOption(name="disk-id", help="x", repeatable=True),
)


def test_options_are_read_by_name_alias_and_in_their_order() -> None:
    values = check_options(
        "-o foo", DECLARED, (("compressed", None), ("print", "a=b"), ("disk-id", "2"), ("disk-id", "1"))
    )
    assert values.flag("compressed")
    assert values.one("thumbprint") == "a=b"
    assert values.all("disk-id") == ("2", "1")
    assert (values.one("nothing"), values.all("nothing"), values.flag("nothing")) == (None, (), False)


@pytest.mark.parametrize(("value", "is_true"), [(None, True), ("true", True), ("false", False)])
def test_flag_is_true_when_bare(value: str | None, is_true: bool) -> None:
    assert check_options("-o foo", DECLARED, (("compressed", value),)).flag("compressed") is is_true


@pytest.mark.parametrize(
    ("given", "expected", "hint"),
    [
        ((("compresed", None),), "option 'compresed': unknown", "compressed, thumbprint, disk-id"),
        ((("compressed", "yes"),), "'yes' is neither true nor false", None),
        ((("thumbprint", None),), "needs a value", "thumbprint=VALUE"),
        ((("thumbprint", ""),), "needs a value", "thumbprint=VALUE"),
        ((("thumbprint", "1"), ("print", "2")), "given more than once", None),
    ],
)
def test_wrong_option_is_refused(given: Any, expected: str, hint: str | None) -> None:
    with pytest.raises(OptionError, match=expected) as refused:
        check_options("-o foo", DECLARED, given)
    assert refused.value.message.startswith("-o foo: option ")
    assert refused.value.exit_code == 2
    if hint is not None:
        assert hint in (refused.value.hint or "")


def test_required_option_that_is_missing_is_named() -> None:
    with pytest.raises(OptionError, match="option 'storage-domain': is required"):
        check_options("-o foo", (PluginOption(name="storage-domain", help="x", required=True),), ())


def test_loaded_plugin_is_blamed_by_its_distribution(v2v_install: Install) -> None:
    v2v_install(
        "v2v-output-t",
        {"v2v.output": {"t-lacking": "t_lacking:Lacking"}},
        {"t_lacking": "class Lacking:\n    pass\n"},
        version="3.1",
    )
    with pytest.raises(PluginContractError, match=r"'t-lacking' of v2v-output-t 3\.1 breaks the plugin contract"):
        load_plugin(Role.OUTPUT, "t-lacking")


def test_disabled_plugin_is_not_imported(v2v_install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    v2v_install("v2v-output-t", {"v2v.output": {"t-off": "t_off:T"}}, {"t_off": "1/0"})
    monkeypatch.setenv("V2V_DISABLE_PLUGINS", "other,t-off")
    with pytest.raises(PluginError, match="disabled"):
        load_plugin(Role.OUTPUT, "t-off")


def test_a_converter_without_v2v_inspect_cannot_look_into_guests() -> None:
    class Old(ConvertHooks):
        @hookimpl
        def v2v_convert(self, request: ConvertRequest) -> ConvertResult:
            raise NotImplementedError

    with pytest.raises(PluginError, match="the converter 'old' cannot look into guests") as refused:
        check_plugin(Role.CONVERT, "old", Old, "old").require_inspect()
    assert "--deep" in (refused.value.hint or "")
    with pytest.raises(PluginError, match="the converter 'old' cannot tell how the first boots of a guest went"):
        check_plugin(Role.CONVERT, "old", Old, "old").require_first_boot()
