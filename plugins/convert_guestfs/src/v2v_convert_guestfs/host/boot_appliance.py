# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot the appliance with a scratch disk; ``appliance_probe`` runs this module in a process of its own.

Prints the version of libguestfs. If the appliance does not boot: the reason, and on the next line the directory in
which libguestfs keeps it, if that may be broken; the exit status is 1 then.
"""

from __future__ import annotations

import sys
from contextlib import suppress


def boot() -> int:
    """Boot it and shut it down again; return the exit status."""
    import guestfs

    from v2v_convert_guestfs.appliance_cache import broken_cache
    from v2v_convert_guestfs.appliance_console import Console
    from v2v_convert_guestfs.library_events import listen

    handle = guestfs.GuestFS(python_return_dict=True, close_on_exit=False)
    console = Console(lambda line: None)
    kept = None
    # Without its console there is less to quote if the appliance does not boot.
    with suppress(OSError):
        kept = listen(handle, guestfs.EVENT_APPLIANCE, console.hear)
    handle.add_drive_scratch(1024 * 1024)
    try:
        handle.launch()
    except RuntimeError as err:
        console.finish()
        cache = broken_cache(handle, console, err)
        sys.stdout.write(f"{console.reason or str(err).partition(chr(10))[0]}\n{cache or ''}\n")
        return 1
    version = handle.version()
    sys.stdout.write(f"{version['major']}.{version['minor']}.{version['release']}\n")
    handle.shutdown()
    handle.close()
    del kept
    return 0


if __name__ == "__main__":
    sys.exit(boot())
