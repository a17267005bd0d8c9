# SPDX-License-Identifier: GPL-2.0-or-later
"""What a user gets from pip: a plugin is there when its distribution is; a broken one does not affect the others."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from packaging_site import MEMBERS, OUTSIDE, Site

pytestmark = pytest.mark.slow

MB = 1024 * 1024


@pytest.fixture
def guest(tmp_path: Path) -> Path:
    description = tmp_path / "guest.txt"
    description.write_text(f"old guest\n{MB}\n")
    return description


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    (tmp_path / "storage").mkdir()
    return tmp_path / "storage"


@pytest.fixture
def never_imported(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Yield the environment variable that the broken plugin reads; fail if that plugin was imported."""
    trace = tmp_path / "imported"
    yield {"V2V_BROKEN_WAS_IMPORTED": str(trace)}
    assert not trace.exists(), "the broken plugin was imported without being asked for"


def test_every_distribution_has_a_wheel_with_its_code_and_its_types(wheels: Path) -> None:
    built = {path.name.partition("-")[0]: path for path in wheels.glob("*.whl")}
    assert len(built) == len(MEMBERS) + len(OUTSIDE)
    for name in (f"v2v_{member.name}" for member in MEMBERS):
        names = zipfile.ZipFile(built[name]).namelist()
        assert f"{name}/__init__.py" in names
        assert f"{name}/py.typed" in names
        assert not [entry for entry in names if "/tests/" in entry or entry.startswith("tests/")]
    core = zipfile.ZipFile(built["v2v_core"]).namelist()
    assert "v2v_core/metadata/schema/metadata.rng" in core
    assert "v2v_core/testing/output_contract.py" in core


def test_listing_names_the_distribution_of_each_and_imports_none(site: Site, never_imported: dict[str, str]) -> None:
    listed = site.succeed("v2v", "plugins", "list", **never_imported)
    rows = {tuple(line.split()[:2]): line for line in listed.splitlines()}
    for role, name, distribution in (
        ("input", "disk", "v2v-input-disk"),
        ("input", "outside", "v2v-input-outside 7.1"),
        ("output", "outside", "v2v-output-outside 7.2"),
        ("output", "local", "v2v-output-local"),
        ("output", "broken-import", "v2v-output-broken 6.6.6"),
        ("convert", "guestfs", "v2v-convert-guestfs"),
        ("copy", "nbdcopy", "v2v-core"),
    ):
        assert distribution in rows[role, name]


def test_check_flags_the_broken_ones_and_no_others(site: Site) -> None:
    done = site.run("v2v", "plugins", "list", "--check")
    assert done.returncode == 3
    (error,) = (line for line in done.stderr.splitlines() if "error:" in line)
    assert set(re.findall(r"(\w+ [\w-]+)(?=,|$)", error.partition("broken: ")[2])) == {
        "output broken-contract",
        "output broken-import",
    }


@pytest.mark.parametrize("words", [("--help",), ("--version",)])
def test_help_and_version_import_no_plugin(site: Site, never_imported: dict[str, str], words: tuple[str, ...]) -> None:
    assert site.succeed("virt-v2v", *words, **never_imported)


def test_modes_from_outside_are_in_the_help(site: Site, never_imported: dict[str, str]) -> None:
    help_text = site.succeed("virt-v2v", "--help", **never_imported)
    assert "outside" in help_text


def test_conversion_with_plugins_from_outside(
    site: Site, guest: Path, storage: Path, never_imported: dict[str, str]
) -> None:
    words = ["-i", "outside", str(guest), "--converter", "outside", "-o", "outside", "-os", str(storage)]
    site.succeed("v2v", "convert", *words, "-io", "prefix=my ", "-on", "new name", **never_imported)
    assert sorted(path.name for path in (storage / "0").iterdir()) == ["disk1", "domain.xml"]
    assert "<name>new name</name>" in (storage / "0" / "domain.xml").read_text()
    content = (storage / "0" / "disk1").read_bytes()
    # the pattern of nbdkit-pattern-plugin(1): each 8 bytes are their own offset
    assert len(content) == MB
    assert all(int.from_bytes(content[at : at + 8], "big") == at for at in range(0, MB, 4096))


def test_steps_as_helper_commands_of_the_distributions(
    site: Site, guest: Path, storage: Path, v2v_short_path: Path
) -> None:
    directory = ("--dir", str(v2v_short_path / "d"))
    site.succeed("helper-v2v-input-outside", *directory, str(guest))
    site.succeed("helper-v2v-convert", *directory, "--converter", "outside")
    site.succeed("helper-v2v-output-outside", "setup", *directory, "-os", str(storage))
    site.succeed("helper-v2v-copy", *directory)
    site.succeed("helper-v2v-output-outside", "final", *directory)
    site.succeed("helper-v2v-cleanup", *directory)
    assert (storage / "0" / "disk1").stat().st_size == MB
    assert "<name>old guest</name>" in (storage / "0" / "domain.xml").read_text()
    assert not (v2v_short_path / "d").exists()


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("broken-import", "ModuleNotFoundError: No module named 'sdk_that_is_not_installed'"),
        ("broken-contract", "'broken-contract' of v2v-output-broken 6.6.6 .*v2v_output_finalize is missing"),
    ],
)
def test_broken_plugin_that_is_asked_for_is_blamed_in_one_line(
    site: Site, guest: Path, storage: Path, mode: str, said: str
) -> None:
    done = site.run("virt-v2v", "-i", "outside", str(guest), "-o", mode, "-os", str(storage))
    assert done.returncode == 3
    errors = [line for line in done.stderr.splitlines() if "error:" in line]
    assert len(errors) == 1, done.stderr
    assert mode in errors[0]
    assert re.search(said, errors[0])
    assert "Traceback" not in done.stderr + done.stdout
    assert list(storage.iterdir()) == []


def test_unknown_mode_lists_what_is_installed(site: Site, guest: Path, never_imported: dict[str, str]) -> None:
    done = site.run("virt-v2v", "-i", "outside", str(guest), "-o", "rhubarb", **never_imported)
    assert done.returncode == 3
    assert "unknown output mode 'rhubarb' (installed: " in done.stderr
    assert "outside" in done.stderr
    assert "hint: 'v2v plugins list' lists what is installed\n" in done.stderr


def test_plugin_is_gone_when_its_distribution_is(site: Site, wheels: Path) -> None:
    python = str(site.place / "venv/bin/python")
    (wheel,) = wheels.glob("v2v_output_outside-*.whl")
    site.succeed(python, "-m", "pip", "uninstall", "-q", "-y", "v2v-output-outside")
    try:
        assert "v2v-output-outside" not in site.succeed("v2v", "plugins", "list")
    finally:
        site.succeed(python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", str(wheel))
    assert "v2v-output-outside" in site.succeed("v2v", "plugins", "list")


def test_test_kit_is_a_pytest_plugin_that_costs_next_to_nothing(site: Site) -> None:
    (site.place / "test_empty.py").write_text(
        "import sys\n\ndef test_kit(request):\n"
        "    assert request.config.pluginmanager.has_plugin('v2v')\n"
        "    assert [m for m in sys.modules if m.startswith('v2v_core')] == "
        "['v2v_core', 'v2v_core.testing', 'v2v_core.testing.fixtures']\n"
        "    assert not {'stevedore', 'lxml', 'typer', 'pluggy.never'} & set(sys.modules)\n"
    )
    site.succeed("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_empty.py")
