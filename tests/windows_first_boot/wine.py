# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated Windows: a Wine prefix whose services start at each boot, and recording stand-ins for programs.

Wine's own netsh, shutdown and powershell succeed and do nothing, so a test that used them would show nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from v2v_convert_guestfs.windows.registry.hives import Edit, HiveName

SOURCE = Path(__file__).with_name("stand_in.c")
#: The programs that scripts of the first boot may call, of which Wine has none or one that does nothing.
PROGRAMS = ("shutdown", "netsh", "pnputil", "powershell", "getmac", "diskpart")
_HIVES = {HiveName.SYSTEM: r"HKEY_LOCAL_MACHINE\System", HiveName.SOFTWARE: r"HKEY_LOCAL_MACHINE\Software"}


@dataclass(frozen=True)
class Answer:
    """What a stand-in does when ``part`` is in its arguments: print ``output``, exit with ``code``."""

    part: str = ""
    code: int = 0
    output: str = ""


@dataclass(frozen=True)
class Ran:
    """A batch file that has ended."""

    code: int
    output: str


@dataclass
class SimulatedWindows:
    """A Wine prefix. Its drive C: is ``drive``."""

    prefix: Path
    stand_in_program: Path = field(repr=False)

    @property
    def drive(self) -> Path:
        return self.prefix / "drive_c"

    def path(self, path: str) -> Path:
        r"""Return where a path of the guest is (``/Windows/System32`` or ``C:\Windows``), in any capitals."""
        found = self.drive
        for part in path.removeprefix("C:").replace("\\", "/").strip("/").split("/"):
            same = [entry for entry in found.iterdir() if entry.name.lower() == part.lower()] if found.is_dir() else []
            found = same[0] if same else found / part
        return found

    def put(self, files: Mapping[str, bytes]) -> None:
        """Write files of the guest."""
        for path, content in files.items():
            place = self.path(path)
            place.parent.mkdir(parents=True, exist_ok=True)
            _replace(place, content)

    def stand_in(self, name: str, *answers: Answer) -> None:
        """Put a recording stand-in in the place of a program; the first answer that fits the arguments counts."""
        _replace(self.path(f"/windows/system32/{name}.exe"), self.stand_in_program.read_bytes())
        lines = []
        for number, answer in enumerate(answers):
            (self._recorded / f"{name}.{number}").write_bytes(answer.output.replace("\n", "\r\n").encode())
            lines.append(f"{answer.part}\t{answer.code}\tC:\\recorded\\{name}.{number}\n")
        (self._recorded / f"{name}.answers").write_text("".join(lines))

    def calls(self, name: str) -> list[str]:
        """Return the arguments of all recorded calls of a program, in order."""
        recorded = self._recorded / "calls.txt"
        lines = recorded.read_text(errors="replace").splitlines() if recorded.exists() else []
        # cmd leaves spaces before a redirection at the end
        return [arguments.rstrip() for called, arguments in (line.split("\t", 1) for line in lines) if called == name]

    def import_edits(self, edits: Iterable[Edit]) -> None:
        """Put edits of the registry, as the conversion stages them, into the registry of the prefix.

        Wine's CurrentControlSet is a key of its own: what is staged for ControlSet001 goes there.
        """
        (self.drive / "edits.reg").write_bytes(reg_file(edits).encode("utf-16"))
        self._wine("regedit", "/S", r"C:\edits.reg")
        self.power_off()

    def values(self, key: str) -> dict[str, str] | None:
        r"""Return the values of a key of HKEY_LOCAL_MACHINE as ``system.reg`` has them, by name; None without the key.

        :param key: such as ``System\CurrentControlSet\Services\beep``. The prefix must be powered off.
        """
        section = "[" + key.replace("\\", "\\\\").lower() + "]"
        lines = iter((self.prefix / "system.reg").read_text(errors="replace").splitlines())
        if not any(line.lower().startswith(section) for line in lines):
            return None
        found = {}
        for line in lines:
            if line.startswith("["):
                break
            name, equals, value = line.partition("=")
            if equals and line.startswith(('"', "@")):
                found[name.strip('"')] = value
        return found

    def run_batch(self, body: str, files: Mapping[str, bytes] | None = None, *, timeout: float = 60) -> Ran:
        r"""Run a script as the service does: in a cmd of its own, with ``%V2V%`` for the directory of its files."""
        crlf = body.replace("\r\n", "\n").replace("\n", "\r\n").encode()
        self.put(
            {"/v2v/script.bat": crlf, **{f"/v2v/files/{name}": content for name, content in (files or {}).items()}}
        )
        try:
            done = self._wine("cmd", "/d", "/c", r"C:\v2v\script.bat", timeout=timeout, V2V=r"C:\v2v\files")
        finally:
            self.power_off()
        return Ran(done.returncode, done.stdout.decode(errors="replace").replace("\r\n", "\n"))

    def boot(self, service: str, until: Callable[[], bool] = lambda: False, *, timeout: float = 60) -> str:
        """Boot and power off when the service has stopped, or is gone, or ``until`` says so.

        Return the exit codes of the service: Windows's, and its own.
        """
        watch = subprocess.Popen(
            ["wine", r"C:\recorded\watch.exe", service],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        end = time.monotonic() + timeout
        try:
            while watch.poll() is None and not until():
                assert time.monotonic() < end, f"{service} has not stopped within {timeout} seconds"
                time.sleep(0.05)
        finally:
            self.power_off()
            written, _ = watch.communicate(timeout=30)
        return written.strip()

    def power_off(self) -> None:
        """End all programs at once, as when the power goes."""
        for option in ("-k", "-w"):
            subprocess.run(["wineserver", option], env=self._environment(), check=False, timeout=60)

    @property
    def _recorded(self) -> Path:
        return self.drive / "recorded"

    def _wine(self, *words: str, timeout: float = 60, **more: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["wine", *words],
            env={**self._environment(), **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=timeout,
        )

    def _environment(self) -> dict[str, str]:
        # stand-ins in place of Wine's own programs; no .NET, no HTML, no menus of a desktop
        native = [f"{path.stem}.exe=n" for path in sorted(self._recorded.glob("*.answers"))]
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return {
            **kept,
            "HOME": str(self.prefix.parent),
            "WINEPREFIX": str(self.prefix),
            "WINEARCH": "win64",
            "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": ";".join(["mscoree=", "mshtml=", "winemenubuilder.exe=", *native]),
        }


def new_prefix(place: Path) -> SimulatedWindows:
    """Make a prefix. It takes seconds: make one, and copies of it."""
    place.mkdir(parents=True)
    program = place / "stand_in.exe"
    subprocess.run(["x86_64-w64-mingw32-gcc", "-O1", "-s", "-o", program, SOURCE], check=True, timeout=60)
    made = SimulatedWindows(place / "prefix", program)
    made._wine("wineboot", "--init", timeout=180)
    made.power_off()
    assert (made.prefix / "system.reg").exists(), "wine cannot make a prefix"
    return made


@contextmanager
def copied(template: SimulatedWindows, place: Path) -> Iterator[SimulatedWindows]:
    """Yield a copy of a prefix with a stand-in for every one of ``PROGRAMS``; delete it afterwards.

    Files are hard links, because a prefix is large; those that Wine or the tests write are replaced, not written to.
    """
    shutil.copytree(template.prefix, place, symlinks=True, copy_function=os.link)
    for hive in place.glob("*.reg"):
        _replace(hive, hive.read_bytes())
    made = SimulatedWindows(place, template.stand_in_program)
    made._recorded.mkdir()
    shutil.copy(template.stand_in_program, made._recorded / "watch.exe")
    for program in PROGRAMS:
        made.stand_in(program)
    try:
        yield made
    finally:
        made.power_off()
        shutil.rmtree(place)


def reg_file(edits: Iterable[Edit]) -> str:
    """Return edits as a file for regedit."""
    lines = ["Windows Registry Editor Version 5.00"]
    for edit in edits:
        key = f"{_HIVES[edit.hive]}\\{edit.key}".replace("\\ControlSet001\\", "\\CurrentControlSet\\")
        if edit.name is None:
            lines += ["", f"[-{key}]"]
            continue
        name = "@" if edit.name == "" else '"{}"'.format(edit.name.replace("\\", "\\\\").replace('"', '\\"'))
        value = "-" if edit.value is None else f"hex({edit.value.type:x}):{edit.value.data.hex(',')}"
        lines += ["", f"[{key}]", f"{name}={value}"]
    return "\r\n".join([*lines, "", ""])


def _replace(path: Path, content: bytes) -> None:
    # a hard link is not to change what it is a link to
    path.unlink(missing_ok=True)
    path.write_bytes(content)
