# SPDX-License-Identifier: GPL-2.0-or-later
"""Hear what libguestfs says: its calls, its warnings, the console of its appliance.

Its Python binding takes all these words for UTF-8 and kills the process (a null pointer) where they are not: one file
name in Latin-1 in a guest's directory, in the answer to a call that is traced, is enough. So the callback is given to
the C library itself, and gets bytes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

#: The handle, which of its events, its number, flags, the words and their length, numbers and their count.
_CALLBACK = ctypes.CFUNCTYPE(
    None,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_uint64,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.POINTER(ctypes.c_char),
    ctypes.c_size_t,
    ctypes.c_void_p,
    ctypes.c_size_t,
)


def listen(handle: Any, events: int, hear: Callable[[str], None]) -> object:
    """Have every event of some kinds heard.

    :param events: libguestfs's numbers of the kinds, combined.
    :returns: what must be kept as long as the handle is open.
    :raises OSError: the library cannot be reached this way; nobody hears anything then.
    """
    library = ctypes.CDLL("libguestfs.so.0")
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    register = library.guestfs_set_event_callback
    register.restype = ctypes.c_int
    register.argtypes = [ctypes.c_void_p, _CALLBACK, ctypes.c_uint64, ctypes.c_int, ctypes.c_void_p]

    def call(
        _handle: int, _opaque: int, _event: int, _number: int, _flags: int, words: Any, length: int, *_numbers: int
    ) -> None:
        hear(bytes(words[:length]).decode("utf-8", "backslashreplace"))

    kept = _CALLBACK(call)
    try:
        address = pointer(handle._o, b"guestfs_h")
    except (AttributeError, ValueError) as err:
        raise OSError(f"no handle of libguestfs's: {err}") from err
    if register(address, kept, events, 0, None) == -1:
        raise OSError("libguestfs takes no callback")
    return kept
