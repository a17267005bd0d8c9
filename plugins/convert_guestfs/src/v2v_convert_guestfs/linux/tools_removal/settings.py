# SPDX-License-Identifier: GPL-2.0-or-later
"""Settings that the old hypervisor or its tools left in files of the guest, and that do harm on KVM.

* Citrix XenServer's tools disable the text consoles in ``/etc/inittab`` and add one on Xen's console.
* SUSE's ``/etc/sysconfig/kernel`` lists drivers for the initramfs that only a paravirtual Xen guest has.
* kudzu waits at boot for an answer about changed hardware.
"""

from __future__ import annotations

import re

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.editors import shell
from v2v_convert_guestfs.session import Session

_DISABLED_GETTY = re.compile(rb"^#[ \t]*(?=[0-9]:[0-9]*:respawn:[^\n]*getty)", re.MULTILINE)
_MODULE_LISTS = re.compile(r"INITRD_MODULES|DOMU_INITRD_MODULES")
#: A word between spaces or quotes, with the spaces after it.
_XEN_MODULE = re.compile(r"(?<![^\s\"'])(?:xennet|xen[-_]vnif|xenblk|xen[-_]vbd)(?:[ \t]+|(?=[\"'])|$)")
_CHKCONFIG = "/sbin/chkconfig"


def restore_terminals(files: GuestFiles) -> None:
    """Enable logins on the text consoles again, which the XenServer tools disabled.

    :raises ConversionError: the file cannot be written.
    """
    files.edit(
        "/etc/inittab",
        uncomment_terminals,
        what="logins on the text consoles are back",
        why="the XenServer tools had put them aside",
    )


def forget_xen_modules(files: GuestFiles) -> None:
    """Remove the drivers of Xen from SUSE's lists of modules for the initramfs.

    :raises ConversionError: the file cannot be written.
    """
    files.edit(
        "/etc/sysconfig/kernel",
        without_xen_modules,
        what="Xen's drivers are no longer requested",
        why="ordinary kernels do not have them",
    )


def disable_kudzu(session: Session, files: GuestFiles) -> None:
    """Keep kudzu from running at boot; warn if that fails."""
    if files.resolve("/etc/init.d/kudzu") is None or files.resolve(_CHKCONFIG) is None:
        return
    try:
        session.run([_CHKCONFIG, "kudzu", "off"])
    except RuntimeError as err:
        session.warn("kudzu cannot be switched off, and may ask about new hardware at boot", err)
    else:
        session.changed("/etc/init.d/kudzu", "does not run at boot", "it would wait for answers about new hardware")


def uncomment_terminals(data: bytes) -> bytes:
    """Uncomment the lines of inittab(5) that run a getty on a text console."""
    return _DISABLED_GETTY.sub(b"", data)


def without_xen_modules(data: bytes) -> bytes:
    """Return SUSE's /etc/sysconfig/kernel with the drivers of Xen removed from its lists of modules."""
    return shell.edit_values(data, _MODULE_LISTS, _without_xen)


def _without_xen(value: str) -> str:
    new = _XEN_MODULE.sub("", value)
    return re.sub(r"[ \t]+(?=[\"']$)", "", new) if new != value else value
