# SPDX-License-Identifier: GPL-2.0-or-later
"""The names of files as UTF-8, whatever the locale of the user is.

Python takes the bytes of a name for text in the encoding of the locale. qemu, libvirt and their JSON and XML take the
same bytes for UTF-8. With ISO-8859-1, which ``LANG=en_US`` means, a disk with a name in Japanese would not be found.
"""

from __future__ import annotations

import os
import sys


def read_names_as_utf8() -> None:
    """Start this program once more if Python does not take file names for UTF-8; that is decided when it starts.

    The streams keep the encoding of the locale. Only the main function of a command may call this.
    """
    if sys.getfilesystemencoding().lower().replace("-", "") == "utf8" or not sys.executable:
        return
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    environment = {
        **os.environ,
        # for the interpreters that this one starts
        "PYTHONUTF8": "1",
        "PYTHONIOENCODING": os.environ.get("PYTHONIOENCODING") or f"{encoding}:backslashreplace",
    }
    # as an option, too, because the environment does not count with -E and -I
    os.execve(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]], environment)  # noqa: S606 - no shell
