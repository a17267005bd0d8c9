# SPDX-License-Identifier: GPL-2.0-or-later
"""Receive libguestfs's events: its calls, its warnings, the console of its appliance.

The callback is registered with the C library itself and gets bytes. libguestfs's Python binding would decode them as
UTF-8 and crash the process (a null pointer) where they are not: one file name in Latin-1 in a directory of the guest,
in the answer to a call that is traced, is enough.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

#: guestfs_event_callback: handle, opaque, event, event handle, flags, buffer and its length, array and its length.
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
    """Call ``hear`` with the text of every event of some kinds.

    :param events: libguestfs's EVENT_ constants, combined with ``|``.
    :returns: an object that must be kept as long as the handle is open.
    :raises OSError: the callback cannot be registered; no event is received then.
    """
    library = ctypes.CDLL("libguestfs.so.0")
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    register = library.guestfs_set_event_callback
    register.restype = ctypes.c_int
    register.argtypes = [ctypes.c_void_p, _CALLBACK, ctypes.c_uint64, ctypes.c_int, ctypes.c_void_p]

    def call(
        _handle: int, _opaque: int, _event: int, _number: int, _flags: int, text: Any, length: int, *_numbers: int
    ) -> None:
        hear(bytes(text[:length]).decode("utf-8", "backslashreplace"))

    kept = _CALLBACK(call)
    try:
        address = pointer(handle._o, b"guestfs_h")
    except (AttributeError, ValueError) as err:
        raise OSError(f"not a handle of libguestfs: {err}") from err
    if register(address, kept, events, 0, None) == -1:
        raise OSError("libguestfs does not accept the callback")
    return kept
