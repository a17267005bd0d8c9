# SPDX-License-Identifier: GPL-2.0-or-later
"""Take a value from the list of a key in a hive, which libguestfs's hivex calls cannot do.

A key has the number of its values and the place of a list of their places. What is no longer in the list is no longer
there; its room stays taken, as with Windows's own keys after a crash, and no program minds.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

#: Places in a hive count from the end of the base block.
_BASE = 4096
_NOWHERE = 0xFFFFFFFF
#: Of a key: its signature, and its number of values with the place of their list.
_SIGNATURE, _COUNT = 4, 0x28
_MOST = 65536


def without_value(read: Callable[[int, int], bytes], key: int, value: int) -> list[tuple[int, bytes]]:
    """Return what to write, and where in the file, so that a key loses a value.

    :param read: reads (place, count) from the file. :param key: the place of the key. :param value: that of the value.
    :raises RuntimeError: the list of the key is damaged.
    """
    if read(key + _SIGNATURE, 2) != b"nk":
        raise RuntimeError(f"there is no key at {key:#x}")
    count, place = struct.unpack("<II", read(key + _COUNT, 8))
    if not 1 <= count <= _MOST or place == _NOWHERE:
        raise RuntimeError(f"the key at {key:#x} has no list of values")
    start = _BASE + place + 4
    data = read(start, 4 * count)
    if len(data) != 4 * count:
        raise RuntimeError(f"the list of values of the key at {key:#x} is cut")
    values = list(struct.unpack(f"<{count}I", data))
    if values.count(value - _BASE) != 1:
        raise RuntimeError(f"the list of values of the key at {key:#x} is damaged")
    values.remove(value - _BASE)
    if not values:
        return [(key + _COUNT, struct.pack("<II", 0, _NOWHERE))]
    return [(start, struct.pack(f"<{count}I", *values, 0)), (key + _COUNT, struct.pack("<I", len(values)))]
