# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole conversions with the fake plugins, as fixtures: import them into a ``conftest.py``.

``from v2v_core.testing.fake_runs import choice, in_trouble, nothing_left, storage``
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from v2v_core.hookspecs import ConvertSettings
from v2v_core.settings import ConvertChoice, CopyChoice, InputChoice, NicMapping, OutputChoice, RunChoice
from v2v_core.testing.images import tree_of

MB = 1024 * 1024


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """Return the directory where the fake output puts its guests. It holds a file that does not belong to a run."""
    place = tmp_path / "storage"
    place.mkdir()
    (place / "neighbour").write_text("not of this run")
    return place


@pytest.fixture
def choice(
    v2v_leftovers: None, v2v_fakes: None, v2v_short_path: Path, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> RunChoice:
    """Return a whole conversion of a guest with two disks, with all temporary files below ``v2v_short_path``."""
    for variable, name in (("TMPDIR", "t"), ("VIRT_V2V_TMPDIR", "l"), ("XDG_STATE_HOME", "s")):
        (v2v_short_path / name).mkdir()
        monkeypatch.setenv(variable, str(v2v_short_path / name))
    # do not look for KVM
    monkeypatch.setenv("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg")
    return RunChoice(
        input=InputChoice(mode="fake", options=(("disks", "2"),)),
        output=OutputChoice(mode="fake", storage=str(storage), name="new name"),
        convert=ConvertChoice(mode="fake", nics=(NicMapping(kind="network", source="fake network", target="lan"),)),
        copy=CopyChoice(mode="fake", parallel=2),
    )


@pytest.fixture
def in_trouble(choice: RunChoice) -> Callable[[str, str], RunChoice]:
    """Return a function that makes a choice with which a plugin fails, crashes or hangs in a hook."""

    def make(kind: str, hook: str) -> RunChoice:
        if hook == "v2v_input_setup":
            options = (*choice.input.options, (f"{kind}-in", hook))
            return dataclasses.replace(choice, input=dataclasses.replace(choice.input, options=options))
        if hook == "v2v_convert":
            settings = ConvertSettings(extra={f"{kind}-in": hook})
            return dataclasses.replace(choice, convert=dataclasses.replace(choice.convert, settings=settings))
        if hook == "v2v_copy":
            mode = {"fail": "fake-failing", "hang": "fake-hanging"}[kind]
            return dataclasses.replace(choice, copy=CopyChoice(mode=mode))
        return dataclasses.replace(choice, output=dataclasses.replace(choice.output, options=((f"{kind}-in", hook),)))

    return make


@pytest.fixture
def nothing_left(v2v_short_path: Path, storage: Path) -> Callable[[], None]:
    """Return a function that asserts that nothing of a run is left but the logs that were kept."""
    before = tree_of(storage)

    def check() -> None:
        assert list((v2v_short_path / "t").iterdir()) == []
        assert list((v2v_short_path / "l").iterdir()) == []
        assert tree_of(storage) == before

    return check
