# SPDX-License-Identifier: GPL-2.0-or-later
"""Running the commands as a user does, and looking at what they leave."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: The commands of the environment that the tests run in.
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Fingerprint:
    """What must not change in a source: content, mode and the time of the last change of its content."""

    sha256: str
    mode: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> Fingerprint:
        """Return the fingerprint of a file."""
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        status = path.stat()
        return cls(digest, status.st_mode, status.st_mtime_ns)


@dataclass(frozen=True)
class Place:
    """Where a run has its temporary files and logs, so that a test sees what it leaves."""

    root: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, root: Path) -> Place:
        """Make a place for the runs of one test."""
        for name in ("tmp", "large", "state"):
            (root / name).mkdir()
        return cls(
            root,
            {
                "TMPDIR": str(root / "tmp"),
                "VIRT_V2V_TMPDIR": str(root / "large"),
                "XDG_STATE_HOME": str(root / "state"),
            },
        )

    def run(self, *argv: str | Path, timeout: float = 900, **more: str) -> subprocess.CompletedProcess[str]:
        """Run one of our commands to its end."""
        return subprocess.run(
            self.argv(argv),
            env=self.environ(more),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def start(self, *argv: str | Path, **more: str) -> subprocess.Popen[str]:
        """Start one of our commands; its output goes to ``output`` in the place."""
        with (self.root / "output").open("w") as output:
            return subprocess.Popen(
                self.argv(argv),
                env=self.environ(more),
                text=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def argv(self, argv: Sequence[str | Path]) -> list[str]:
        """Return the argument list with the full path of the command."""
        return [str(BIN / argv[0]), *map(str, argv[1:])]

    def environ(self, more: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a run."""
        return {**os.environ, **self.environment, **more}

    def leftovers(self) -> list[str]:
        """Return what runs have left: files and sockets in the temporary directories, and processes."""
        # unlike rglob, it takes no offence at a directory that a cleanup removes at this moment
        walked = [found for name in ("tmp", "large") for found in os.walk(self.root / name)]
        files = [str(Path(place, name)) for place, directories, names in walked for name in (*directories, *names)]
        return files + self.processes()

    def processes(self) -> list[str]:
        """Name every process that a run left."""
        return [f"process {pid}: {words}" for pid, words in self._processes()]

    def kill_processes(self) -> None:
        """Kill every process that a run left."""
        for pid, _words in list(self._processes()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _processes(self) -> Iterator[tuple[int, str]]:
        mark = f"VIRT_V2V_TMPDIR={self.root / 'large'}".encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    environ, words = (entry / "environ").read_bytes(), (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if mark in environ.split(b"\0"):
                    yield int(entry.name), words.replace(b"\0", b" ").decode(errors="replace")


@contextlib.contextmanager
def new_place() -> Iterator[Place]:
    """Yield a place for runs, and check at the end that they left nothing.

    It is below /var/tmp and not in pytest's directory: paths of sockets must be short, and disks are large. Processes
    that a run left, because a test failed before its cleanup, are killed.
    """
    with tempfile.TemporaryDirectory(prefix="v2v-test.", dir="/var/tmp") as name:
        place = Place.make(Path(name))
        try:
            yield place
            assert place.leftovers() == []
        finally:
            place.kill_processes()


def said(done: subprocess.CompletedProcess[str]) -> str:
    """Return the exit code and all output of a command, for the message of an assertion."""
    return f"exit {done.returncode}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}"
