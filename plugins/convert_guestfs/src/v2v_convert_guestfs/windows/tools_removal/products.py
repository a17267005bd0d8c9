# SPDX-License-Identifier: GPL-2.0-or-later
"""The tools of other hypervisors: how they are called, and the services and drivers that they bring along.

Drivers of disks and network cards are not in the lists, except those of Xen and Parallels. They load only where their
device is, and a guest that goes back to its old hypervisor, or that has such a device here as well, starts from them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from re import Pattern


@dataclass(frozen=True, kw_only=True)
class Product:
    """The tools of one hypervisor.

    :param title: for messages and names of scripts. :param display: of the names in the list of installed programs.
    :param publisher: of the publisher there, if it is stated. :param services: programs that start with Windows.
    :param drivers: that are of no use without the hypervisor. They may be filters of other devices.
    :param msi_options: further properties for the uninstallation. :param silent: the option of an uninstaller that is
        no MSI, to ask nothing. :param uninstalled: False if uninstalling takes away drivers that KVM needs.
    :param directories: that are removed where uninstalling fails, as are :param keys: of the registry, and
    :param leftover_services: that are not disabled before.
    :param run_values: of ``CurrentVersion\\Run``, which start programs at each logon.
    """

    title: str
    display: Pattern[str]
    publisher: Pattern[str]
    services: tuple[str, ...] = ()
    drivers: tuple[str, ...] = ()
    msi_options: tuple[str, ...] = ()
    silent: str | None = None
    uninstalled: bool = True
    directories: tuple[str, ...] = ()
    run_values: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    leftover_services: tuple[str, ...] = ()


VMWARE = Product(
    title="VMware Tools",
    display=re.compile(r"VMware Tools\b", re.IGNORECASE),
    publisher=re.compile(r"VMware|Broadcom", re.IGNORECASE),
    services=(
        *("VMTools", "VGAuthService", "vm3dservice", "VMUpgradeHelper", "GISvc", "TPAutoConnSvc"),
        *("TPVCGateway", "VMware Physical Disk Helper Service"),
        *("VMwareCAFCommAmqpListener", "VMwareCAFManagementAgentHost"),
    ),
    drivers=(
        *("vmmemctl", "vmhgfs", "vmrawdsk", "vmdebug", "vmci", "vsock", "vmmouse", "vmusbmouse"),
        *("vsepflt", "vnetflt", "vnetWFP", "glxgi"),
    ),
    directories=(r"%ProgramFiles%\VMware\VMware Tools", r"%CommonProgramFiles%\VMware\Drivers"),
    run_values=("VMware Tools", "VMware User Process"),
    # The provider of snapshots. While it is registered, its service has to be there, or backups by VSS fail.
    leftover_services=("vmvss",),
    keys=(r"HKLM\SYSTEM\CurrentControlSet\Services\VSS\Providers\{564D7761-7265-2056-5353-2050726F7669}",),
)
XEN = Product(
    title="Xen tools",
    display=re.compile(
        r"Red Hat Paravirtualized Xen Drivers|AWS PV Drivers|Xen PV Drivers|"
        r"(?:Citrix|XenServer|XCP-ng)\b.*\b(?:Tools|Guest Agent|Management Agent|PV Drivers|VSS Provider)",
        re.IGNORECASE,
    ),
    publisher=re.compile(
        r"Red Hat|Citrix|Cloud Software Group|XenServer|Xen Project|XCP-ng|Vates|Amazon", re.IGNORECASE
    ),
    services=(
        *("xensvc", "xenlite", "xenagent", "XenInstall", "XenPVInstall", "InstallAgent", "xenbus_monitor"),
        "AWSLiteAgent",
    ),
    drivers=(
        *("rhelscsi", "rhelfltr", "xen", "xenbus", "xenfilt", "xendisk", "xenvbd", "xencrsh", "scsifilt", "xenevtchn"),
        *("xennet", "xennet6", "xenvif", "xeniface", "xenhid", "xenvkbd", "xencons", "xenutil", "xenstub"),
    ),
)
PARALLELS = Product(
    title="Parallels Tools",
    display=re.compile(r"(?:Parallels|Virtuozzo) (?:Guest )?Tools", re.IGNORECASE),
    publisher=re.compile(r"Parallels|Virtuozzo|Corel|Alludo", re.IGNORECASE),
    drivers=(
        *("prl_boot", "prl_dd", "prl_eth5", "prl_fs", "prl_memdev", "prl_mouf", "prl_pv32", "prl_pv64", "prl_scsi"),
        *("prl_sound", "prl_strg", "prl_tg", "prl_time", "prl_uprof", "prl_va"),
    ),
    msi_options=("PREVENT_REBOOT=Yes", "LAUNCHED_BY_SETUP_EXE=Yes"),
)
VIRTUALBOX = Product(
    title="VirtualBox Guest Additions",
    display=re.compile(r"VirtualBox Guest Additions", re.IGNORECASE),
    publisher=re.compile(r"Oracle|Sun Microsystems|innotek", re.IGNORECASE),
    services=("VBoxService",),
    drivers=("VBoxGuest", "VBoxMouse", "VBoxSF"),
    silent="/S",
)
NUTANIX = Product(
    title="Nutanix Guest Tools",
    display=re.compile(r"Nutanix Guest (?:Tools|Agent)", re.IGNORECASE),
    publisher=re.compile(r"Nutanix", re.IGNORECASE),
    services=("Nutanix Guest Agent", "Nutanix Self Service Restore Gateway"),
    # Its bundle takes along the virtio drivers.
    uninstalled=False,
)
PRODUCTS = (VMWARE, XEN, PARALLELS, VIRTUALBOX, NUTANIX)
#: Windows has the services of Hyper-V itself. With Hyper-V, they start by themselves; elsewhere, they only fail to.
HYPERV_SERVICES = (
    *("vmicguestinterface", "vmicheartbeat", "vmickvpexchange", "vmicrdv", "vmicshutdown", "vmictimesync"),
    *("vmicvmsession", "vmicvss"),
)
#: Every driver that must not be in a list of filters any more, in lower case.
FILTERS = frozenset(driver.lower() for product in PRODUCTS for driver in product.drivers)
