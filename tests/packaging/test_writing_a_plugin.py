# SPDX-License-Identifier: GPL-2.0-or-later
"""The files of ``docs/writing-a-plugin.md`` are written, its commands are run, and the resulting plugins work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from packaging_site import ROOT, Site

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs/writing-a-plugin.md").read_text()
#: A fenced block: language, the rest of the line, content.
BLOCKS = re.findall(r"^```(\w+)(?: ([^\n]*))?\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
MB = 1024 * 1024


@pytest.fixture(scope="module")
def walked(site: Site) -> dict[str, str]:
    """Write every file of the page, run every command that is marked to be run, and return their output."""
    for _language, about, content in BLOCKS:
        if about.startswith("file="):
            path = site.place / about.removeprefix("file=")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    said = {}
    for _language, about, content in BLOCKS:
        if about == "run":
            for line in content.splitlines():
                command = line.removeprefix("$ ")
                said[command] = site.succeed("sh", "-c", command)
    return said


def test_page_has_the_files_and_commands_of_two_plugins() -> None:
    files = [about.removeprefix("file=") for _language, about, _content in BLOCKS if about.startswith("file=")]
    assert len([name for name in files if name.endswith("pyproject.toml")]) == 2
    assert len([name for name in files if "/tests/" in name]) == 2
    assert len([about for _language, about, _content in BLOCKS if about == "run"]) == 2


def test_contract_suites_of_both_were_really_run(walked: dict[str, str]) -> None:
    runs = {command: said for command, said in walked.items() if "pytest" in command}
    assert len(runs) == 2
    for command, said in runs.items():
        passed = re.search(r"(\d+) passed", said)
        assert passed, said
        assert int(passed[1]) > 15, command
        assert "skipped" not in said


def test_listing_has_the_new_modes(walked: dict[str, str]) -> None:
    assert re.search(r"output +bundle +v2v-output-bundle 0\.1\.0", walked["v2v plugins list"])
    assert "note" in walked["v2v plugins show bundle"]


def test_conversion_from_one_to_the_other(site: Site, walked: dict[str, str], tmp_path: Path) -> None:
    guest, bundles = tmp_path / "web", tmp_path / "bundles"
    guest.mkdir()
    bundles.mkdir()
    (guest / "a.img").write_bytes(b"a" * MB)
    (guest / "b.img").write_bytes(b"b" * MB)
    words = ["-i", "directory", str(guest), "--converter", "outside", "-o", "bundle", "-os", str(bundles)]
    site.succeed("v2v", "convert", *words, "-of", "qcow2", "-oo", "note=for Ada")
    bundle = bundles / "web.bundle"
    assert sorted(path.name for path in bundle.iterdir()) == [
        "NOTE",
        "SHA256SUMS",
        "bundle-id",
        "disk1.qcow2",
        "disk2.qcow2",
        "domain.xml",
    ]
    site.succeed("qemu-img", "compare", "-f", "qcow2", "-F", "raw", str(bundle / "disk2.qcow2"), str(guest / "b.img"))
    again = site.run("v2v", "convert", *words)
    assert again.returncode == 5
    assert f"{bundle} exists" in again.stderr
    assert (bundle / "NOTE").read_text() == "for Ada\n"
