# SPDX-License-Identifier: GPL-2.0-or-later
"""The pytest plugin of the test kit. Everything but pytest is imported inside the fixtures: it is loaded in every
pytest run of an environment in which v2v-core is installed, and must neither slow it down nor break it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from v2v_core.conversion_dir import ConversionDir
    from v2v_core.testing.fakes import FakeLedger, FakeReporter

#: Installs a fake distribution: its name, its entry points by group, and the source of its modules by name.
Install = Callable[..., Path]


@pytest.fixture
def v2v_report() -> FakeReporter:
    """Give a ``Reporter`` that remembers what it is told."""
    from v2v_core.testing.fakes import FakeReporter

    return FakeReporter()


@pytest.fixture
def v2v_ledger() -> FakeLedger:
    """Give a ``Ledger`` in memory."""
    from v2v_core.testing.fakes import FakeLedger

    return FakeLedger()


@pytest.fixture
def v2v_short_path() -> Iterator[Path]:
    """Give a temporary directory with a path that is short enough for sockets in it; mounts in it end with it."""
    import os
    import shutil
    import tempfile

    from v2v_core.mounts import unmount_below

    made = Path(os.path.realpath(tempfile.mkdtemp(prefix="v2v-t.", dir="/tmp")))
    yield made
    # as the cleanup does it: a plugin may have mounted a destination, which is not deleted with the directory
    unmount_below([made])
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def v2v_leftovers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail the test if a process that it started, directly or not, is still there at its end.

    A conversion directory asks for it; a test that starts processes in another way asks for it itself.
    """
    import uuid

    from v2v_core.testing.leftovers import VARIABLE, still_there

    mark = uuid.uuid4().hex
    monkeypatch.setenv(VARIABLE, mark)
    yield
    left = still_there(mark, seconds=5.0)
    assert not left, f"left behind: {sorted(left.values())}"


@pytest.fixture
def v2v_directory(v2v_leftovers: None, v2v_short_path: Path) -> Iterator[ConversionDir]:
    """Give a conversion directory; at the end its servers are stopped and it is removed.

    If a process that the test started is still there then, the test fails.
    """
    from v2v_core import processes
    from v2v_core.conversion_dir import ConversionDir

    directory = ConversionDir.open_or_create(v2v_short_path / "d")
    yield directory
    processes.stop(directory.path, lambda _process: True, grace=5.0)


@pytest.fixture
def v2v_disk(tmp_path: Path) -> Path:
    """Give a raw disk image of 1 MiB whose every sector begins with its own number."""
    from v2v_core.testing.images import numbered_sectors

    image = tmp_path / "disk.img"
    image.write_bytes(numbered_sectors(1024 * 1024))
    return image


@pytest.fixture
def v2v_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give stevedore, here and in child processes, a cache of its own that is empty."""
    from v2v_core.testing.distributions import forget_entry_points

    cache = tmp_path / "xdg-cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    forget_entry_points()
    yield cache
    forget_entry_points()


@pytest.fixture
def v2v_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, v2v_cache: Path) -> Iterator[Install]:
    """Give a function that "installs" a distribution, for this process and its children.

    ``v2v_install("v2v-output-foo", {"v2v.output": {"foo": "foo_module:Foo"}}, {"foo_module": "class Foo: …"})``
    """
    import os
    import sys

    from v2v_core.testing.distributions import write_distribution

    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])]))
    mine: set[str] = set()

    def install(
        name: str,
        entry_points: Mapping[str, Mapping[str, str]],
        modules: Mapping[str, str] | None = None,
        *,
        version: str = "1.0",
    ) -> Path:
        for module, source in (modules or {}).items():
            (site / f"{module}.py").write_text(source)
            mine.add(module)
        return write_distribution(site, name, entry_points, version=version)

    yield install
    for module in mine:
        sys.modules.pop(module, None)


@pytest.fixture
def v2v_fakes(v2v_install: Install) -> None:
    """Install the fake plugins of every role under the name ``fake``."""
    from v2v_core.testing.fake_plugins import ENTRY_POINTS

    v2v_install("v2v-fakes", ENTRY_POINTS)
