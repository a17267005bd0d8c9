# SPDX-License-Identifier: GPL-2.0-or-later
"""Finding plugins: by entry-point group and name, importing only the one that was asked for.

The only module that uses stevedore. It finds and imports; pluggy (``plugins.py``) checks and calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from v2v_core.errors import AmbiguousPlugin, PluginError, PluginLoadError, PluginNotFound


class Role(StrEnum):
    """The part that a plugin has in a conversion."""

    INPUT = "input"
    CONVERT = "convert"
    OUTPUT = "output"
    COPY = "copy"
    OBSERVER = "observer"

    @property
    def group(self) -> str:
        """The entry-point group of the role: ``v2v.`` and its name."""
        return f"v2v.{self.value}"


@dataclass(frozen=True, kw_only=True)
class Installed:
    """An entry point of an installed distribution. Its plugin has not been imported."""

    role: Role
    name: str
    target: str
    distribution: str
    version: str


def installed(role: Role) -> tuple[Installed, ...]:
    """Return the plugins of a role, without importing any, sorted by name.

    This uses importlib.metadata, because the entry points that stevedore caches do not know their distribution.
    """
    plugins = {
        Installed(role=role, name=ep.name, target=ep.value, distribution=_name(ep), version=_version(ep))
        for ep in entry_points(group=role.group)
    }
    return tuple(sorted(plugins, key=lambda plugin: (plugin.name, plugin.distribution)))


@dataclass(frozen=True, kw_only=True)
class Mode:
    """An installed plugin with all the names that it has in its role.

    :param plugin: under its main name: the one that has a helper command (``helper-v2v-ROLE-NAME``), or else the first
        in the alphabet.
    """

    plugin: Installed
    aliases: tuple[str, ...]

    @property
    def listed(self) -> str:
        """The names for a listing: ``rhv-upload (ovirt-upload, rhv_upload)``."""
        return f"{self.plugin.name} ({', '.join(self.aliases)})" if self.aliases else self.plugin.name


def modes(role: Role) -> tuple[Mode, ...]:
    """Return the plugins of a role, each once, without importing any, sorted by main name."""
    scripts = {entry_point.name for entry_point in entry_points(group="console_scripts")}
    groups: dict[tuple[str, str], list[Installed]] = {}
    for plugin in installed(role):
        groups.setdefault((plugin.distribution, plugin.target), []).append(plugin)
    listed = []
    for names in groups.values():
        main = next((plugin for plugin in names if f"helper-v2v-{role}-{plugin.name}" in scripts), names[0])
        listed.append(Mode(plugin=main, aliases=tuple(plugin.name for plugin in names if plugin is not main)))
    return tuple(sorted(listed, key=lambda mode: (mode.plugin.name, mode.plugin.distribution)))


def words(plugin: Installed, attribute: str) -> tuple[str, ...]:
    """Import a plugin, and return words that its class declares, such as ``uri_schemes``.

    There are none if the plugin cannot be imported: a plugin that the user did not ask for must not break anything.
    """
    try:
        declared = getattr(load(plugin.role, plugin.name), attribute, ())
    except PluginError:
        return ()
    return declared if isinstance(declared, tuple) and all(isinstance(word, str) for word in declared) else ()


def load(role: Role, name: str) -> Any:
    """Import the class of a plugin.

    :raises PluginNotFound: no installed distribution offers it.
    :raises AmbiguousPlugin: more than one distribution offers it.
    :raises PluginLoadError: it cannot be imported.
    """
    from stevedore.named import NamedExtensionManager

    def load_failed(_manager: object, entry_point: EntryPoint, err: BaseException) -> None:
        raise PluginLoadError(role, name, entry_point.value, err) from err

    def missing(_names: object) -> None:
        raise PluginNotFound(
            role, name, (plugin.name for plugin in installed(role)), tuple(m.listed for m in modes(role))
        )

    # stevedore caches its list on disk. For two minutes the cache does not notice that a distribution was installed
    # again with other entry points, because its key holds times as 32-bit floats
    NamedExtensionManager.ENTRY_POINT_CACHE[role.group] = list(entry_points(group=role.group))
    try:
        manager: NamedExtensionManager[Any] = NamedExtensionManager(
            role.group,
            [name],
            on_load_failure_callback=load_failed,
            on_missing_entrypoints_callback=missing,
        )
    except (AssertionError, SystemExit) as err:
        # stevedore does not catch these
        raise PluginLoadError(role, name, _targets(role, name), err) from err
    if len(manager.extensions) > 1:
        raise AmbiguousPlugin(role, name, [extension.entry_point_target for extension in manager.extensions])
    return manager.extensions[0].plugin


def _targets(role: Role, name: str) -> str:
    return ", ".join(plugin.target for plugin in installed(role) if plugin.name == name)


# a distribution whose METADATA is gone has neither name nor version
def _name(entry_point: EntryPoint) -> str:
    return (entry_point.dist.name if entry_point.dist is not None else None) or "?"


def _version(entry_point: EntryPoint) -> str:
    return (entry_point.dist.version if entry_point.dist is not None else None) or "?"
