# SPDX-License-Identifier: GPL-2.0-or-later
"""Damaged, wrong and hostile XML is refused quickly, with an error of one line."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_core.errors import MetadataError, SourceError
from v2v_core.metadata import (
    UntrustedXmlError,
    named_endpoints,
    parse_untrusted_xml,
    read_source,
    read_target,
    validate,
)
from v2v_core.metadata import write_source as write
from v2v_core.model import Guest, SourceDisk

LAUGHS = (
    b"<?xml version='1.0'?>\n<!DOCTYPE lolz [<!ENTITY a 'lol'>"
    + b"".join(f"<!ENTITY {chr(98 + i)} '{f'&{chr(97 + i)};' * 10}'>".encode() for i in range(12))
    + b"]>\n<domain type='&m;'><name>&m;</name></domain>"
)
EXTERNAL = b"<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><domain><name>&x;</name><devices/></domain>"
DTD = b"<!DOCTYPE domain SYSTEM 'http://127.0.0.1:1/evil.dtd'><domain><name>x</name><devices/></domain>"
PARAMETER = b"<!DOCTYPE d [<!ENTITY % p SYSTEM 'file:///etc/passwd'> %p;]><domain/>"
QUADRATIC = b"<!DOCTYPE d [<!ENTITY a '" + b"x" * 100000 + b"'>]><d>" + b"&a;" * 100000 + b"</d>"

HOSTILE = {
    "billion laughs": LAUGHS,
    "external entity": EXTERNAL,
    "external DTD": DTD,
    "parameter entity": PARAMETER,
    "quadratic blow-up": QUADRATIC,
    "plain DOCTYPE": b"<!DOCTYPE domain><domain/>",
    "DOCTYPE in UTF-16": "<!DOCTYPE d [<!ENTITY a 'b'>]><d/>".encode("utf-16"),
    "DOCTYPE in UTF-7": b"<?xml version='1.0' encoding='UTF-7'?>+ADwAIQ-DOCTYPE d+AD4-<d/>",
    "too long": b"<d>" + b" " * (5 * 1024 * 1024) + b"</d>",
    "too deep": b"<d>" * 100000 + b"</d>" * 100000,
    "not closed": b"<domain>",
    "not XML": b"\x7fELF\x00\x00",
    "empty": b"",
    "blank": b" \n",
    "NUL": b"<d>\x00</d>",
    "not UTF-8": b"<d>\xff\xfe</d>",
    "unknown encoding": b"<?xml version='1.0' encoding='no-such'?><d/>",
    "two roots": b"<d/><d/>",
    "entity without DTD": b"<d>&x;</d>",
    "duplicate attribute": b"<d a='1' a='2'/>",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_xml_is_refused_quickly_and_in_one_line(name: str) -> None:
    began = time.monotonic()
    with pytest.raises(UntrustedXmlError) as caught:
        parse_untrusted_xml(HOSTILE[name], what="the file x")
    assert time.monotonic() - began < 2
    assert str(caught.value).startswith("the file x: ")
    assert "\n" not in str(caught.value)
    assert "root:" not in str(caught.value)
    assert isinstance(caught.value, SourceError)


def test_the_error_about_a_doctype_has_its_line() -> None:
    with pytest.raises(UntrustedXmlError, match=r"line 2: .*DOCTYPE"):
        parse_untrusted_xml(LAUGHS)


@given(st.binary(max_size=200) | st.text(alphabet="<>/&;!ad='[]?\" ", max_size=60).map(str.encode))
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    try:
        parse_untrusted_xml(data)
    except UntrustedXmlError as err:
        assert "\n" not in str(err)


def test_many_small_elements_are_parsed_in_bounded_time() -> None:
    began = time.monotonic()
    assert len(parse_untrusted_xml(b"<d>" + b"<a/>" * 1_000_000 + b"</d>")) == 1_000_000
    assert time.monotonic() - began < 10


def test_other_encodings_are_read() -> None:
    assert parse_untrusted_xml("<?xml version='1.0' encoding='ISO-8859-1'?><d>ä</d>".encode("latin-1")).text == "ä"
    assert parse_untrusted_xml("<d>ä</d>".encode("utf-16")).text == "ä"
    assert parse_untrusted_xml("\ufeff<d>ä</d>".encode()).text == "ä"


VALID = """<domain type='kvm'>
  <name>x</name>
  <metadata>
    <g:guest xmlns:g='urn:v2v:metadata:1' version='1'>
      <g:source hypervisor='h'>
        <g:disk index='1' size='5'/>
      </g:source>
    </g:guest>
  </metadata>
  <memory unit='MiB'>1</memory>
  <vcpu>1</vcpu>
  <devices>
    <disk><target dev='vda'/></disk>
  </devices>
