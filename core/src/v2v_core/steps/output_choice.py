# SPDX-License-Identifier: GPL-2.0-or-later
"""What the user asked of the output: ``output_check`` writes it down, and the plugin gets it as settings."""

from __future__ import annotations

from v2v_core.conversion_dir import ConversionDir
from v2v_core.discovery import Role
from v2v_core.errors import UsageError
from v2v_core.hookspecs import OutputSettings
from v2v_core.model import PluginOption, TargetProfile
from v2v_core.plugins import LoadedPlugin, check_options, load_plugin
from v2v_core.settings import OutputChoice, RawOptions

_FILE = "output_choice.json"
_OVERWRITE = "overwrite"
_OVERWRITE_OPTION = PluginOption(name=_OVERWRITE, help="replace an existing guest of the same name", flag=True)


def save_choice(directory: ConversionDir, choice: OutputChoice) -> None:
    """Write down what the user asked of the output, for a conversion that comes later, perhaps in another process."""
    directory.write_record(_FILE, choice)


def profile_of_output(directory: ConversionDir) -> TargetProfile:
    """Return the profile of the chosen output, or one without limits if no output was chosen yet.

    :raises PluginError: the plugin of the output cannot be loaded.
    """
    if not (directory.path / _FILE).exists():
        return TargetProfile()
    choice = directory.read_record(_FILE, OutputChoice)
    return load_plugin(Role.OUTPUT, choice.mode).profile


def settings_of(plugin: LoadedPlugin, choice: OutputChoice, source_name: str) -> OutputSettings:
    """Return the settings that the hooks of an output plugin get.

    :raises UsageError: the allocation is unknown, or the plugin does not have an option.
    """
    if choice.allocation not in {"sparse", "preallocated"}:
        raise UsageError(f"-oa {choice.allocation!r} is neither sparse nor preallocated")
    options, overwrite = _without_overwrite(plugin, choice)
    return OutputSettings(
        name=choice.name if choice.name is not None else source_name,
        storage=choice.storage,
        connection=choice.connection,
        format=choice.format or "raw",
        format_given=choice.format is not None,
        allocation=choice.allocation,
        password_file=choice.password_file,
        options=plugin.check_options(options),
        overwrite=overwrite,
    )


def _without_overwrite(plugin: LoadedPlugin, choice: OutputChoice) -> tuple[RawOptions, bool]:
    """Separate ``-oo overwrite``, which every output has, from the options of the plugin.

    :raises OptionError: its value is not a truth value.
    """
    if any(_OVERWRITE in (option.name, *option.aliases) for option in plugin.options):
        return choice.options, choice.overwrite
    own = tuple(one for one in choice.options if one[0] == _OVERWRITE)
    given = check_options(f"-o {plugin.name}", (_OVERWRITE_OPTION,), own)
    overwrite = choice.overwrite or given.flag(_OVERWRITE)
    return tuple(one for one in choice.options if one[0] != _OVERWRITE), overwrite
