# SPDX-License-Identifier: GPL-2.0-or-later
"""virt-v2v's command line: the records that it makes of the options, what it refuses, what it prints."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from v2v_cli import v2v, virt_v2v
from v2v_core import __version__, pipeline
from v2v_core.errors import ConversionError
from v2v_core.events import Event, EventKind, Step
from v2v_core.hookspecs import OutputResult
from v2v_core.model import Guest, Nic, StaticAddress
from v2v_core.settings import Hardware, NicMapping, RunChoice
from v2v_core.testing.fixtures import Install


@pytest.fixture
def choices(monkeypatch: pytest.MonkeyPatch) -> list[RunChoice]:
    """Return the list of choices that the pipeline is called with."""
    called: list[RunChoice] = []

    def run(choice: RunChoice, sinks: Sequence[Any] = (), **_at_end: Any) -> OutputResult:
        called.append(choice)
        for sink in sinks:
            sink(Event(kind=EventKind.MESSAGE, step=Step.COPY, text="Copying disk 1/1"))
        return OutputResult()

    monkeypatch.setattr(pipeline, "run", run)
    return called


def run(*words: str) -> int:
    return virt_v2v.main(list(words))


def test_options_of_virt_v2v_reach_the_request(choices: list[RunChoice], tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("x")
    words = "-idisk a.img --debug-gc -if raw --io k=v=w -io bare -o local -os D --of=qcow2 -oa preallocated -on new"
    words += f" -oo x=1 -oo -y -ip {password} -ic esx://h -it ssh --parallel 0x4 -m 1024 --smp 2 --root /dev/sda1 -vx"
    assert run(*words.split(), "b.img", "--no-fst", "--block-driver", "virtio-scsi", "--key", "all:clevis") == 0
    (choice,) = choices
    source, output = choice.input, choice.output
    assert (source.mode, source.arguments, source.format) == ("disk", ("a.img", "b.img"), "raw")
    assert (source.options, source.connection, source.transport) == ((("k", "v=w"), ("bare", None)), "esx://h", "ssh")
    assert source.password_file == password
    assert (output.mode, output.storage, output.format, output.name) == ("local", "D", "qcow2", "new")
    assert (output.allocation, output.options) == ("preallocated", (("x", "1"), ("-y", None)))
    assert choice.copy.parallel == 4
    settings = choice.convert.settings
    assert (settings.memory, settings.cpus, settings.root) == (1024 * 2**20, 2, "/dev/sda1")
    assert (settings.trim, settings.block_driver, settings.keys) == (False, "virtio-scsi", ("all:clevis",))
    assert (choice.verbose, settings.verbose) == (True, True)


def test_defaults_are_those_of_virt_v2v(choices: list[RunChoice]) -> None:
    assert run("guest") == 0
    (choice,) = choices
    assert (choice.input.mode, choice.output.mode) == ("libvirt", "libvirt")
    assert (choice.output.allocation, choice.output.format, choice.copy.parallel) == ("sparse", None, None)
    assert (choice.convert.settings.root, choice.convert.settings.trim) == ("ask", True)


def test_last_of_an_option_that_may_be_repeated_counts(choices: list[RunChoice]) -> None:
    assert run("g", "--root", "first", "--root", "single", "-m", "1", "-m", "2") == 0
    assert choices[0].convert.settings.root == "single"
    assert choices[0].convert.settings.memory == 2 * 2**20


def test_network_mappings(choices: list[RunChoice]) -> None:
    assert run("g", "-n", "a:b", "-n", "c", "-b", ":d", "-bx:y", "--mac", "AA:bb:cc:dd:ee:ff:bridge:br0:1") == 0
    assert choices[0].convert.nics == (
        NicMapping(kind="network", source="a", target="b"),
        NicMapping(kind="network", target="c"),
        NicMapping(kind="bridge", target="d"),
        NicMapping(kind="bridge", source="x", target="y"),
        NicMapping(kind="bridge", mac="aa:bb:cc:dd:ee:ff", target="br0:1"),
    )


def test_map_fits_networks_and_bridges(choices: list[RunChoice]) -> None:
    assert run("g", "--map", "VM Network=bridge:br0", "--map", "a=b:c=network:x=y", "--map", "network:default") == 0
    assert choices[0].convert.nics == (
        NicMapping(kind="bridge", source="VM Network", target="br0", either=True),
        NicMapping(kind="network", source="a=b:c", target="x=y", either=True),
        NicMapping(kind="network", target="default", either=True),
    )


def test_hardware_of_the_guest(choices: list[RunChoice], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = "g --memory 1.5GiB --vcpus 4 --nic bridge=br0,mac=52-54-00-AB-CD-EF --nic network:VM --metadata g.xml"
    assert run(*words.split()) == 0
    assert choices[0].input.hardware == Hardware(
        memory=1536 * 2**20,
        vcpus=4,
        nics=(Nic(kind="bridge", network="br0", mac="52:54:00:ab:cd:ef"), Nic(network="VM")),
        metadata=tmp_path / "g.xml",
    )
    assert run("g", "--nic", "none", "--memory", "4096") == 0
    assert choices[1].input.hardware == Hardware(memory=4096 * 2**20, nics=())
    # the memory of the appliance is another option
    assert run("g", "--memsize", "4096") == 0
    assert choices[2].input.hardware == Hardware()


@pytest.mark.parametrize(
    ("words", "complaint", "hint"),
    [
        ("--memory 4", "'4' is too little memory", "did you mean 4G? a number alone counts MiB"),
        ("--memory 4K", "'4K' is too little memory", "the least is 16M"),
        ("--memory 4294967296", "more memory than any host has", "a number alone counts MiB"),
        ("--memory -1G", "'-1G' is not an amount of memory", "--memory 4G"),
        ("--memory 4X", "'4X' is not an amount of memory", "--memory 4G"),
        ("--memory 0.00003T", "not a whole number of KiB", "--memory 1536M"),
        ("--memory \u0664G", "is not an amount of memory", "--memory 4G"),
        ("--vcpus 0", "--vcpus must be at least 1", None),
        ("--vcpus 5000", "--vcpus must be at most 4096", None),
        ("--nic br0", "--nic: cannot understand 'br0'", "write network=NAME or bridge=NAME"),
        ("--nic network=", "--nic: cannot understand", "write network=NAME"),
        ("--nic vlan=3", "--nic: cannot understand", "write network=NAME"),
        ("--nic bridge=b,mac=1", "'1' is not a MAC address", "six pairs"),
        ("--nic bridge=b,mac=01:00:5e:00:00:01", "is the MAC address of a group", "second digit"),
        ("--nic bridge=b,mac=52:54:00:00:00:01 --nic bridge=c,mac=52:54:00:00:00:01", "two interfaces have", "own"),
        ("--nic none --nic bridge=b", "cannot understand 'none'", "or none"),
        ("--map a=br0", "--map: cannot understand 'a=br0'", "write --map SOURCE=network:TARGET"),
        ("--map a=bridge:", "--map: cannot understand", "write --map"),
        ("--map a=bridge:x --map a=network:y", "--map gives another mapping of 'a'", "leave one"),
        ("--map a=bridge:x -n a:y", "--network gives another mapping of 'a'", "leave one"),
        ("--map bridge:x -b y", "--bridge gives another default mapping", "leave one"),
    ],
)
def test_hardware_that_makes_no_sense(
    words: str, complaint: str, hint: str | None, choices: list[RunChoice], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("g", *words.split()) == 2
    error, *hints = capsys.readouterr().err.splitlines()
    assert complaint in error
    assert hint is None or hint in hints[0]
    assert choices == []


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("10.0.0.1", StaticAddress(mac="aa:bb:cc:dd:ee:ff", address="10.0.0.1")),
        ("10.0.0.1,,", StaticAddress(mac="aa:bb:cc:dd:ee:ff", address="10.0.0.1")),
        ("10.0.0.1,,0", StaticAddress(mac="aa:bb:cc:dd:ee:ff", address="10.0.0.1", prefix=0)),
        (
            "10.0.0.1,10.0.0.254,24,9.9.9.9,FD00::53",
            StaticAddress(
                mac="aa:bb:cc:dd:ee:ff",
                address="10.0.0.1",
                gateway="10.0.0.254",
                prefix=24,
                nameservers=("9.9.9.9", "fd00::53"),
            ),
        ),
        (
            "fd00:0::1,fe80::1,64",
            StaticAddress(mac="aa:bb:cc:dd:ee:ff", address="fd00::1", gateway="fe80::1", prefix=64),
        ),
    ],
)
def test_static_addresses(choices: list[RunChoice], value: str, address: StaticAddress) -> None:
    mac = "AA:bb:cc:dd:ee:ff"
    assert run("g", "--mac", f"{mac}:ip:{value}", "--mac", f"{mac}:network:lan", "--mac", f"{mac}:ip:{value}") == 0
    assert choices[0].convert.settings.static_addresses == (address,)
    assert [mapping.target for mapping in choices[0].convert.nics] == ["lan"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("-n a -n b: g", "duplicate -n"),
        ("-b a:b -b a:c g", "duplicate -b"),
        ("--mac 00:11:22:33:44:55:network:a --mac 00:11:22:33:44:55:network:b g", "duplicate --mac parameter"),
        ("--mac 00:11:22:33:44:55:network: g", "cannot understand"),
        ("--mac 00:11:22:33:44:55:ip: g", "cannot understand"),
        ("--mac 00:11:22:33:44:55:ip:10.0.0.256 g", "'10.0.0.256' in"),
        ("--mac 00:11:22:33:44:55:ip:10.0.0.1,10.0.0 g", "'10.0.0' in"),
        ("--mac 00:11:22:33:44:55:ip:10.0.0.1,fd00::1 g", "of another family"),
        ("--mac 00:11:22:33:44:55:ip:10.0.0.1,,33 g", "'33' is not a prefix length of 10.0.0.1"),
        ("--mac 00:11:22:33:44:55:ip:fd00::1,,129 g", "'129' is not a prefix length"),
        ("--mac 00:11:22:33:44:55:ip:fd00::1,,+1 g", "'+1' is not a prefix length"),
        ("--mac 00:11:22:33:44:55:ip:10.0.0.1,,,x g", "'x' in"),
        ("--mac 00:11:22:33:44:55:ip:fe80::1%eth0 g", "is not the address of one machine"),
        ("--mac 00:11:22:33:44:55:ip:224.0.0.1 g", "is not the address of one machine"),
        ("-b : g", "-b needs a name"),
        ("-i disk -i ova g", "the option -i was given more than once"),
        ("--hostname x g", "not supported yet by this version: --hostname"),
        ("--in-place g", "v2v convert --in-place"),
        ("--vddk-thumbprint x g", "write -io vddk-thumbprint"),
        ("--bandwith 1 g", "did you mean --bandwidth"),
        ("-oa thin g", "unknown -oa 'thin'"),
        ("--root second g", "unknown --root 'second'"),
        ("--block-driver ide g", "unknown --block-driver 'ide'"),
        ("--parallel 0 g", "--parallel must be at least 1"),
        ("--smp 0 g", "--smp must be at least 1"),
        ("-m lots g", "'lots' is not an integer"),
        ("-ip /nonexistent g", "-ip: cannot read /nonexistent"),
        ("--key x:file:/nonexistent g", "--key: cannot read /nonexistent"),
        ("-io =x g", "-io needs a key"),
        ("--machine-readable=tcp:1 g", "unknown form 'tcp:1'"),
        ("", "no guest was named"),
        ("-o null", "no guest was named"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    choices: list[RunChoice], capsys: pytest.CaptureFixture[str], words: str, complaint: str
) -> None:
    assert run(*words.split()) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("virt-v2v: error: ")
    assert complaint in captured.err
    assert "Traceback" not in captured.err
    assert not choices


@pytest.mark.parametrize(
    "words",
    [
        "--key dev:key:hunter2:more g",
        "--key :key:hunter2 g",
        "--key dev:passphrase:hunter2 g",
        "--kye=dev:key:hunter2 g",
        "-ic vpx://root:hunter2@host/dc g",
        "-oc https://admin:hunter2@host/ovirt-engine/api g",
        "-v --key dev:key:hunter2 --root nonsense g",
    ],
)
def test_secrets_are_not_shown_in_errors(
    choices: list[RunChoice], capsys: pytest.CaptureFixture[str], words: str
) -> None:
    assert run(*words.split()) == 2
    captured = capsys.readouterr()
    assert "hunter2" not in captured.out + captured.err
    assert not choices


def test_keys_from_standard_input(choices: list[RunChoice], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("first: key\n\nquiet word\n"))
    assert run("g", "--keys-from-stdin", "--key", "all:key:third") == 0
    assert choices[0].convert.settings.keys == ("all:key:third", "all:key:first: key", "all:key:quiet word")
    assert "quiet word" not in repr(choices[0])


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_no_keys_on_standard_input(
    choices: list[RunChoice], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert run("g", "--keys-from-stdin") == 2
    assert "--keys-from-stdin: there is no key on standard input" in capsys.readouterr().err
    # closed: there is nothing to read
    monkeypatch.setattr(sys, "stdin", None)
    assert run("g", "--keys-from-stdin") == 2
    assert "--keys-from-stdin: there is no key on standard input" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"s3cret\xff"), encoding="utf-8"))
    assert run("g", "--keys-from-stdin") == 2
    stderr = capsys.readouterr().err
    assert "cannot be read as text" in stderr
    assert "s3cret" not in stderr
    assert run("g", "--echo-keys") == 2
    assert "keys are not asked for" in capsys.readouterr().err
    assert not choices


def test_directories_to_collect(choices: list[RunChoice], v2v_install: Install, tmp_path: Path) -> None:
    v2v_install(
        "v2v-convert-collects",
        {"v2v.convert": {"collects": "t_collects:Plugin"}},
        {"t_collects": "class Plugin:\n    capabilities = ('collect-option',)\n"},
    )
    output = tmp_path / "out.tar.xz"
    words = ["--collect", "/etc", "--collect", "/var/log:logs/all", "--collect", "/home:."]
    assert v2v.main(["convert", "g", "--converter", "collects", *words, "--collect-output", str(output)]) == 0
    assert choices[0].convert.settings.extra == {
        "collect": ["/etc", "/var/log:logs/all", "/home:."],
        "collect_output": str(output),
    }


def test_converter_that_cannot_collect(
    choices: list[RunChoice], v2v_fakes: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["g", "--converter", "fake", "--collect", "/etc", "--collect-output", str(tmp_path / "out.tar.xz")]
    assert v2v.main(["convert", *words]) == 2
    assert "--collect: the converter fake cannot save directories of the guest" in capsys.readouterr().err
    assert not choices


def test_keys_are_not_in_the_text_of_the_request(choices: list[RunChoice]) -> None:
    assert run("g", "--key", "/dev/mapper/vg--1-root:key:hunter2") == 0
    assert choices[0].convert.settings.keys == ("/dev/vg-1/root:key:hunter2",)
    assert "hunter2" not in repr(choices[0])


@pytest.mark.parametrize("words", [["--version"], ["-V"], ["-vV"], ["-q", "--version", "g"]])
def test_version(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert run(*words) == 0
    assert capsys.readouterr().out == f"virt-v2v {__version__}\n"


def test_help_is_on_stdout_and_names_every_option(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run("--help") == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("-ic", "-oo", "--machine-readable", "--no-fstrim", "--block-driver"))
    assert "--debug-gc" not in out


def test_lists_of_options_for_completion(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--short-options") == 0
    short = capsys.readouterr().out.split()
    assert run("--long-options") == 0
    long = capsys.readouterr().out.split()
    assert {"-i", "-ic", "-v", "-oo"} <= set(short)
    assert {"--ic", "--bridge", "--oo", "--quiet"} <= set(long)
    assert not {"--debug-gc", "--hostname"} & set(long)
    assert "-bridge" not in short


def test_capabilities_are_listed_without_a_guest(choices: list[RunChoice], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--machine-readable", "-o", "null") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["virt-v2v", "virt-v2v-2.0", "libguestfs-rewrite"]
    assert {"mac-option", "mac-ip-option", "map-option", "guest-hardware-options"} <= set(lines)
    assert {"parallel-option", "bandwidth-option"} <= set(lines)
    assert not choices


def test_capabilities_are_those_of_the_installed_plugins(
    v2v_install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    declares = "class Plugin:\n    capabilities = {}\n"
    v2v_install(
        "v2v-output-able",
        {
            "v2v.output": {"able": "t_able:Plugin", "abel": "t_able:Plugin", "odd": "t_odd:Plugin", "bad": "t_bad:P"},
            "v2v.input": {"able-too": "t_able:Plugin"},
        },
        {
            "t_able": declares.format('("able-option", "able:x")'),
            "t_odd": declares.format('"odd-option"'),
            "t_bad": "1/0",
        },
    )
    assert run("--machine-readable") == 0
    lines = capsys.readouterr().out.splitlines()
    assert {"able-option", "able:x"} <= set(lines)
    assert {"output:able", "output:abel", "output:odd", "output:bad", "input:able-too"} <= set(lines)
    assert "odd-option" not in lines
    assert len(lines) == len(set(lines))


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        ("-i libvirt -ic zzz://h/", "claims"),
        ("-ic ZZZ://h/", "claims"),
        ("-ic zzzz://h/", "libvirt"),
        ("-ic zzz", "libvirt"),
        ("-i disk -ic zzz://h/", "disk"),
    ],
)
def test_input_that_claims_the_scheme_of_a_libvirt_uri(
    choices: list[RunChoice], v2v_install: Install, words: str, mode: str
) -> None:
    v2v_install(
        "v2v-input-claims",
        {"v2v.input": {"claims": "t_claims:Plugin", "bad": "t_bad_input:P"}},
        {"t_claims": "class Plugin:\n    uri_schemes = ('yyy', 'zzz')\n", "t_bad_input": "1/0"},
    )
    assert run(*words.split(), "g") == 0
    assert choices[0].input.mode == mode


@pytest.mark.parametrize("name", ["compat", "image-uuid", "vol-uuid", "vm-uuid", "ovf-output", "ovf-flavour"])
def test_an_older_option_for_vdsm_says_what_to_write_now(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"--vdsm-{name}=x", "-o", "vdsm", "g") == 2
    err = capsys.readouterr().err
    assert f"--vdsm-{name} no longer exists" in err.replace("=x", "")
    assert f"-oo vdsm-{name}=" in err


def test_capabilities_go_to_the_channel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"--machine-readable=file:{tmp_path / 'list'}") == 0
    assert "virt-v2v\n" in (tmp_path / "list").read_text()
    assert capsys.readouterr().out == ""


def test_machine_readable_lines_are_written_beside_the_human_ones(
    choices: list[RunChoice], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"--machine-readable=file:{tmp_path / 'lines'}", "g") == 0
    assert json.loads((tmp_path / "lines").read_text())["message"] == "Copying disk 1/1"
    assert "] Copying disk 1/1\n" in capsys.readouterr().out


def test_quiet_leaves_no_stage_lines(choices: list[RunChoice], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-q", "g") == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("words", "lines"), [([], ["created /out/a b-sda", "created /out/a b.xml"]), (["-q"], [])])
def test_what_was_created_is_printed_unless_quiet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], lines: list[str]
) -> None:
    created = OutputResult(created=("/out/a b-sda", "/out/a b.xml"))
    monkeypatch.setattr(pipeline, "run", lambda _choice, _sinks: created)
    assert run(*words, "g") == 0
    assert capsys.readouterr().out.splitlines() == lines


@pytest.mark.parametrize(
    ("words", "overwrite"), [([], False), (["--overwrite"], True), (["--over"], True), (["-overwrite"], True)]
)
def test_overwrite_reaches_the_request(choices: list[RunChoice], words: list[str], overwrite: bool) -> None:
    assert run(*words, "g") == 0
    assert choices[0].output.overwrite is overwrite


def test_question_about_an_unknown_plugin_lists_the_installed_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-i", "nonsense", "-io", "?") == 3
    assert "unknown input mode 'nonsense' (installed:" in capsys.readouterr().err


def test_print_source(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(pipeline, "print_source", lambda choice, sinks: Guest(name=choice.input.arguments[0]))
    assert run("--print-source", "-i", "disk", "g") == 0
    assert "    source name: g\n" in capsys.readouterr().out


def test_failed_run_sets_exit_code_and_prints_the_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fail(choice: RunChoice, sinks: Sequence[Any] = ()) -> OutputResult:
        raise ConversionError("no root", hint="choose one")

    monkeypatch.setattr(pipeline, "run", fail)
    assert run(f"--machine-readable=file:{tmp_path / 'lines'}", "g") == 6
    assert capsys.readouterr().err == "virt-v2v: error: no root\nhint: choose one\n"
    assert json.loads((tmp_path / "lines").read_text())["type"] == "error"