</domain>"""


def test_the_example_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "metadata.in"
    path.write_text(VALID)
    validate(path)
    assert read_source(path).disks[0].size == 5


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("index='1' size='5'", "index='1' size='5' colour='red'", 6),
        ("size='5'", "size='many'", 6),
        ("size='5'", "size='-5'", 6),
        ("index='1'", "", 6),
        ("index='1'", "index='1' bus='warp'", 6),
        ("<g:disk", "<g:surprise/><g:disk", 6),
        ("hypervisor='h'", "hypervisor='h' firmware='coreboot'", 5),
        ("version='1'", "version='2'", 4),
        ("urn:v2v:metadata:1", "urn:v2v:metadata:2", 4),
        (">1</memory>", ">much</memory>", 10),
        ("unit='MiB'", "unit='bushel'", 10),
        (">1</vcpu>", ">-1</vcpu>", 11),
        ("<target dev='vda'/>", "", 13),
        ("<disk><target dev='vda'/></disk>", "", 6),
        ("<name>x</name>", "", 1),
        ("<name>x</name>", "<name/>", 2),
        ("<name>x</name>", "<name>x</name><name>y</name>", 1),
        ("<domain type='kvm'>", "<volume>", 1),
        ("<vcpu>1</vcpu>", "<g:x xmlns:g='urn:v2v:metadata:1'/>", 1),
    ],
)
def test_the_error_about_an_invalid_file_has_the_line(tmp_path: Path, old: str, new: str, line: int) -> None:
    path = tmp_path / "metadata.in"
    text = VALID.replace(old, new)
    path.write_text(text.replace("</domain>", "</volume>") if "<volume>" in text else text)
    with pytest.raises(MetadataError) as caught:
        read_source(path)
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.path == path
    assert message.startswith(f"{path}: line {line}: ")


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    for function in (validate, read_source, read_target, named_endpoints):
        with pytest.raises(MetadataError, match="is missing") as caught:
            function(tmp_path / "metadata.in")
        assert caught.value.hint


def test_a_metadata_in_is_not_a_metadata_out(tmp_path: Path) -> None:
    write(tmp_path / "metadata.in", Guest(name="x"))
    with pytest.raises(MetadataError, match="became"):
        read_target(tmp_path / "metadata.in")


def test_hostile_domain_xml_of_a_plugin_is_refused(tmp_path: Path) -> None:
    for data in (LAUGHS, b"<pool/>", b"", b"<domain type='kvm'>"):
        with pytest.raises(MetadataError):
            write(tmp_path / "m", Guest(name="x"), domain_xml=data)
    assert not list(tmp_path.iterdir())


def test_a_directory_or_a_huge_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MetadataError, match="cannot be read"):
        read_source(tmp_path)
    with (tmp_path / "m").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(MetadataError, match="too large"):
        read_source(tmp_path / "m")


@pytest.mark.parametrize(
    "body",
    [
        "<devices/>" + "<a/>" * 250_000,
        "<devices>" + "<a/>" * 250_000 + "</devices>",
        "<devices/>" + "<a/>" * 9_900,
        "<devices/>" + "<name>y</name>" * 10_000,
        "<devices/>" + "<a>" * 240 + "</a>" * 240,
        "<devices/><b " + " ".join(f'a{i}="1"' for i in range(10_000)) + "/>",
        "<devices>" + "<interface type='network'><source network='d'/></interface>" * 5000 + "</devices>",
        "<devices/><features>" + "<a/>" * 9_900 + "</features>",
    ],
    ids=["many", "many devices", "fewer", "names", "deep", "attributes", "interfaces", "features"],
)
def test_a_file_that_exploits_slow_validation_is_refused_quickly(tmp_path: Path, body: str) -> None:
    path = tmp_path / "m"
    path.write_text(f"<domain type='kvm'><name>x</name><memory>1</memory>{body}</domain>")
    began = time.monotonic()
    with contextlib.suppress(MetadataError):
        read_source(path)
    assert time.monotonic() - began < 5


def test_the_schema_can_be_used_by_other_tools(tmp_path: Path) -> None:
    from lxml import etree

    from v2v_core.metadata.validation import SCHEMA

    write(tmp_path / "m", Guest(name="x", disks=(SourceDisk(index=1),)))
    assert etree.RelaxNG(etree.parse(str(SCHEMA))).validate(etree.parse(str(tmp_path / "m")))


def test_lxml_is_imported_only_when_it_is_used() -> None:
    code = "import sys, v2v_core.metadata; sys.exit('lxml' in sys.modules or 'lxml.etree' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
