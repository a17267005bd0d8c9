# SPDX-License-Identifier: GPL-2.0-or-later
"""The QEMU guest agent: the guest installs it itself, once it runs on KVM and has a network.

With systemd, a timer starts the installation some minutes after the boot, so the boot never waits for it, with or
without a network. The script tries again later. It removes itself and its timer after it has succeeded or has tried ten
times, and its unit never fails. Without systemd, a first-boot script tries a few times.
"""

from __future__ import annotations

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux import firstboot
from v2v_convert_guestfs.linux.packages import PackageManager
from v2v_convert_guestfs.session import Session

#: The name of the package in every family of distributions. The names of its service and the place of its program vary.
_AGENT = "qemu-guest-agent"
_NAME = "v2v-guest-agent"
_SCRIPT = f"/usr/local/sbin/{_NAME}"
_UNITS = "/etc/systemd/system"
#: Time limit of one run of the package manager, which may wait for repositories that do not answer.
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
    """Return the script that the timer runs: at most ten times, until the agent is installed."""
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
    """Return the script for a guest without systemd. It tries five times, a minute apart."""
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
        if command -v rc-update >/dev/null; then
            rc-update add "$service" default
        elif command -v chkconfig >/dev/null; then
            chkconfig "$service" on
        fi
        "/etc/init.d/$service" start
    fi
done
"""


def install_at_first_boot(session: Session, files: GuestFiles, packages: PackageManager) -> None:
    """Prepare the guest to install the agent after its first boot, unless the agent is installed already.

    Warn if the guest has no known package manager or init system for this.

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
            "the QEMU guest agent is not installed: the guest has no known way to install it at its first boot"
        )
        return
    session.report.info("The QEMU guest agent will be installed by the guest after its first boot")


def _install_function(packages: PackageManager) -> str:
    refreshed = f" || {{ $limit env {packages.refresh_command} && install_it; }}" if packages.refresh_command else ""
    # timeout(1) instead of TimeoutStartSec=: a unit that systemd stops for its time limit has failed.
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
