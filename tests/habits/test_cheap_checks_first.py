# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong with the destination or with an option is found before the source is opened.

The source of these runs fails as soon as it is opened, with exit code 4: any other error came before.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from habits.conftest import FAKE
from runs import Place, said

_SOURCE = ("-i", "fake", "-io", "fail-in=v2v_input_setup", *FAKE)


def refused(place: Place, *words: str | Path, code: int) -> str:
    done = place.run("v2v", "convert", *_SOURCE, "guest", *words, timeout=60)
    assert done.returncode == code, said(done)
    assert done.stderr.count(": error: ") == 1
    assert place.leftovers() == []
    return done.stderr


def test_the_source_fails(place: Place, v2v_fakes: None, out: Path) -> None:
    """So the tests below show what they are to show."""
    assert "asked to fail in v2v_input_setup" in refused(place, "-o", "local", "-os", out, code=4)


def test_a_directory_that_does_not_exist(place: Place, v2v_fakes: None) -> None:
    """vdemichev/DiaNN#720: the typing error in the output directory was found after six days of processing."""
    assert "/nonexistent does not exist" in refused(place, "-o", "local", "-os", "/nonexistent", code=5)


def test_a_directory_that_is_a_file(place: Place, v2v_fakes: None, image: Path) -> None:
    assert "is not a directory" in refused(place, "-o", "local", "-os", image, code=5)


@pytest.mark.parametrize("taken", ["web.xml", "web-sda"])
def test_a_name_that_is_taken(place: Place, v2v_fakes: None, out: Path, taken: str) -> None:
    """erickutcher/httpdownloader#151: whether the file exists was looked at after it had been downloaded."""
    (out / taken).touch()
    assert f"{taken} exists already" in refused(place, "-o", "local", "-os", out, "-on", "web", code=5)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["-o", "local", "-oo", "overwrit"], "overwrit"),
        (["-o", "local", "-oo", "overwrite=perhaps"], "neither true nor false"),
        (["-o", "local", "-of", "vmdk"], "'vmdk' is not supported"),
        (["-o", "local", "-oo", "compressed"], "needs the format qcow2"),
        (["-o", "local", "-oo", "compressed", "-of", "vmdk"], "'vmdk' is not supported"),
        (["-o", "null", "-os", "D"], "-os cannot be used"),
        (["-o", "local", "--copier", "nosuch"], "nosuch"),
        (["-o", "vdsm", "-oo", "vdsm-vm-uuid=1"], "vdsm-image-uuid"),
        (["-o", "rhv-upload", "-oc", "https://engine.invalid/ovirt-engine/api"], "-op FILE"),
        (["-o", "rhv", "-op", "/dev/null"], "-op cannot be used"),
        (["-io", "nosuch=1", "-o", "null"], "nosuch"),
    ],
)
def test_options(place: Place, v2v_fakes: None, out: Path, words: list[str], reason: str) -> None:
    storage = [] if "-os" in words or "null" in words else ["-os", str(out)]
    if "nosuch" in words:
        done = place.run("v2v", "convert", *_SOURCE, "guest", *words, *storage, timeout=60)
        assert done.returncode == 3, said(done)
        assert reason in done.stderr
        return
    assert reason in refused(place, *words, *storage, code=2)


def test_an_export_domain_that_is_none(place: Place, v2v_fakes: None, out: Path) -> None:
    assert "no storage domain" in refused(place, "-o", "rhv", "-os", out, code=5)


def test_an_engine_that_does_not_answer(place: Place, v2v_fakes: None) -> None:
    password = place.root / "password"
    password.write_text("secret\n")
    words = ["-o", "rhv-upload", "-oc", "https://127.0.0.1:1/ovirt-engine/api", "-op", password, "-os", "data"]
    assert "127.0.0.1" in refused(place, *words, code=5)
