# SPDX-License-Identifier: GPL-2.0-or-later
"""stdout and stderr take every text, whatever the locale and whatever the bytes of a path are."""

from __future__ import annotations

import codecs
import io
import re
import sys
from typing import TextIO

from v2v_cli.render.sanitize import sanitize
from v2v_core.standard_streams import make_unfailing

_HANDLER = "v2v_cli"


def accept_every_text() -> None:
    """Let nothing that is written to stdout or stderr raise an error from now on, be it of the text or of the stream.

    Bytes of a path that were not text when they were read (``surrogateescape``, PEP 383) are written as they were. Any
    other character that the encoding of the stream does not have is written as an escape.
    """
    make_unfailing()
    codecs.register_error(_HANDLER, _encode)
    for stream in (sys.stdout, sys.stderr):
        # tests put other streams here
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def _encode(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeEncodeError:
        return codecs.backslashreplace_errors(error)


def sanitize_created(text: str, stream: TextIO) -> str:
    """Return the name of something that was created, on one line, for a stream.

    On a terminal it is as harmless as any text. For a program that reads the stream, bytes of a path that are not text
    stay as they are.
    """
    if stream.isatty():
        return sanitize(text)
    return re.sub("[^\udc80-\udcff]+", lambda match: sanitize(match[0]), text)
