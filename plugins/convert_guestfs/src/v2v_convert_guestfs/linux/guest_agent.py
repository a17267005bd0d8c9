# SPDX-License-Identifier: GPL-2.0-or-later
"""The QEMU guest agent: installed by the guest itself, once it is up on KVM and has a network.

A timer, not a part of the boot, and after it: nothing waits for it, without a network least of all. It tries again
later, and is gone when it has succeeded or has tried often enough. It never fails.
"""

from __future__ import annotations

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.packages import PackageManager
from v2v_convert_guestfs.session import Session

_AGENT = "qemu-guest-agent"
_NAME = "v2v-guest-agent"
_SCRIPT = f"/usr/local/sbin/{_NAME}"
_UNITS = "/etc/systemd/system"

_TIMER = f"""\
[Unit]
Description=Install the QEMU guest agent after the conversion by virt-v2v
ConditionPathExists={_SCRIPT}

[Timer]
OnBootSec=2min
OnUnitInactiveSec=10min

[Install]
WantedBy=timers.target
"""

_SERVICE = f"""\
[Unit]
Description=Install the QEMU guest agent after the conversion by virt-v2v
ConditionPathExists={_SCRIPT}

[Service]
Type=oneshot
ExecStart={_SCRIPT}
TimeoutStartSec=15min
SuccessExitStatus=0 1 2 100 TERM KILL
"""


def script(install_command: str) -> str:
    """Give the script that the timer runs: at most ten times, and no more once the agent is there."""
    return f"""\
#!/bin/sh
# Written by virt-v2v. Installs the QEMU guest agent, then removes itself and its timer.
count=/var/lib/{_NAME}.count
log=/var/log/{_NAME}.log
tries=$(cat "$count" 2>/dev/null || echo 0)
tries=$((tries + 1))
echo "$tries" >"$count"

finish() {{
    rm -f "$count" {_SCRIPT} {_UNITS}/{_NAME}.service {_UNITS}/{_NAME}.timer \\
        {_UNITS}/timers.target.wants/{_NAME}.timer
    systemctl daemon-reload >>"$log" 2>&1
    systemctl --no-block stop {_NAME}.timer >>"$log" 2>&1
    exit 0
}}

install_agent() {{
    {install_command} {_AGENT}
}}

date >>"$log"
install_agent >>"$log" 2>&1 || {{ apt-get -q update && install_agent; }} >>"$log" 2>&1
if [ -x /usr/sbin/qemu-ga ]; then
    systemctl --no-block start {_AGENT} >>"$log" 2>&1
    finish
fi
[ "$tries" -lt 10 ] || finish
exit 0
"""


def install_at_first_boot(session: Session, files: GuestFiles, packages: PackageManager) -> None:
    """Leave a timer in the guest that installs the agent.

    :raises ConversionError: a file cannot be written.
    """
    if _AGENT in packages.installed:
        return
    if not session.handle.is_dir(_UNITS):
        session.report.warning(
            "the QEMU guest agent is not installed in the guest: it has no systemd to do it at first boot"
        )
        return
    what, why = "created", "to install the QEMU guest agent at first boot"
    files.create(_SCRIPT, script(packages.install_command).encode(), mode=0o755, what=what, why=why)
    files.create(f"{_UNITS}/{_NAME}.service", _SERVICE.encode(), mode=0o644, what=what, why=why)
    files.create(f"{_UNITS}/{_NAME}.timer", _TIMER.encode(), mode=0o644, what=what, why=why)
    files.link(f"../{_NAME}.timer", f"{_UNITS}/timers.target.wants/{_NAME}.timer", what=what, why=why)
    session.report.info("The QEMU guest agent will be installed by the guest after its first boot")
