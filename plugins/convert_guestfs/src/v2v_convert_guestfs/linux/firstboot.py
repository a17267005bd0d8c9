# SPDX-License-Identifier: GPL-2.0-or-later
"""Scripts that the guest runs once, after its first boot on KVM.

The boot does not wait for them: with systemd a timer starts the runner, with SysV init or OpenRC the init script runs
it in the background. The runner never fails; the output of the scripts goes to its log. Each script is moved away
before it runs, so that a script that restarts the machine runs only once, too. After the last script the runner removes
everything but the log and the finished scripts.

The runner is in a directory of programs, where the SELinux labels allow what an administrator may do. So no script has
to switch SELinux off.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.families import Family, family_of
from v2v_convert_guestfs.session import Session

_NAME = "v2v-firstboot"
_RUNNER = f"/usr/local/sbin/{_NAME}"
_BASE = f"/var/lib/{_NAME}"
#: Scripts that wait, scripts that were started, and what they printed.
TODO, DONE = f"{_BASE}/todo", f"{_BASE}/done"
LOG = f"/var/log/{_NAME}.log"
_UNITS = "/etc/systemd/system"
#: OpenRC's program that runs init scripts, and the directory with the links to those that it starts.
_OPENRC = ("/sbin/openrc-run", "/usr/sbin/openrc-run", "/usr/bin/openrc-run")
RUNLEVELS = "/etc/runlevels"
_LONGEST_NAME = 60
#: Seconds that the runner waits for a network.
_NETWORK_WAIT = 60
#: The parents of rcN.d and init.d. The first that exists is used.
_SYSV_ROOTS = ("/etc/rc.d", "/etc")
#: The multi-user runlevels of Debian, and those of Red Hat and ALT with and without graphics.
_RUNLEVELS = "2345"
#: Programs that sort init scripts by dependencies. They would not know a script whose links were made by hand.
_SORTERS = {Family.DEBIAN: ["update-rc.d", _NAME, "defaults"], Family.SUSE: ["insserv", _NAME]}

RUNNER = f"""\
#!/bin/sh
# Written by virt-v2v. Runs each script in {TODO} once, then removes what starts it.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

has_network() {{
    while read -r _ destination _; do
        [ "$destination" = 00000000 ] && return 0
    done </proc/net/route
    return 1
}}

umask 077
exec </dev/null >>{LOG} 2>&1
umask 022
cd / || exit 0

waited=0
until has_network || [ "$waited" -ge {_NETWORK_WAIT} ]; do
    sleep 2
    waited=$((waited + 2))
done

for script in {TODO}/*; do
    [ -f "$script" ] || continue
    name=${{script##*/}}
    mv -f "$script" "{DONE}/$name" || continue
    echo "$(date): $name starts"
    "{DONE}/$name"
    status=$?
    echo "$(date): $name has ended with the status $status"
done

