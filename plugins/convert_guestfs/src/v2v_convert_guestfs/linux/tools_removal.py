# SPDX-License-Identifier: GPL-2.0-or-later
"""Remove what belongs to the old hypervisor. Nothing here is fatal: what stays does no harm, or little."""

from __future__ import annotations

import re

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.editors import shell
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.packages import PackageManager
from v2v_convert_guestfs.session import Session

#: Packages by hypervisor, as patterns of their whole names.
_PACKAGES = {
    "VMware": r"open-vm-tools(?:-.*)?|vmware-tools-.*|VMwareTools|kmod-vmware-tools.*|vmware-open-vm-tools.*",
    "VirtualBox": r"virtualbox-guest-(?:additions.*|utils.*|x11.*|dkms.*|source|modules.*)",
    "Citrix XenServer": r"xe-guest-utilities.*",
    "Parallels": r"parallels-tools.*",
}
_WHY = "it belongs to the old hypervisor"


def remove_tools(session: Session, files: GuestFiles, packages: PackageManager) -> None:
    """Remove the tools of every known hypervisor: packages first, then what was installed by hand."""
    _remove_packages(session, packages)
    _uninstall_virtualbox(session, files)
    _uninstall_vmware(session, files)
    _uninstall_parallels(session, files)


def tools_installed(names: frozenset[str]) -> list[str]:
    """List the packages to remove, of those that are installed."""
    pattern = re.compile("|".join(f"(?:{text})" for text in _PACKAGES.values()))
    found = sorted(name for name in names if pattern.fullmatch(name))
    if "ubuntu-server" in names:
        # It requires open-vm-tools, which does nothing on KVM; the user would lose more than is gained.
        found = [name for name in found if name != "open-vm-tools"]
    return found


def _remove_packages(session: Session, packages: PackageManager) -> None:
    found = tools_installed(packages.installed)
    if not found:
        return
    try:
        packages.remove(found)
    except RuntimeError as err:
        session.not_done(f"the packages {', '.join(found)} cannot be removed from the guest", err)
        return
    for name in found:
        session.changed(name, "package removed", _WHY)


def _uninstall_virtualbox(session: Session, files: GuestFiles) -> None:
    config = files.read("/var/lib/VBoxGuestAdditions/config")
    directory = shell.value(config, "INSTALL_DIR") if config else None
    if not directory or not directory.startswith("/"):
        return
    program = f"{directory}/uninstall.sh"
    if files.resolve(program):
        _run(session, [program], "the VirtualBox Guest Additions")


def _uninstall_vmware(session: Session, files: GuestFiles) -> None:
    program = "/usr/bin/vmware-uninstall-tools.pl"
    if files.resolve(program) is None:
        return
    # It would rebuild every initramfs, in vain.
    answers = b"".join(b"remove_answer RESTORE_RAMDISK_%s\n" % name for name in (b"CMD", b"KERNELS", b"ONECALL"))
    files.edit(
        "/etc/vmware-tools/locations",
        lambda data: data + answers,
        what="the initramfs is not restored",
        why="the uninstaller would rebuild it in vain",
    )
    _run(session, [program], "the VMware Tools")


def _uninstall_parallels(session: Session, files: GuestFiles) -> None:
    program = "/usr/lib/parallels-tools/install"
    if files.resolve(program):
        _run(session, [program, "-r"], "the Parallels Tools")


def _run(session: Session, argv: list[str], what: str) -> None:
    try:
        session.run(argv)
    except RuntimeError as err:
        session.report.warning(f"{what} cannot be uninstalled from the guest: {brief(err)}")
    else:
        session.changed(argv[0], f"uninstalled {what}", _WHY)
