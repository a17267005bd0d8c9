# SPDX-License-Identifier: GPL-2.0-or-later
"""The pytest plugin of the test kit.

It is loaded in every pytest run of an environment in which v2v-core is installed, and must neither slow it down nor
break it. So everything but pytest is imported inside the fixtures.
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
    """Return a ``Reporter`` that keeps what is reported."""
    from v2v_core.testing.fakes import FakeReporter

    return FakeReporter()


@pytest.fixture
def v2v_ledger() -> FakeLedger:
    """Return a ``Ledger`` in memory."""
    from v2v_core.testing.fakes import FakeLedger

    return FakeLedger()


@pytest.fixture
def v2v_short_path() -> Iterator[Path]:
    """Yield a temporary directory whose path is short enough for sockets in it. Mounts in it are undone at the end."""
    import os
    import shutil
    import tempfile

    from v2v_core.mounts import unmount_below

    made = Path(os.path.realpath(tempfile.mkdtemp(prefix="v2v-t.", dir="/tmp")))
    yield made
    # as the cleanup does: a plugin may have mounted a destination, whose files must not be deleted with the directory
    unmount_below([made])
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def v2v_leftovers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail the test if a process that it started, directly or not, still exists at its end.

    ``v2v_directory`` uses this. A test that starts processes in another way uses it itself.
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
    """Yield a conversion directory. At the end its servers are stopped and it is removed.

    The test fails if a process that it started still exists then.
    """
    from v2v_core import processes
    from v2v_core.conversion_dir import ConversionDir

    directory = ConversionDir.open_or_create(v2v_short_path / "d")
    yield directory
    processes.stop(directory.path, lambda _process: True, grace=5.0)


@pytest.fixture
def v2v_disk(tmp_path: Path) -> Path:
    """Return a raw disk image of 1 MiB in which each sector begins with its number, and every fourth is empty."""
    from v2v_core.testing.images import numbered_sectors

    image = tmp_path / "disk.img"
    image.write_bytes(numbered_sectors(1024 * 1024))
    return image


@pytest.fixture
def v2v_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield an empty cache directory for stevedore, for this process and its children."""
    from v2v_core.testing.distributions import forget_entry_points

    cache = tmp_path / "xdg-cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    forget_entry_points()
    yield cache
    forget_entry_points()


@pytest.fixture
def v2v_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, v2v_cache: Path) -> Iterator[Install]:
    """Yield a function that "installs" a distribution, for this process and its children.

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
