# SPDX-License-Identifier: GPL-2.0-or-later
"""What names a destination in the journal of its copy, where the output says it."""

from __future__ import annotations

import pytest

from v2v_core import metadata, served
from v2v_core.conversion_dir import ConversionDir
from v2v_core.copying.ends import make_tasks
from v2v_core.model import DiskEndpoint, Guest, NbdkitPlugin, SourceDisk
from v2v_core.served import ServedDisk, ServedOutput, ServedSource
from v2v_core.settings import CopyChoice, OutputChoice


def identities(directory: ConversionDir, url: str, given: tuple[str, ...], owner: int = 1) -> list[str]:
    """Return what names two destinations that are served with an address, and have the identities that were given."""
    guest = Guest(name="g", disks=(SourceDisk(index=1, size=512), SourceDisk(index=2, size=512)))
    metadata.write_source(directory.metadata_in, guest)
    sources = tuple(
        ServedDisk(index=index, size=512, uri=f"nbd://in{index}", base=f"nbd://base{index}") for index in (1, 2)
    )
    served.write_source(directory, ServedSource(disks=sources))
    output = ServedOutput(
        owner=owner,
        disks=tuple(DiskEndpoint(index=index, uri=f"nbd://out{index}", size=512) for index in (1, 2)),
        services=tuple(NbdkitPlugin(name="curl", parameters=(("url", f"{url}/{index}"),)) for index in (1, 2)),
        identities=given,
    )
    tasks = make_tasks(directory, CopyChoice(), output, OutputChoice(mode="fake"))
    return [task.destination.identity for task in tasks]


def test_identity_of_the_output_outlives_the_address(v2v_directory: ConversionDir) -> None:
    """A resumed output is served in another way, and the disks are the same."""
    given = ("volume 7", "volume 8")
    before = identities(v2v_directory, "https://a", given)
    assert len(set(before)) == 2
    assert identities(v2v_directory, "https://b", given) == before


@pytest.mark.parametrize("given", [("volume 7", "volume 9"), ()])
def test_other_disks_are_others(v2v_directory: ConversionDir, given: tuple[str, ...]) -> None:
    assert (
        identities(v2v_directory, "https://a", given)[1]
        != identities(v2v_directory, "https://a", ("volume 7", "volume 8"))[1]
    )


def test_without_one_the_address_counts(v2v_directory: ConversionDir) -> None:
    assert identities(v2v_directory, "https://a", ()) != identities(v2v_directory, "https://b", ())


def test_output_that_was_set_up_anew_is_another(v2v_directory: ConversionDir) -> None:
    given = ("volume 7", "volume 8")
    assert identities(v2v_directory, "https://a", given) != identities(v2v_directory, "https://a", given, owner=2)
