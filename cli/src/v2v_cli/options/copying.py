# SPDX-License-Identifier: GPL-2.0-or-later
"""How the disks are copied."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from v2v_cli.options.declaration import Group, Use, flag, option
from v2v_cli.options.values import at_least, bits_per_second, either, one_of, readable_if_there
from v2v_core.errors import UsageError

if TYPE_CHECKING:
    from v2v_core.settings import CopyChoice

#: Seconds; a day.
_LONGEST_TIMEOUT = 86400
#: Fields that virt-v2v does not have.
BEYOND_VIRT_V2V = (
    *("connections", "copier", "from_", "overlap", "no_overlap"),
    *("verify", "hashes", "no_hashes", "request_timeout"),
)


@dataclass(frozen=True, kw_only=True)
class Copying(Group):
    """The copy from the source's disks to the target's."""

    panel: ClassVar = "Copy"

    parallel: Annotated[
        int | None,
        option(
            "--parallel",
            metavar="N",
            use=Use.LAST,
            parse=at_least(1),
            help="Number of disks copied at the same time; what suits the source if not given.",
        ),
    ] = None
    connections: Annotated[
        int,
        option(
            "--connections",
            metavar="N",
            use=Use.LAST,
            parse=at_least(0),
            help="Connections used for each disk; 0 leaves it to the program that copies.",
        ),
    ] = 0
    from_: Annotated[
        str | None,
        option(
            "--from",
            metavar="base",
            parse=one_of("base"),
            help="With 'base', copy the disks as the source has them, while the conversion runs or before it begins. "
            "The same command without --from then copies only what the conversion has changed, and what is missing.",
        ),
    ] = None
    overlap: Annotated[
        bool,
        flag(
            "--overlap",
            help="Begin to copy while the guest is still being converted. Without this option, that is done where it "
            "can save time: large disks, and sources that are read over a network.",
        ),
    ] = False
    no_overlap: Annotated[bool, flag("--no-overlap", help="Begin to copy when the guest is converted.")] = False
    verify: Annotated[
        bool,
        flag(
            "--verify",
            help="Read each disk back from the target when it is copied, and compare it with what was sent. What "
            "differs is sent once more; if it still differs, the conversion fails.",
        ),
    ] = False
    hashes: Annotated[
        bool,
        flag(
            "--hashes",
            help="Put hashes of all disks into the report, even of those that the file system copies without reading "
            "them (reflink). Without this option, the report has the hashes of all other disks.",
        ),
    ] = False
    no_hashes: Annotated[
        bool, flag("--no-hashes", help="Compute no hashes: the target can then not be verified, now or later.")
    ] = False
    bandwidth: Annotated[
        int | None,
        option(
            "--bandwidth",
            metavar="RATE",
            parse=bits_per_second,
            help="Copy at most so fast, all disks together: 100M is 100 megabits per second, 50MB/s is 50 megabytes "
            "per second.",
        ),
    ] = None
    bandwidth_file: Annotated[
        Path | None,
        option(
            "--bandwidth-file",
            metavar="FILE",
            parse=readable_if_there,
            help="Read the value of --bandwidth from this file, again and again while copying. While the file is "
            "missing or empty, there is no limit but that of --bandwidth.",
        ),
    ] = None
    request_timeout: Annotated[
        int | None,
        option(
            "--request-timeout",
            metavar="SECONDS",
            parse=at_least(1, most=_LONGEST_TIMEOUT),
            help="A source or target that leaves a request without an answer for so long is connected to again, and "
            "after some attempts the copy fails; 300 if not given.",
        ),
    ] = None
    copier: Annotated[
        str | None,
        option(
            "--copier",
            metavar="NAME",
            modes="copy",
            help="Program that copies the disks instead of this one; it copies them whole, when the guest is "
            "converted, and a copy that was interrupted begins anew.",
        ),
    ] = None

    def choice(self) -> CopyChoice:
        """Return the record for the copy step.

        :raises UsageError: options contradict each other.
        """
        from v2v_core.settings import CopyChoice

        hashing = either("--hashes", self.hashes, "--no-hashes", self.no_hashes)
        if self.verify and self.no_hashes:
            raise UsageError(
                "--verify and --no-hashes were given", hint="--verify compares hashes: leave one of them out"
            )
        if self.copier is not None:
            self._check_program()
        seconds = CopyChoice.request_seconds if self.request_timeout is None else float(self.request_timeout)
        return CopyChoice(
            mode=self.copier,
            parallel=self.parallel,
            connections=self.connections,
            from_base=self.from_ is not None,
            overlap=either("--overlap", self.overlap, "--no-overlap", self.no_overlap),
            verify=self.verify,
            hashing=hashing,
            bandwidth=self.bandwidth or None,
            bandwidth_file=self.bandwidth_file,
            request_seconds=seconds,
        )

    def _check_program(self) -> None:
        """Refuse what a program that copies whole disks cannot do."""
        own = {
            "--from base": self.from_ is not None,
            "--overlap": self.overlap,
            "--verify": self.verify,
            "--hashes": self.hashes,
            "--bandwidth": self.bandwidth,
            "--bandwidth-file": self.bandwidth_file is not None,
            "--request-timeout": self.request_timeout is not None,
        }
        for name, given in own.items():
            if given:
                raise UsageError(
                    f"{name} has no effect on --copier {self.copier}", hint=f"leave out --copier, or leave out {name}"
                )
