# SPDX-License-Identifier: GPL-2.0-or-later
"""Text from other hypervisors, made fit for XML 1.0 and for libvirt."""

from __future__ import annotations

import re

from v2v_core.text import object_name

#: Characters that XML 1.0 cannot hold (section 2.2, production 2); Python's lone surrogates are among them.
_NOT_XML = "\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff"
_ESCAPED = re.compile(f"[{_NOT_XML}]|_(?=x[0-9A-F]{{4}}(?:_|[{_NOT_XML}]))")
_ESCAPE = re.compile("_x([0-9A-F]{4})_")
#: Libvirt names files after the domain: ``NAME_VARS.qcow2`` and ``NAME.xml.new`` must stay below 255 bytes.
_LONGEST_LIBVIRT_NAME = 240


def escape(text: str) -> str:
    """Escape the characters that XML 1.0 cannot hold as ``_xHHHH_``, as OOXML does (ECMA-376 part 1, 22.9.2.19).

    A ``_`` that would be read as the beginning of such an escape becomes ``_x005F_``.
    """
    return _ESCAPED.sub(lambda found: f"_x{ord(found[0]):04X}_", text)


def unescape(text: str) -> str:
    """Return the text that ``escape`` was called with."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)


def libvirt_name(name: str) -> str:
    """Return the name of a guest in a form that libvirt accepts.

    Letters of every script, spaces and quotes stay. Slashes, newlines, control characters and bytes that are not UTF-8
    become ``_``. A name of more than 240 bytes of UTF-8 is cut, because libvirt names files after the domain. A name
    without any visible character becomes ``unnamed``.
    """
    made = object_name(name, _LONGEST_LIBVIRT_NAME)
    # libvirt names directories after the domain, too
    return "_" * len(made) if made in {".", ".."} else made
