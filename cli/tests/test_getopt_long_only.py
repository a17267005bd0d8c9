# SPDX-License-Identifier: GPL-2.0-or-later
"""The adapter must read words as getopt_long_only does: a table of examples, and a comparison with glibc's own."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2v_cli.getopt_long_only import Arity, OptionSpec, base0_integer, canonical_argv
from v2v_core.errors import UsageError

TABLE = (
    OptionSpec(("-i",), Arity.REQUIRED, once=True),
    OptionSpec(("-ic",), Arity.REQUIRED, once=True),
    OptionSpec(("-io",), Arity.REQUIRED),
    OptionSpec(("-o",), Arity.REQUIRED, once=True),
    OptionSpec(("-of",), Arity.REQUIRED, once=True),
    OptionSpec(("-oo",), Arity.REQUIRED),
    OptionSpec(("-os",), Arity.REQUIRED, once=True),
    OptionSpec(("--network", "-n"), Arity.REQUIRED),
    OptionSpec(("--collect",), Arity.REQUIRED),
    OptionSpec(("--collect-output",), Arity.REQUIRED),
    OptionSpec(("--quiet", "-q")),
    OptionSpec(("--verbose", "-v")),
    OptionSpec(("--version", "-V")),
    OptionSpec(("-x",)),
    OptionSpec(("--color", "--colour")),
    OptionSpec(("--machine-readable",), Arity.OPTIONAL),
    OptionSpec(("--memsize", "-m"), Arity.REQUIRED),
    OptionSpec(("--hostname",), Arity.REQUIRED, refusal="not supported yet by this version"),
)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        # long names with one dash, and two-letter names with two
        ("-ic URI", "-ic URI --"),
        ("--ic URI", "-ic URI --"),
        ("-ic=URI", "-ic URI --"),
        ("--oo=k=v", "-oo k=v --"),
        ("-collect D", "--collect=D --"),
        ("-quiet", "--quiet --"),
        # exact names win over longer ones, abbreviations are expanded
        ("--collect D", "--collect=D --"),
        ("--collect-o D", "--collect-output=D --"),
        ("--quie", "--quiet --"),
        ("-qui", "--quiet --"),
        ("--verb", "--verbose --"),
        ("-memsi 3", "--memsize=3 --"),
        # bundles, and values attached to short options
        ("-vx", "--verbose -x --"),
        ("-vvx", "--verbose --verbose -x --"),
        ("-vidisk", "--verbose -i disk --"),
        ("-idisk", "-i disk --"),
        ("-olocal", "-o local --"),
        ("-onull g", "-o null -- g"),
        ("-nx", "--network=x --"),
        ("-m512", "--memsize=512 --"),
        ("-vic foo", "--verbose -i c -- foo"),
        ("-icfoo", "-i cfoo --"),
        # values that look like options
        ("-oo -x", "-oo -x --"),
        ("-os --", "-os -- --"),
        ("-m -5", "--memsize=-5 --"),
        ("--network=", "--network= --"),
        # an optional value needs its equals sign
        ("--machine-readable g", "--machine-readable= -- g"),
        ("--machine-readable=fd:3", "--machine-readable=fd:3 --"),
        ("-mach", "--machine-readable= --"),
        # positional arguments anywhere; "--" ends the options
        ("g -v h -os D", "--verbose -os D -- g h"),
        ("-v -- -x --oo", "--verbose -- -x --oo"),
        ("- -v", "--verbose -- -"),
        # all spellings of one option
        ("--colour", "--color --"),
        ("--colour --color", "--color --color --"),
    ],
)
def test_words_become_canonical(words: str, expected: str) -> None:
    assert canonical_argv(words.split(), TABLE) == expected.split()


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ("--o x", "--o is ambiguous: it could be --of, --oo, --os", "write it out"),
        ("--ver", "ambiguous: it could be --verbose, --version", "write it out"),
        ("--colo", "ambiguous: it could be --color, --colour", "write it out"),
        ("--quiert", "unknown option --quiert", "did you mean --quiet?"),
        ("--outptu-format raw", "unknown option --outptu-format", "--help lists"),
        ("--frobnicate", "unknown option --frobnicate", "--help lists"),
        ("--hostnmae x", "unknown option --hostnmae", "did you mean --hostname? not supported yet by this version"),
        ("--pasword-file f", "unknown option --pasword-file", "did you mean --password-file? write -ip FILE"),
        ("-json", "unknown option -json", "--help lists"),
        ("-vz", "unknown option -vz", "--help lists"),
        ("-oz g", "unknown option -oz", "did you mean -of or -oo or -os?"),
        ("-netwrok a:b", "unknown option -netwrok", "did you mean --network?"),
        ("--os", "the option --os needs a value", None),
        ("-o", "the option -o needs a value", None),
        ("-vo", "the option -o needs a value", None),
        ("--quiet=yes", "the option --quiet takes no value", None),
        ("-of raw -of qcow2", "the option -of was given more than once", None),
        ("-i disk --verbose -idisk", "the option -i was given more than once", None),
        ("--hostn x", "not supported yet by this version: --hostname", None),
        ("--password-file f", "the option --password-file no longer exists", "write -ip FILE"),
    ],
)
def test_nonsense_is_refused_by_name(words: str, message: str, hint: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        canonical_argv(words.split(), TABLE, removed={"password-file": "write -ip FILE"})
    assert message in caught.value.message
    if hint is not None:
        assert hint in (caught.value.hint or "")


@pytest.mark.parametrize("word", ["--kye=ID:key:hunter2", "-kall:key:hunter2", "--kye:hunter2", "-zhunter2="])
def test_possible_secret_is_not_in_the_message(word: str) -> None:
    with pytest.raises(UsageError) as caught:
        canonical_argv([word], (OptionSpec(("--key",), Arity.REQUIRED),))
    shown = f"{caught.value.message} {caught.value.hint}"
    assert ":" not in shown.replace("ambiguous:", "")
    assert "=" not in shown


@pytest.mark.parametrize(
    ("text", "value"),
    [("10", 10), ("0x10", 16), ("0X1f", 31), ("010", 8), ("0", 0), ("-5", -5), ("+7", 7), (str(2**30 - 1), 2**30 - 1)],
)
def test_integers_are_read_in_the_base_that_they_name(text: str, value: int) -> None:
    assert base0_integer(text) == value


@pytest.mark.parametrize("text", ["", "x", "08", "0x", "1.5", "1k", " 1", "1_000", "٣", str(2**30), "0o17"])
def test_other_texts_are_not_integers(text: str) -> None:
    with pytest.raises(ValueError, match=r"integer|range"):
        base0_integer(text)


def real_getopt(words: list[str]) -> list[str] | None:
    """Read words with util-linux's ``getopt -a``, which uses glibc's getopt_long_only; return None for an error."""
    marks = {Arity.NONE: "", Arity.REQUIRED: ":", Arity.OPTIONAL: "::"}
    names = [(name.lstrip("-"), spec) for spec in TABLE for name in spec.names]
    short = "".join(name + marks[spec.arity] for name, spec in names if len(name) == 1)
    long = ",".join(name + marks[spec.arity] for name, spec in names if len(name) > 1)
    argv = ["getopt", "-a", "-q", "-o", short, "-l", long, "--", *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"})
    if done.returncode != 0:
        return None
    canonical = dict(names)
    given, rewritten = shlex.split(done.stdout), []
    while (word := given.pop(0)) != "--":
        spec = canonical[word.lstrip("-")]
        # getopt prints an optional value as a separate word, which may be empty
        value = "" if spec.arity is Arity.NONE else given.pop(0)
        if spec.arity is Arity.NONE:
            rewritten.append(spec.canonical)
        elif spec.canonical.startswith("--"):
            rewritten.append(f"{spec.canonical}={value}")
        else:
            rewritten += [spec.canonical, value]
    return [*rewritten, "--", *given]


ours = tuple(OptionSpec(spec.names, spec.arity) for spec in TABLE)
pieces = st.sampled_from(
    [name.lstrip("-") for spec in TABLE for name in spec.names]
    + [
        "qui",
        "ver",
        "verb",
        "col",
        "colo",
        "coll",
        "net",
        "mach",
        "h",
        "vx",
        "vvx",
        "vz",
        "xi",
        "cfoo",
        "disk",
        "z",
        "é",
    ]
)
values = st.sampled_from(["", "=", "=v", "=k=v", "=-x", "x", "foo"])
option_words = st.builds(
    lambda dashes, name, value: dashes + name + value, st.sampled_from(["-", "--"]), pieces, values
)
any_words = st.lists(
    st.one_of(
        option_words, st.sampled_from(["g", "-", "--", "", "k=v", "a b", "'"]), st.text("-vioxqcnm=", max_size=5)
    ),
    max_size=6,
)


@settings(max_examples=600, deadline=None)
@given(any_words)
def test_reads_words_as_the_real_getopt_long_only(words: list[str]) -> None:
    try:
        read = canonical_argv(words, ours, catch_typos=False)
    except UsageError:
        read = None
    assert read == real_getopt(words)
