# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that docs/writing-a-supervisor.md shows, done as it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from v2v_core import supervision
from v2v_core.testing import MARKER
from v2v_core.testing.fixtures import Install
from v2v_core.testing.images import numbered_sectors

PAGE = Path(__file__).parents[2] / "docs/writing-a-supervisor.md"
IMPORT = re.compile(r"^from v2v_core\.supervision import (?:\(([^)]*)\)|([^\n(]*))$", re.MULTILINE)
BLOCKS = re.findall(r"^```python([^\n]*)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


_COPIER = """
from v2v_core.api import *
from v2v_core.testing import FakeCopy
class Picky(FakeCopy):
    @hookimpl
    def v2v_copy(self, request):
        if request.source.size > 1024 * 1024:
            raise CopyError(f"disk {request.index}: it is too large for me", disk=request.index)
        return super().v2v_copy(request)
"""


@pytest.fixture
def place(v2v_fakes: None, v2v_leftovers: None, v2v_short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with room for conversions, in which nothing may be left."""
    for variable, name in (("TMPDIR", "t"), ("VIRT_V2V_TMPDIR", "l")):
        (v2v_short_path / name).mkdir()
        monkeypatch.setenv(variable, str(v2v_short_path / name))
    monkeypatch.setenv("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg")
    return v2v_short_path


def nothing_left(place: Path) -> bool:
    return list((place / "t").iterdir()) == [] and list((place / "l").iterdir()) == []


def test_the_examples_run_one_after_the_other(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    (place / "guest.img").write_bytes(numbered_sectors(1024 * 1024))
    code = "\n".join(text for kind, text in BLOCKS if not kind.strip())
    exec(compile(code, str(PAGE), "exec"), {"__name__": "examples"})  # noqa: S102 - the page is ours
    assert "owned elsewhere: ()" in capsys.readouterr().out
    assert nothing_left(place)


def test_the_page_imports_public_names_only_and_names_them_all() -> None:
    imported = {
        name.strip()
        for _kind, text in BLOCKS
        for many, one in re.findall(
            r"^from v2v_core\.supervision import (?:\(([^)]*)\)|([^\n(]*))$", text, re.MULTILINE
        )
        for name in f"{many}{one}".split(",")
        if name.strip()
    }
    assert imported <= set(supervision.__all__)
    assert not [text for _kind, text in BLOCKS if re.search(r"from v2v_core\.(?!supervision)", text)]


def test_three_guests_two_at_a_time_one_is_killed_and_one_fails(place: Path, v2v_install: Install) -> None:
    (script,) = (text for kind, text in BLOCKS if kind.strip() == "file=supervisor.py")
    (place / "supervisor.py").write_text(script)
    storage = place / "storage"
    storage.mkdir()
    for name in ("web", "db", "mail"):
        (place / f"{name}.img").write_bytes(numbered_sectors(1024 * 1024))
    # which the copier does not like
    (place / "mail.img").write_bytes(numbered_sectors(2 * 1024 * 1024))
    v2v_install("v2v-copy-t", {"v2v.copy": {"t-picky": "t_picky:Picky"}}, {"t_picky": _COPIER})
    done = subprocess.run(
        [sys.executable, "supervisor.py", str(storage), "web.img", "db.img", "mail.img"],
        cwd=place,
        env={**os.environ, "INPUT": "fake", "OUTPUT": "fake", "CONVERTER": "fake", "COPIER": "t-picky", "VICTIM": "db"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.splitlines()
    assert first == "web.img: converted"
    assert second == "db.img: KILLED in step convert"
    assert third == "mail.img: FAILED in step copy, disk 1: disk 1: it is too large for me"
    assert done.stderr == ""
    assert (storage / "web-disk1").read_bytes().startswith(MARKER)
    assert sorted(path.name for path in storage.iterdir()) == ["web-disk1", "web.xml"]
    assert nothing_left(place)


def test_a_supervisor_needs_neither_typer_nor_rich(place: Path) -> None:
    """With the command line hidden, a whole conversion runs: core and the plugins are enough."""
    (script,) = (text for kind, text in BLOCKS if kind.strip() == "file=supervisor.py")
    hidden = place / "hidden"
    hidden.mkdir()
    for name in ("typer", "rich", "click", "v2v_cli"):
        (hidden / f"{name}.py").write_text(f"raise ModuleNotFoundError('{name} is not installed', name='{name}')\n")
    (place / "supervisor.py").write_text(script)
    (place / "storage").mkdir()
    (place / "web.img").write_bytes(numbered_sectors(1024 * 1024))
    path = os.pathsep.join([str(hidden), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "supervisor.py", str(place / "storage"), "web.img"],
        cwd=place,
        env={**os.environ, "INPUT": "fake", "OUTPUT": "fake", "CONVERTER": "fake", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.stdout, done.stderr) == ("web.img: converted\n", "")
    assert (place / "storage" / "web-disk1").read_bytes().startswith(MARKER)