rmdir {TODO} || exit 0
rm -f {_RUNNER} {_UNITS}/{_NAME}.service {_UNITS}/{_NAME}.timer {_UNITS}/timers.target.wants/{_NAME}.timer \\
    /etc/rc.d/init.d/{_NAME} /etc/init.d/{_NAME} /etc/rc.d/rc?.d/[SK]??{_NAME} /etc/rc?.d/[SK]??{_NAME} \\
    /etc/init.d/rc?.d/[SK]??{_NAME} /etc/runlevels/*/{_NAME}
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl --no-block stop {_NAME}.timer
fi
exit 0
"""

_TIMER = f"""\
[Unit]
Description=Run the scripts for the first boot after the conversion by virt-v2v
ConditionPathExists={_RUNNER}

[Timer]
OnBootSec=15s
AccuracySec=1s

[Install]
WantedBy=timers.target
"""

# No Wants=: it would start the unit that waits for a network, which fails on a machine without one.
_SERVICE = f"""\
[Unit]
Description=Run the scripts for the first boot after the conversion by virt-v2v
ConditionPathExists={_RUNNER}
RequiresMountsFor={_BASE} {LOG}
After=network-online.target

[Service]
Type=oneshot
ExecStart=-{_RUNNER}
TimeoutStartSec=infinity
SuccessExitStatus=TERM KILL
"""

INIT_SCRIPT = f"""\
#!/bin/sh
# {_NAME}  Run the scripts for the first boot after the conversion by virt-v2v
# chkconfig: {_RUNLEVELS} 99 01
# description: Runs the scripts for the first boot after the conversion by virt-v2v, in the background.
### BEGIN INIT INFO
# Provides:          {_NAME}
# Required-Start:    $remote_fs $syslog
# Required-Stop:
# Should-Start:      $network $named $time $all
# Default-Start:     {" ".join(_RUNLEVELS)}
# Default-Stop:
# Short-Description: scripts for the first boot after the conversion
# Description:       Runs the scripts for the first boot after the conversion by virt-v2v, in the background.
### END INIT INFO

case "$1" in
    start)
        if [ -x {_RUNNER} ]; then
            {_RUNNER} </dev/null >/dev/null 2>&1 &
        fi
        ;;
esac
exit 0
"""

OPENRC_SCRIPT = f"""\
#!/sbin/openrc-run
description="Run the scripts for the first boot after the conversion by virt-v2v, in the background"

depend() {{
    need localmount
    after net
}}

start() {{
    if [ -x {_RUNNER} ]; then
        {_RUNNER} </dev/null >/dev/null 2>&1 &
    fi
    return 0
}}
"""


def add_script(session: Session, files: GuestFiles, name: str, script: bytes, *, why: str) -> bool:
    """Add a script that the guest runs at its first boot, after those added before.

    :param script: the content, which must begin with ``#!``.
    :returns: False if the guest has no known init system; then nothing is written.
    :raises ConversionError: a file cannot be written.
    """
    enable = _enabling(session, files)
    if enable is None:
        return False
    number = len(files.glob(f"{TODO}/*")) + 1
    if number == 1:
        what = "created"
        files.create(_RUNNER, RUNNER.encode(), mode=0o755, what=what, why=why)
        files.create_directory(DONE, mode=0o700, what=what, why=why)
        enable(session, files, why)
    path = f"{TODO}/{number:04}-{safe_name(name)}"
    files.create(path, script, mode=0o700, what="created, to run once at the first boot", why=why)
    return True


def safe_name(name: str) -> str:
    """Return a file name of at most 60 letters, digits, underscores and hyphens, which replace all other characters."""
    return re.sub(r"[^A-Za-z0-9_]", "-", name)[:_LONGEST_NAME]


def has_systemd(session: Session, files: GuestFiles) -> bool:
    """Return whether systemd is the guest's init. Its directories are not enough: packages contain them, too."""
    try:
        init = str(session.handle.readlink("/sbin/init")) if session.handle.is_symlink("/sbin/init") else ""
        if init:
            return init.endswith("/systemd")
        if session.handle.exists("/sbin/init"):
            return False
    except RuntimeError as err:
        session.report.debug(f"/sbin/init: {brief(err)}")
    return bool(session.handle.is_dir(_UNITS)) and any(
        files.glob(f"{root}/lib/systemd/systemd") for root in ("", "/usr")
    )


def has_openrc(session: Session) -> bool:
    """Return whether OpenRC starts the guest's services."""
    return any(bool(session.handle.exists(path)) for path in _OPENRC) and bool(session.handle.is_dir(RUNLEVELS))


def _enabling(session: Session, files: GuestFiles) -> Callable[[Session, GuestFiles, str], None] | None:
    """Return the function for the guest's init system, or None if that is not known."""
    if has_systemd(session, files):
        return _enable_with_systemd
    if has_openrc(session):
        return _enable_with_openrc
    root = _sysv_root(session)
    if root is None:
        return None
    family = family_of(session.inspection.distro)
    levels = (f"{place}/rc{level}.d" for place in (root, f"{root}/init.d") for level in _RUNLEVELS)
    # Nothing would start the script without such a directory, unless one of these programs makes it.
    return _enable_with_sysv if family in _SORTERS or any(map(session.handle.is_dir, levels)) else None


def _sysv_root(session: Session) -> str | None:
    for root in _SYSV_ROOTS:
        if session.handle.is_dir(f"{root}/init.d"):
            return root
    return None


def _enable_with_openrc(_session: Session, files: GuestFiles, why: str) -> None:
    files.create(f"/etc/init.d/{_NAME}", OPENRC_SCRIPT.encode(), mode=0o755, what="created", why=why)
    files.link(f"/etc/init.d/{_NAME}", f"{RUNLEVELS}/default/{_NAME}", what="created", why=why)


def _enable_with_systemd(_session: Session, files: GuestFiles, why: str) -> None:
    files.create(f"{_UNITS}/{_NAME}.service", _SERVICE.encode(), mode=0o644, what="created", why=why)
    files.create(f"{_UNITS}/{_NAME}.timer", _TIMER.encode(), mode=0o644, what="created", why=why)
    files.link(f"../{_NAME}.timer", f"{_UNITS}/timers.target.wants/{_NAME}.timer", what="created", why=why)


def _enable_with_sysv(session: Session, files: GuestFiles, why: str) -> None:
    root = _sysv_root(session)
    files.create(f"{root}/init.d/{_NAME}", INIT_SCRIPT.encode(), mode=0o755, what="created", why=why)
    family = family_of(session.inspection.distro)
    sorter = _SORTERS.get(family)
    if sorter is not None:
        try:
            session.run(sorter)
        except RuntimeError as err:
            session.report.debug(f"{sorter[0]} cannot enable the init script in the guest: {brief(err)}")
    # SUSE has the runlevel directories below init.d.
    below = f"{root}/init.d" if session.handle.is_dir(f"{root}/init.d/rc3.d") else root
    for level in _RUNLEVELS:
        directory = f"{below}/rc{level}.d"
        if session.handle.is_dir(directory) and not files.glob(f"{directory}/S*{_NAME}"):
            target = f"../{_NAME}" if below != root else f"../init.d/{_NAME}"
            files.link(target, f"{directory}/S99{_NAME}", what="created", why=why)
