# SPDX-License-Identifier: GPL-2.0-or-later
"""Disable the services of tools that stay in the guest because other packages depend on them.

A systemd unit gets a condition, and is not masked: units that require it would fail if it were masked, and start if its
condition is not met.
"""

from __future__ import annotations

import posixpath

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.firstboot import RUNLEVELS, has_openrc, has_systemd
from v2v_convert_guestfs.linux.network.ini import sections
from v2v_convert_guestfs.linux.packages import PackageManager
from v2v_convert_guestfs.linux.tools_removal.names import hypervisor_of
from v2v_convert_guestfs.session import Session

_UNITS = ("/lib/systemd/system", "/usr/lib/systemd/system", "/etc/systemd/system")
_KINDS = (".service", ".socket", ".timer", ".path", ".mount")
_SCRIPTS = ("/etc/init.d", "/etc/rc.d/init.d")
_DROP_IN = "/etc/systemd/system/{unit}.d/v2v.conf"
#: Programs that disable an init script, with the word for that after its name.
_DISABLING = (("/usr/sbin/update-rc.d", "disable"), ("/sbin/chkconfig", "off"), ("/usr/sbin/chkconfig", "off"))
_WHY = "it belongs to the old hypervisor, and other packages depend on it"


def disable(session: Session, files: GuestFiles, packages: PackageManager, name: str) -> None:
    """Keep the services of a package of tools from starting on KVM. A failure is only a warning.

    :raises ConversionError: a file of the guest cannot be written.
    """
    try:
        places = [posixpath.split(path) for path in packages.files_of(name)]
    except RuntimeError as err:
        session.warn(f"the services of {name} cannot be disabled in the guest", err)
        return
    units = {file for directory, file in places if directory in _UNITS and file.endswith(_KINDS)}
    scripts = {file for directory, file in places if directory in _SCRIPTS}
    if has_systemd(session, files):
        # systemd makes a unit of each init script.
        units |= {f"{script}.service" for script in scripts}
        for unit in sorted(units):
            _add_condition(files, unit, hypervisor_of(name))
        return
    for script in sorted(scripts):
        if has_openrc(session):
            for link in files.glob(f"{RUNLEVELS}/*/{script}"):
                files.remove(link, what="does not run at boot", why=_WHY)
        else:
            _disable_script(session, files, script)


def _add_condition(files: GuestFiles, unit: str, hypervisor: str) -> None:
    for directory in _UNITS:
        data = files.read(f"{directory}/{unit}")
        if data and sections(data).get("Unit", {}).get("ConditionVirtualization") == hypervisor:
            return
    files.create(
        _DROP_IN.format(unit=unit),
        f"# Written by virt-v2v.\n[Unit]\nConditionVirtualization={hypervisor}\n".encode(),
        mode=0o644,
        what=f"{unit} does not start on KVM",
        why=_WHY,
    )


def _disable_script(session: Session, files: GuestFiles, script: str) -> None:
    for program, word in _DISABLING:
        if files.resolve(program):
            try:
                session.run([program, script, word])
            except RuntimeError as err:
                session.warn(f"the service {script} cannot be disabled in the guest", err)
            else:
                session.changed(f"/etc/init.d/{script}", "does not run at boot", _WHY)
            return
    session.report.warning(f"the service {script} of the old hypervisor's tools still starts in the guest: disable it")
