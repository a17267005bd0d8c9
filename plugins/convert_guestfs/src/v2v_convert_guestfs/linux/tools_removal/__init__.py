# SPDX-License-Identifier: GPL-2.0-or-later
"""Remove the tools of the old hypervisor. A failure is only a warning: tools that remain do little or no harm.

Hyper-V's daemons (hyperv-daemons, hypervkvpd) are kept, because they start only on Hyper-V, and distributions install
them everywhere. X drivers (xorg-x11-drv-vmware) are kept, because QEMU has such a graphics card, too.
"""

from __future__ import annotations

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.packages import PackageManager
from v2v_convert_guestfs.linux.tools_removal import settings, uninstallers, vmware
from v2v_convert_guestfs.linux.tools_removal.initramfs_programs import initramfs_programs_at_rest
from v2v_convert_guestfs.linux.tools_removal.names import libraries_installed, tools_installed
from v2v_convert_guestfs.session import Session

__all__ = ["libraries_installed", "remove_tools", "tools_installed"]

_WHY = "it belongs to the old hypervisor"


def remove_tools(session: Session, files: GuestFiles, packages: PackageManager) -> None:
    """Remove the tools of every known hypervisor: first packages, then tools that were installed without a package.

    :raises ConversionError: a file of the guest cannot be written.
    """
    vmware.disable_repositories(files)
    _remove_packages(session, files, packages)
    uninstallers.uninstall_virtualbox(session, files)
    vmware.uninstall(session, files)
    uninstallers.uninstall_parallels(session, files)
    settings.forget_xen_modules(files)
    settings.disable_kudzu(session, files)


def _remove_packages(session: Session, files: GuestFiles, packages: PackageManager) -> None:
    tools = tools_installed(packages.installed)
    libraries = libraries_installed(packages.installed)
    if not tools and not libraries:
        return
    with initramfs_programs_at_rest(session, files):
        if tools:
            _remove_tools(session, packages, tools)
        for name in libraries:
            _remove_library(session, packages, name)
    if any(name.startswith("xe-guest-utilities") and name not in packages.installed for name in tools):
        settings.restore_terminals(files)


def _remove_tools(session: Session, packages: PackageManager, names: list[str]) -> None:
    try:
        packages.remove(names)
    except RuntimeError as err:
        left = [name for name in names if name in packages.installed]
        session.warn(f"the packages {', '.join(left)} cannot be removed from the guest", err)
    for name in names:
        if name not in packages.installed:
            session.changed(name, "package removed", _WHY)


def _remove_library(session: Session, packages: PackageManager, name: str) -> None:
    """Remove a package unless other packages depend on it. Keeping it does no harm."""
    try:
        packages.remove([name], dependents=False)
    except RuntimeError:
        session.report.info(f"The package {name} stays in the guest: others depend on it")
    else:
        session.changed(name, "package removed", _WHY)
