# SPDX-License-Identifier: GPL-2.0-or-later
"""``helper-v2v-convert`` alone converts a guest where it is, on an NBD server and with metadata of another program.

That the server still runs after the cleanup is seen where the guest is converted (``convert_described``).
"""

from __future__ import annotations

import pytest

from described import FOREIGN_METADATA, ConvertedInPlace

pytestmark = pytest.mark.slow


def test_metadata_of_another_program_comes_through(converted_in_place: ConvertedInPlace) -> None:
    assert "keep me" in FOREIGN_METADATA
    assert "urn:another:program" in converted_in_place.metadata
    assert "keep me" in converted_in_place.metadata
    assert "bookworm" in converted_in_place.metadata or "debian" in converted_in_place.metadata


def test_the_disk_behind_the_server_is_converted(converted_in_place: ConvertedInPlace) -> None:
    assert b"/dev/vda1" in converted_in_place.files["/etc/fstab"]
