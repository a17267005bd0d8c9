# SPDX-License-Identifier: GPL-2.0-or-later
"""Remove the tools of the old hypervisor. A failure is only a warning: tools that remain do little or no harm.

Only they are removed: tools that other packages depend on stay, and their services are disabled.

Hyper-V's daemons (hyperv-daemons, hypervkvpd) are kept, because they start only on Hyper-V, and distributions install
them everywhere. X drivers (xorg-x11-drv-vmware) are kept, because QEMU has such a graphics card, too.
"""

from __future__ import annotations

from collections.abc import Sequence

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.packages import PackageManager
from v2v_convert_guestfs.linux.tools_removal import services, settings, uninstallers, vmware
from v2v_convert_guestfs.linux.tools_removal.initramfs_programs import initramfs_programs_at_rest
from v2v_convert_guestfs.linux.tools_removal.names import libraries_installed, tools_installed
from v2v_convert_guestfs.session import Session
from v2v_core.api import ChangeKind

__all__ = ["libraries_installed", "remove_tools", "tools_installed"]

_WHY = "it belongs to the old hypervisor"
#: Programs of the tools that run as services.
_PROGRAMS = (
    *("/usr/bin/vmtoolsd", "/usr/sbin/vmtoolsd", "/usr/sbin/VBoxService", "/usr/bin/VBoxService"),
    *("/usr/sbin/xe-daemon", "/usr/bin/prltoolsd"),
)
#: How many packages a message names.
_LISTED = 10


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
    names = [*tools, *libraries_installed(packages.installed)]
    if packages.unmanaged and not packages.installed:
        _warn_of_programs(session, files, packages)
    if not names:
        return
    if packages.unmanaged:
        for name in names:
            session.report.warning(
                f"the package {name} stays in the guest: {packages.unmanaged}. Its services do not start on KVM; "
                "remove it in the converted guest"
            )
            services.disable(session, files, packages, name)
        return
    with initramfs_programs_at_rest(session, files):
        needed = _remove(session, packages, names)
    for name, dependents in needed.items():
        because = f"The package {name} stays in the guest: needed by {_listed(dependents)}"
        if name in tools:
            because += ". Its services do not start on KVM"
            services.disable(session, files, packages, name)
        session.report.info(because)
    if any(name.startswith("xe-guest-utilities") and name not in packages.installed for name in tools):
        settings.restore_terminals(files)


def _warn_of_programs(session: Session, files: GuestFiles, packages: PackageManager) -> None:
    """Warn about tools in a guest whose packages cannot be listed."""
    found = [path for path in _PROGRAMS if files.resolve(path)]
    if found:
        session.report.warning(
            f"the tools of the old hypervisor ({_listed(found)}) stay in the guest: {packages.unmanaged}; remove them "
            "in the converted guest"
        )


def _remove(session: Session, packages: PackageManager, names: list[str]) -> dict[str, tuple[str, ...]]:
    """Remove those of the packages that no others depend on; return the rest, each with its dependents."""
    before = packages.installed
    needed: dict[str, tuple[str, ...]] = {}
    try:
        needed = packages.needed(names)
        going = [name for name in names if name not in needed]
        if going:
            session.report.info(f"These packages of the old hypervisor are removed from the guest: {', '.join(going)}")
            packages.remove(going)
    except RuntimeError as err:
        left = [name for name in names if name in packages.installed and name not in needed]
        session.warn(f"the packages {', '.join(left)} cannot be removed from the guest", err)
    gone = before - packages.installed
    for name in names:
        if name in gone:
            session.changed(name, "package removed", _WHY, kind=ChangeKind.PACKAGE)
    along = sorted(gone - set(names))
    for name in along:
        why = "the removal of the old hypervisor's tools took it along"
        session.changed(name, "package removed", why, kind=ChangeKind.PACKAGE)
    if along:
        session.report.warning(
            f"the removal of the old hypervisor's tools took along {_listed(along)}: install them again in the guest"
        )
    return needed


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_LISTED])
    return f"{shown} and {len(names) - _LISTED} more" if len(names) > _LISTED else shown
