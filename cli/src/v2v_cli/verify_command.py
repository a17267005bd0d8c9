# SPDX-License-Identifier: GPL-2.0-or-later
"""``v2v verify``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from v2v_cli.exit import Session
from v2v_cli.options.declaration import Argument, Group, Offer, option
from v2v_cli.options.general import Json, Messages
from v2v_cli.options.values import path
from v2v_cli.render.sanitize import sanitize
from v2v_core import own_stdout
from v2v_core.errors import CopyError, UsageError

if TYPE_CHECKING:
    from v2v_core.copying.read_back import Range
    from v2v_core.run_report import CopiedDisk
    from v2v_core.served import ServedDisk, ServedSource

#: Ranges of a disk that are printed for people.
_MOST = 20


@dataclass(frozen=True, kw_only=True)
class Subjects(Group):
    """What is compared."""

    report: Annotated[
        Path,
        Argument(
            metavar="REPORT", parse=path, help="The report of the conversion: a file of --report, ending in .json."
        ),
    ]
    images: Annotated[
        tuple[str, ...],
        Argument(metavar="IMAGE", help="The disks of the converted guest, in their order: images, devices, NBD URIs."),
    ] = ()
    image_format: Annotated[
        str | None,
        option("--format", metavar="FORMAT", help="Format of the images: raw or qcow2; detected where that is safe."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class _Checked:
    """One disk that was compared.

    :param differs: the ranges that are not what was copied.
    """

    disk: int
    image: str
    size: int
    expected: int
    differs: Sequence[Range] = ()

    @property
    def right(self) -> bool:
        """Whether it is what was copied."""
        return self.size == self.expected and not self.differs


def verify(
    session: Session, subjects: Subjects, json: Json, messages: Annotated[Messages, Offer(without=("quiet", "trace"))]
) -> int:
    """Compare the disks of a converted guest with the hashes in the report of its conversion.

    They are the same until the guest runs for the first time. Nothing is changed. The exit code is 0 if all disks are
    what was copied, and 7 if one is not.

    Examples:
    $ v2v verify report.json /var/lib/libvirt/images/guest-sda
    $ v2v verify report.json guest-sda guest-sdb --format qcow2
    $ v2v verify report.json nbd://server/guest
    """
    from v2v_cli.rendering import start_messages
    from v2v_core import pipeline
    from v2v_core.copying.check_images import read_hashes
    from v2v_core.settings import Hardware, InputChoice, OutputChoice, RunChoice

    disks = read_hashes(subjects.report)
    if len(subjects.images) != len(disks):
        raise UsageError(
            f"the report is about {len(disks)} disks, and {len(subjects.images)} images were named",
            hint="name the disks of the converted guest in their order",
        )
    choice = RunChoice(
        # stated hardware keeps the input from making some up, and from warning about it
        input=InputChoice(
            mode="disk",
            arguments=subjects.images,
            format=subjects.image_format,
            hardware=Hardware(memory=1024**3, vcpus=1, nics=()),
        ),
        output=OutputChoice(mode="null"),
        verbose=messages.verbose,
    )
    start_messages(session, replace(messages, quiet=True))

    def look(source: ServedSource, scratch: Path) -> list[_Checked]:
        return [
            _check(image, served, disk, scratch)
            for image, served, disk in zip(subjects.images, source.disks, disks, strict=True)
        ]

    checked = pipeline.look_at_disks(choice, look, session.renderers)
    session.prints = True
    own_stdout.stdout().write(_as_json(checked) if json.json else "".join(f"{line}\n" for line in _as_text(checked)))
    return 0 if all(one.right for one in checked) else CopyError.exit_code


def _check(image: str, served: ServedDisk, disk: CopiedDisk, scratch: Path) -> _Checked:
    from v2v_core.copying.check_images import differing

    differs = differing(served, disk, scratch) if served.size == disk.size else ()
    return _Checked(disk=disk.index, image=image, size=served.size, expected=disk.size, differs=differs)


def _as_text(checked: Sequence[_Checked]) -> Iterator[str]:
    for one in checked:
        name = f"disk {one.disk} ({sanitize(one.image)})"
        if one.right:
            yield f"{name}: right"
        elif one.size != one.expected:
            yield f"{name}: has {one.size} bytes, and not {one.expected}"
        else:
            yield f"{name}: differs, somewhere in these ranges:"
            yield from (f"  byte {offset} to {offset + length - 1}" for offset, length in one.differs[:_MOST])
            if len(one.differs) > _MOST:
                yield f"  and in {len(one.differs) - _MOST} more"


def _as_json(checked: Sequence[_Checked]) -> str:
    records = [
        {
            "disk": one.disk,
            "image": one.image,
            "right": one.right,
            "size": one.size,
            "expected_size": one.expected,
            "differs": [{"offset": offset, "length": length} for offset, length in one.differs],
        }
        for one in checked
    ]
    return json.dumps({"disks": records}) + "\n"
