# SPDX-License-Identifier: GPL-2.0-or-later
"""A few hundred bytes of firmware (``kvm_payload.S``) that show whether a virtual CPU works.

They walk the CPU from reset through protected mode, long mode with paging and interrupts to user mode and back, and
report over the serial port how far they came. A working KVM needs some 100 ms for it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import IO

#: The letters that the payload writes, and the mode of the CPU that each shows to work.
_STATIONS = {
    b"R": "real mode",
    b"P": "protected mode",
    b"L": "long mode",
    b"I": "interrupts",
    b"U": "user mode",
    b".": "all of it",
}
_ALL = b"".join(_STATIONS)

#: ``kvm_payload.S``, assembled: the start of the 64 KiB of firmware, and the jump at the reset vector.
_CODE = bytes.fromhex(
    "fabaf803b052ee31c08ec0bf0010b90018fcf3ab26c7060010072026c7060020073026c706003087002e660f011650010f20c00c"
    "010f22c066ea40000f00180066b810008ed88ec08ed0bc00800000b050ee0f20e00d200600000f22e0b8001000000f22d8b98000"
    "00c00f320d010100000f300f20c00d000000800f22c066baf803ea89000f000800b04ceeb8ff000f00668904253040000066c704"
    "2532400000080066c704253440000000eec1e81066890425364000000f011c2556010f00ccb049eec70425045000000080000066"
    "b838000f00d86a2b680070000068023000006a3368eb000f0048cfb055eeccb9a0860100e2feb02eeeb0fee664ebfe48cf8db400"
    "008d74000000000000000000ffff0000009baf00ffff00000093cf00ffff0000009bcf000000000000000000ffff000000f3cf00"
    "ffff000000fbaf0067000050008900000000000000000000470008010f00ff030040"
)
_RESET_VECTOR = bytes.fromhex("ea000000f0")
_FIRMWARE_SIZE = 0x10000
_RESET_OFFSET = 0xFFF0


def run_payload(emulator: str, accelerator: str, timeout: float) -> tuple[bool, str]:
    """Run the payload under an accelerator (``kvm`` or ``tcg``); return whether it ran to its end, and why (not)."""
    # In memory, so that no file is left if this process is killed.
    with os.fdopen(os.memfd_create("v2v-kvm-probe"), "wb") as firmware:
        firmware.write(_CODE.ljust(_RESET_OFFSET, b"\0") + _RESET_VECTOR.ljust(_FIRMWARE_SIZE - _RESET_OFFSET, b"\0"))
        firmware.flush()
        argv = [*_dying_with_this_process(), emulator, "-nodefaults", "-no-user-config", "-machine", "q35"]
        argv += ["-accel", accelerator, "-cpu", "max", "-m", "16", "-display", "none", "-nic", "none", "-no-reboot"]
        argv += ["-bios", f"/proc/self/fd/{firmware.fileno()}"]
        argv += ["-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial"]
        try:
            with _killed_at_the_end(argv, firmware.fileno()) as qemu:
                letters, errors, ended = _listen(qemu, timeout)
        except OSError as err:
            return False, f"{emulator} cannot be started: {err.strerror}"
    if letters.startswith(_ALL):
        return True, "a test of all CPU modes that guests need ran to its end"
    return False, _explain(letters, errors, ended, timeout)


def _dying_with_this_process() -> list[str]:
    # If this process were killed while a virtual CPU hangs, that would use a whole host CPU for ever.
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []


@contextlib.contextmanager
def _killed_at_the_end(argv: list[str], firmware: int) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[firmware],
        env={**os.environ, "LC_ALL": "C"},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _listen(qemu: subprocess.Popen[bytes], timeout: float) -> tuple[bytes, str, bool]:
    """Collect the output of the payload and of qemu until one of them is decisive, or both streams end."""
    deadline = time.monotonic() + timeout
    output: dict[str, bytes] = {"payload": b"", "qemu": b""}
    with selectors.DefaultSelector() as selector:
        selector.register(_stream(qemu.stdout), selectors.EVENT_READ, "payload")
        selector.register(_stream(qemu.stderr), selectors.EVENT_READ, "qemu")
        while (left := deadline - time.monotonic()) > 0 and selector.get_map():
            for key, _events in selector.select(left):
                data = os.read(key.fd, 4096)
                output[key.data] += data
                if not data:
                    selector.unregister(key.fileobj)
            # After an internal error qemu stops the virtual CPU and waits for ever.
            if output["payload"].startswith(_ALL) or b"KVM internal error" in output["qemu"]:
                break
        ended = not selector.get_map()
    return output["payload"], output["qemu"].decode("utf-8", "replace"), ended


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise TypeError("qemu is started with pipes")
    return stream


def _explain(letters: bytes, errors: str, ended: bool, timeout: float) -> str:
    reached = [station for letter, station in _STATIONS.items() if letter in letters]
    where = f"after {reached[-1]}" if reached else "before its first instruction"
    problems = [line for line in errors.splitlines() if "warning:" not in line]
    if "KVM internal error" in errors:
        return f"the virtual CPU stopped {where} (KVM internal error)"
    if ended:
        why = problems[0].rpartition("error: ")[2].strip() if problems else "without a word"
        return f"qemu ended {where}: {why}"
    return f"the virtual CPU hung {where}, for {timeout:g} seconds"
