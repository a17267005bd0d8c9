# SPDX-License-Identifier: GPL-2.0-or-later
"""Look into the disk of a phony guest with debugfs: no appliance, a second or two."""

from __future__ import annotations

import dataclasses
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from guests.host import image_format, run
from phony.commands import CALLS, Call, read_calls

_LINKS = 16


@dataclasses.dataclass(frozen=True)
class Found:
    """The files of a guest, in a directory of the host. Links are followed inside of it only."""

    root: Path

    def __contains__(self, path: str) -> bool:
        return self._resolve(path) is not None

    def read(self, path: str) -> bytes:
        """Read a file.

        :raises FileNotFoundError: there is none.
        """
        place = self._resolve(path)
        if place is None:
            raise FileNotFoundError(path)
        return place.read_bytes()

    def text(self, path: str) -> str:
        """Return the content of a text file."""
        return self.read(path).decode()

    def names(self, directory: str) -> list[str]:
        """Return the sorted names in a directory; none if it does not exist."""
        place = self._resolve(directory)
        return sorted(entry.name for entry in place.iterdir()) if place is not None and place.is_dir() else []

    def link(self, path: str) -> str | None:
        """Return the target of a symbolic link, or None."""
        parent, _, name = path.rpartition("/")
        place = self._resolve(parent)
        return str((place / name).readlink()) if place is not None and (place / name).is_symlink() else None

    def calls(self, name: str | None = None) -> list[Call]:
        """Return the recorded calls of a command, or of all commands."""
        return [call for call in read_calls(self.read(CALLS)) if name in {None, call.name}]

    def _resolve(self, path: str) -> Path | None:
        done: list[str] = []
        todo = [part for part in path.split("/") if part]
        links = 0
        while todo:
            part = todo.pop(0)
            if part == "..":
                done = done[:-1]
                continue
            place = self.root.joinpath(*done, part)
            try:
                mode = place.lstat().st_mode
            except OSError:
                return None
            if not stat.S_ISLNK(mode):
                done.append(part)
                continue
            links += 1
            if links > _LINKS:
                return None
            target = str(place.readlink())
            done = [] if target.startswith("/") else done
            todo = [piece for piece in target.split("/") if piece not in {"", "."}] + todo
        return self.root.joinpath(*done)


@contextmanager
def looked_into(disk: Path, without: Sequence[str] = ()) -> Iterator[Found]:
    """Yield the files of the first partition of a disk.

    :param without: paths of files that are left out because they are too large.
    """
    with tempfile.TemporaryDirectory(prefix="v2v-look.", dir=disk.parent) as name:
        raw, part, root = Path(name, "raw"), Path(name, "part"), Path(name, "root")
        root.mkdir()
        run(["qemu-img", "convert", "-f", image_format(disk), "-O", "raw", disk, raw])
        table = run(["sfdisk", "--dump", raw]).splitlines()
        first = next(line for line in table if "start=" in line)
        start, size = (int(first.partition(f"{word}=")[2].partition(",")[0]) for word in ("start", "size"))
        run(["dd", "status=none", f"if={raw}", f"of={part}", "bs=512", f"skip={start}", f"count={size}", "conv=sparse"])
        raw.unlink()
        # The journal was left clean; debugfs says what it misses on stderr and ends with 0 all the same.
        commands = [*(f"unlink {path}" for path in without), f'rdump / "{root}"']
        run(["debugfs", "-w", "-f", "-", part], stdin="\n".join(commands) + "\n")
        part.unlink()
        yield Found(root)
