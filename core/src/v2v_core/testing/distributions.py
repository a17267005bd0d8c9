# SPDX-License-Identifier: GPL-2.0-or-later
"""Fake installed distributions: discovery looks at nothing but the ``dist-info`` directory."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path


def write_distribution(
    site: Path, name: str, entry_points: Mapping[str, Mapping[str, str]], *, version: str = "1.0"
) -> Path:
    """Write a distribution into a directory that is, or will be, on ``sys.path``.

    :param entry_points: for each group (``v2v.output``), the targets (``module:Class``) by name.
    :return: its ``dist-info`` directory.
    """
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = []
    for group, targets in entry_points.items():
        lines += [f"[{group}]", *(f"{mode} = {target}" for mode, target in targets.items()), ""]
    (info / "entry_points.txt").write_text("\n".join(lines))
    forget_entry_points()
    return info


def forget_entry_points() -> None:
    """Make this process look for installed distributions again."""
    from stevedore.extension import ExtensionManager

    ExtensionManager.ENTRY_POINT_CACHE.clear()
    importlib.invalidate_caches()
