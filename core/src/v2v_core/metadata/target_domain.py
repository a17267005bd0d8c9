# SPDX-License-Identifier: GPL-2.0-or-later
"""The target as a libvirt domain (https://libvirt.org/formatdomain.html), made from ``metadata.out``.

The domain is written from scratch and not copied from the source's elements: the controllers, addresses and host
devices of another hypervisor would keep the guest from starting. The title, the description and the elements that other
programs put into ``<metadata>`` are kept.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from v2v_core.metadata.libvirt_devices import Devices
from v2v_core.metadata.names import escape, libvirt_name
from v2v_core.metadata.osinfo import osinfo_database, osinfo_id
from v2v_core.metadata.target import target_from
from v2v_core.metadata.tree import GUEST, NAMESPACE, OSINFO_NAMESPACE, add, child, new_root, read_tree, to_bytes
from v2v_core.metadata.validation import check_tree
from v2v_core.metadata.windows_domain import add_hyperv, add_timers, is_windows, knows_hyperv
from v2v_core.model import Firmware, TargetGuest

if TYPE_CHECKING:
    from lxml import etree

    from v2v_core.events import Reporter

#: Libvirt's names of architectures that libguestfs names differently.
_ARCHITECTURES = {**dict.fromkeys(("i386", "i486", "i586"), "i686"), "amd64": "x86_64", "arm64": "aarch64"}
_MACHINES = {"i440fx": "pc"}
_MEMORY_MINIMUM_KIB = 1024


def libvirt_domain(
    path: Path,
    *,
    name: str,
    domain_type: str = "kvm",
    host_features: Iterable[str] | None = None,
    floppies: bool | None = None,
    report: Reporter | None = None,
) -> bytes:
    """Return the target as libvirt domain XML (https://libvirt.org/formatdomain.html), UTF-8.

    The XML has no elements of this project and no sources of disks. Before it can be defined, the output adds to each
    ``<disk>`` a ``<source>`` and the format (``<driver type=…>``). ``<target dev=…>`` tells which disk it is: it is
    ``TargetDisk.device``. The XML contains the password of the display if the guest has one, so keep it from other
    users. In ``v2v_output_finalize``::

        domain = libvirt_domain(request.metadata, name=request.settings.name, report=request.report)

    :param path: ``metadata.out``.
    :param name: name of the domain; characters that libvirt refuses are replaced.
    :param domain_type: hypervisor of the target, as in ``<domain type=…>``.
    :param host_features: features that the target hypervisor offers (``acpi``, ``apic``, ``pae``); None for those of
        KVM on the architecture of the guest.
    :param floppies: the target has floppy drives; None for what KVM has on the architecture of the guest.
    :param report: gets a warning for each thing that libvirt domain XML cannot express, or that the target lacks.
    :raises MetadataError: the file is missing, damaged or not valid.
    """
    warn, debug = (report.warning, report.debug) if report is not None else (_ignore, _ignore)
    root = read_tree(path)
    check_tree(root, path, target=True)
    target = target_from(root, path)
    arch = _ARCHITECTURES.get(target.capabilities.arch, target.capabilities.arch)
    intel = arch in {"x86_64", "i686"}
    domain = new_root("domain", {"type": domain_type})
    add(domain, "name", text=libvirt_name(name))
    if target.source.genid is not None and root.find("genid") is not None:
        add(domain, "genid", text=target.source.genid)
    for tag in ("title", "description"):
        _keep(root, domain, tag)
    _metadata(root, domain, target, debug)
    # half a KiB more than at the source does no harm, half a KiB less might
    memory = str(max(-(-target.source.memory // 1024), _MEMORY_MINIMUM_KIB))
    for tag in ("memory", "currentMemory"):
        add(domain, tag, {"unit": "KiB"}, memory)
    add(domain, "vcpu", text=str(max(target.source.cpu.count, 1)))
    _os(domain, target, arch)
    if host_features is None:
        host_features = ("acpi", "apic", *(("pae",) if arch == "i686" else ())) if intel else ()
    kvm = domain_type == "kvm"
    _features(domain, target, frozenset(host_features), hyperv=intel and kvm)
    _cpu(domain, target, arch, warn)
    clock = add(domain, "clock", {"offset": "utc" if target.capabilities.rtc_utc else "localtime"})
    if intel and is_windows(target):
        add_timers(clock, target, kvm=kvm)
    for tag, action in (("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "restart")):
        add(domain, tag, text=action)
    if floppies is None:
        floppies = intel
    Devices(add(domain, "devices"), target, intel=intel, floppies=floppies, warn=warn).write()
    return to_bytes(domain)


def _keep(root: etree._Element, domain: etree._Element, tag: str) -> None:
    kept = root.findtext(tag)
    # libvirt refuses a newline in a title
    if kept is not None and kept.strip():
        add(domain, tag, text=kept.strip() if tag == "description" else " ".join(kept.split()))


def _ignore(_: str) -> None:
    pass


def _metadata(root: etree._Element, domain: etree._Element, target: TargetGuest, debug: Callable[[str], None]) -> None:
    """Keep the metadata of other programs, and add libosinfo's identifier of the operating system."""
    metadata = add(domain, "metadata")
    short_id = target.inspection.osinfo
    database = osinfo_database()
    known = osinfo_id(short_id, database) if short_id and database else None
    if short_id and database and known is None:
        # nothing depends on it: management tools show a general icon instead
        debug(f"libosinfo's database does not have the operating system {short_id!r}")
    seen: set[str] = set()
    for kept in root.iterfind("metadata/*"):
        namespace = kept.tag[1:].partition("}")[0] if kept.tag.startswith("{") else ""
        # libvirt refuses elements without a namespace, and two of one namespace
        if not namespace or namespace in seen or kept.tag == GUEST or namespace == NAMESPACE:
            continue
        if namespace == OSINFO_NAMESPACE and known is not None:
            continue
        seen.add(namespace)
        metadata.append(copy.deepcopy(kept))
    if known is not None:
        add(add(metadata, f"{{{OSINFO_NAMESPACE}}}libosinfo"), f"{{{OSINFO_NAMESPACE}}}os", {"id": known})
    if not len(metadata):
        domain.remove(metadata)


def _os(domain: etree._Element, target: TargetGuest, arch: str) -> None:
    machine = _MACHINES.get(target.capabilities.machine, target.capabilities.machine)
    uefi = target.firmware is Firmware.UEFI
    element = add(domain, "os", {"firmware": "efi" if uefi else None})
    add(element, "type", {"arch": arch, "machine": machine}, "hvm")
    if uefi:
        secure = target.source.secure_boot
        firmware = add(element, "firmware")
        if secure:
            add(firmware, "feature", {"enabled": "yes", "name": "enrolled-keys"})
        add(firmware, "feature", {"enabled": "yes" if secure else "no", "name": "secure-boot"})


def _features(domain: etree._Element, target: TargetGuest, host: frozenset[str], *, hyperv: bool) -> None:
    """Write the features that the source had and the target has; ACPI and the APIC even if the source had neither.

    :param hyperv: the target has Hyper-V's interface.
    """
    plain = frozenset(("acpi", "apic", "pae"))
    wanted = (frozenset(target.source.features) | {"acpi", "apic"}) & host & plain
    # the guest finds UEFI's tables through ACPI
    if target.firmware is Firmware.UEFI:
        wanted |= {"acpi"}
    wanted |= {"pae"} & host
    hyperv = hyperv and knows_hyperv(target)
    if wanted or hyperv:
        features = add(domain, "features")
        for feature in sorted(wanted):
            add(features, feature)
        if hyperv:
            add_hyperv(features)


def _cpu(domain: etree._Element, target: TargetGuest, arch: str, warn: Callable[[str], None]) -> None:
    cpu, topology = target.source.cpu, target.source.cpu.topology
    model = (cpu.model or "").strip()
    if model:
        # no host has all the features of qemu64
        check = "none" if model == "qemu64" else None
        element = add(domain, "cpu", {"match": "minimum", "check": check})
        add(element, "model", {"fallback": "allow"}, escape(model))
        if cpu.vendor:
            add(element, "vendor", text=escape(cpu.vendor))
    else:
        # there are no named CPU models for Arm, and so libvirt has no host-model
        passthrough = arch == "aarch64"
        element = add(domain, "cpu", {"mode": "host-passthrough" if passthrough else "host-model"})
    if topology is None:
        return
    if topology.sockets * topology.cores * topology.threads != cpu.count:
        warn(
            f"the CPU topology of the source ({topology.sockets} sockets, {topology.cores} cores,"
            f" {topology.threads} threads) does not make {cpu.count} CPUs and is left out"
        )
        return
    parts = {"sockets": topology.sockets, "cores": topology.cores, "threads": topology.threads}
    add(child(domain, "cpu"), "topology", {key: str(number) for key, number in parts.items()})
