# SPDX-License-Identifier: GPL-2.0-or-later
"""The QEMU guest agent: installed by the guest itself, once it is up on KVM and has a network.

With systemd by a timer of its own: no part of the boot, and after it, so that nothing waits for it, without a network
least of all. It tries again later, and is gone when it has succeeded or has tried often enough. It never fails.
With the init of old it is a script of the first boot, which tries a few times.
"""

from __future__ import annotations

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux import firstboot
from v2v_convert_guestfs.linux.packages import PackageManager
from v2v_convert_guestfs.session import Session

#: The package is called so in every family of distributions. Its service is not, nor is the program in one place.
_AGENT = "qemu-guest-agent"
_NAME = "v2v-guest-agent"
_SCRIPT = f"/usr/local/sbin/{_NAME}"
_UNITS = "/etc/systemd/system"
#: What one program may take that waits for repositories which do not answer.
_SECONDS = 600
_WHY = "to install the QEMU guest agent at first boot"

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
TimeoutStartSec=infinity
SuccessExitStatus=0 1 2 100 TERM KILL
"""


def script(packages: PackageManager) -> str:
    """Give the script that the timer runs: at most ten times, and no more once the agent is there."""
    return f"""\
#!/bin/sh
# Written by virt-v2v. Installs the QEMU guest agent, then removes itself and its timer.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
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

{_install_function(packages)}
date >>"$log"
install_agent >>"$log" 2>&1
if command -v qemu-ga >/dev/null; then
    systemctl --no-block start {_AGENT} >>"$log" 2>&1
    finish
fi
[ "$tries" -lt 10 ] || finish
exit 0
"""


def first_boot_script(packages: PackageManager) -> str:
    """Give the script for a guest without systemd: it tries five times, a minute apart."""
    return f"""\
#!/bin/sh
# Written by virt-v2v. Installs the QEMU guest agent and starts it.
{_install_function(packages)}
tries=0
until install_agent; do
    tries=$((tries + 1))
    [ "$tries" -lt 5 ] || exit 1
    sleep 60
done
for service in {_AGENT} qemu-ga; do
    if [ -x "/etc/init.d/$service" ]; then
        if command -v chkconfig >/dev/null; then
            chkconfig "$service" on
        fi
        "/etc/init.d/$service" start
    fi
done
"""


def install_at_first_boot(session: Session, files: GuestFiles, packages: PackageManager) -> None:
    """Leave in the guest what installs the agent.

    :raises ConversionError: a file cannot be written.
    """
    if _AGENT in packages.installed:
        return
    if packages.install_command and firstboot.has_systemd(session, files):
        _leave_timer(files, packages)
    elif not packages.install_command or not firstboot.add_script(
        session, files, _NAME, first_boot_script(packages).encode(), why=_WHY
    ):
        session.report.warning(
            "the QEMU guest agent is not installed in the guest: nothing is known in it that could do so at first boot"
        )
        return
    session.report.info("The QEMU guest agent will be installed by the guest after its first boot")


def _install_function(packages: PackageManager) -> str:
    refreshed = f" || {{ $limit env {packages.refresh_command} && install_it; }}" if packages.refresh_command else ""
    # Not systemd's limit: a unit that it ends has failed.
    return f"""\
limit=
if command -v timeout >/dev/null; then
    limit="timeout {_SECONDS}"
fi

install_it() {{
    $limit env {packages.install_command} {_AGENT}
}}

install_agent() {{
    install_it{refreshed}
}}
"""


def _leave_timer(files: GuestFiles, packages: PackageManager) -> None:
    files.create(_SCRIPT, script(packages).encode(), mode=0o755, what="created", why=_WHY)
    files.create(f"{_UNITS}/{_NAME}.service", _SERVICE.encode(), mode=0o644, what="created", why=_WHY)
    files.create(f"{_UNITS}/{_NAME}.timer", _TIMER.encode(), mode=0o644, what="created", why=_WHY)
    files.link(f"../{_NAME}.timer", f"{_UNITS}/timers.target.wants/{_NAME}.timer", what="created", why=_WHY)
