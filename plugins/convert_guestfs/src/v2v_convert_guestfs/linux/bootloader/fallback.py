# SPDX-License-Identifier: GPL-2.0-or-later
r"""The fallback loader: UEFI starts \EFI\BOOT\BOOTX64.EFI on a disk that no entry in the NVRAM names.

The NVRAM of the new machine is empty, so a converted guest boots through this file. If the guest does not have it, the
conversion creates it from the guest's own loader and leaves it there. An NVRAM entry written by a first-boot script
would not replace it: the first boot needs the fallback, and so does every later machine with an empty NVRAM (a restored
backup, a copy of the disk).

The copies must not become stale when the guest updates its boot loader. The first of these that is possible is used:

1. shim with its fallback program (fbx64.efi), which starts the loader that the vendor's BOOTX64.CSV names in the
   vendor's directory, and adds it to the NVRAM. The copies only lead to files that the guest keeps up to date.
2. GRUB, started by shim if there is one. Its configuration is not copied: a grub.cfg here loads the vendor's. Debian is
   configured to install GRUB here as well from now on, because a GRUB 2 older than its modules in /boot does not start.
3. GRUB legacy (RHEL 6). It cannot load another configuration, so its configuration is copied and the user is warned.
"""

from __future__ import annotations

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.editors import debconf
from v2v_convert_guestfs.session import Session

#: Possible mount points of the EFI system partition.
ESPS = ("/boot/efi", "/efi", "/boot")
_WHY = "the new machine's NVRAM is empty"
#: The suffixes of loaders, by architecture. A PC may have 32-bit or 64-bit firmware, independent of the guest.
_SUFFIXES = {"x86_64": ("x64", "ia32"), "aarch64": ("aa64",), "arm": ("arm",), "riscv64": ("riscv64",)}
#: Vendor directories whose names differ from libguestfs's name of the distribution.
_VENDORS = {
    "rhel": ("redhat",),
    "scientificlinux": ("scientific", "redhat"),
    "oraclelinux": ("redhat", "oracle"),
    "circle": ("circle", "centos"),
    "sles": ("sles", "sle", "sle_hpc", "suse"),
    "suse-based": ("sles", "opensuse"),
    "linuxmint": ("linuxmint", "ubuntu"),
    "kalilinux": ("kali",),
}
_MOST_VENDORS = 50
_NOT_OURS = frozenset({"boot", "microsoft", "tools", "memtest86"})


def vendor_order(directory: str, distro: str) -> tuple[int, str]:
    """Return the sort key of a vendor directory: the distribution's own first, BOOT and those of other systems last."""
    name = directory.rstrip("/").rpartition("/")[2].lower()
    own = _VENDORS.get(distro, (distro,))
    return (own.index(name) if name in own else 99 if name in _NOT_OURS else 50, name)


def esp_directories(session: Session) -> list[str]:
    """Return the paths of the EFI directories on the guest's EFI system partitions: normally one or none."""
    return [directory for esp in ESPS if (directory := _child(session, esp, "EFI")) is not None]


def ensure(session: Session, files: GuestFiles) -> None:
    """Make sure that there is a fallback loader that leads to the guest's own loader, or else warn."""
    suffixes = _SUFFIXES.get(_family(session.inspection.arch), ())
    root = next(iter(esp_directories(session)), None)
    if root is None or not suffixes:
        session.report.warning(
            "the EFI system partition of the guest was not found: its boot loader may have to be chosen in the "
            "firmware's setup"
        )
        return
    vendors = sorted(
        (f"{root}/{name}" for name in listed(session, root) if name.lower() not in _NOT_OURS),
        key=lambda directory: vendor_order(directory, session.inspection.distro),
    )[:_MOST_VENDORS]
    try:
        done = [_ensure(session, files, root, suffix, vendors) for suffix in suffixes]
    except RuntimeError as err:
        session.warn(f"the fallback loader in {root}/BOOT in the guest could not be written", err)
        return
    if not any(done):
        session.report.warning(
            f"no boot loader was found below {root} in the guest: it may have to be chosen in the firmware's setup"
        )


def ensure_systemd_boot(session: Session) -> None:
    """Make sure that there is a copy of systemd-boot as fallback loader. bootctl keeps that up to date."""
    root = next(iter(esp_directories(session)), None)
    own = _child(session, root, "systemd") if root else None
    if root is None or own is None:
        return
    place = _child(session, root, "BOOT") or f"{root}/BOOT"
    there = _by_lower_name(session, place)
    for name in listed(session, own):
        suffix = name.lower().removeprefix("systemd-boot").removesuffix(".efi")
        if name.lower() == f"systemd-boot{suffix}.efi" and f"boot{suffix}.efi" not in there:
            _copy(session, f"{own}/{name}", f"{place}/BOOT{suffix.upper()}.EFI")


def _ensure(session: Session, files: GuestFiles, root: str, suffix: str, vendors: list[str]) -> bool:
    """Copy the missing files for one architecture, and return whether there is a fallback loader now."""
    place = _child(session, root, "BOOT") or f"{root}/BOOT"
    loader, there = f"BOOT{suffix.upper()}.EFI", _by_lower_name(session, place)
    if loader.lower() in there:
        _complete(session, files, place, there, suffix, vendors)
        return True
    for vendor in vendors:
        own = _by_lower_name(session, vendor)
        shim, grub = _named(own, "shim", suffix), _named(own, "grub", suffix)
        helper, listed = f"fb{suffix}.efi", own.get(f"boot{suffix}.csv")
        if shim and listed and (helper in own or helper in there):
            _copy(session, f"{vendor}/{shim}", f"{place}/{loader}")
            for name in (helper, f"mm{suffix}.efi"):
                if name in own and name not in there:
                    _copy(session, f"{vendor}/{own[name]}", f"{place}/{name}")
            return True
        if grub is None:
            continue
        _copy(session, f"{vendor}/{shim or grub}", f"{place}/{loader}")
        if "grub.conf" in own and "grub.cfg" not in own:
            _copy(session, f"{vendor}/{own['grub.conf']}", f"{place}/BOOT{suffix.upper()}.conf")
            session.report.warning(
                f"the guest boots with the copy of its boot menu in {place}, which kernel updates do not change: "
                "create an entry for its boot loader with efibootmgr in the guest"
            )
            return True
        if shim:
            _copy_grub(session, vendor, own, place, suffix)
        _lead_on(session, files, vendor, own, place, there)
        _keep_up_to_date(files)
        return True
    return False


def _complete(
    session: Session, files: GuestFiles, place: str, there: dict[str, str], suffix: str, vendors: list[str]
) -> None:
    """Complete a fallback shim that has nothing to start, if a vendor's directory has the same shim."""
    if f"fb{suffix}.efi" in there or "fallback.efi" in there or f"grub{suffix}.efi" in there or "grub.efi" in there:
        return
    size = session.handle.filesize(f"{place}/{there[f'boot{suffix}.efi']}")
    for vendor in vendors:
        own = _by_lower_name(session, vendor)
        shim = _named(own, "shim", suffix)
        if shim and session.handle.filesize(f"{vendor}/{shim}") == size:
            _copy_grub(session, vendor, own, place, suffix)
            _lead_on(session, files, vendor, own, place, there)
            _keep_up_to_date(files)
            return


def _copy_grub(session: Session, vendor: str, own: dict[str, str], place: str, suffix: str) -> None:
    """Copy the programs that shim starts: GRUB (SUSE also has grub.efi), and MokManager for unsigned loaders."""
    for name in (f"grub{suffix}.efi", "grub.efi", f"mm{suffix}.efi", "mokmanager.efi"):
        if name in own:
            _copy(session, f"{vendor}/{own[name]}", f"{place}/{own[name]}")


def _lead_on(
    session: Session, files: GuestFiles, vendor: str, own: dict[str, str], place: str, there: dict[str, str]
) -> None:
    """Write a grub.cfg that loads the vendor's, for a GRUB that reads it from its own directory.

    Most have the vendor's path built in and do not need this.
    """
    if "grub.cfg" not in own or "grub.cfg" in there:
        return
    directory = "/" + "/".join(vendor.split("/")[-2:])
    content = f"set prefix=($root){directory}\nconfigfile $prefix/{own['grub.cfg']}\n"
    files.create(f"{place}/grub.cfg", content.encode(), mode=0o700, what=f"loads {vendor}/grub.cfg", why=_WHY)


def _keep_up_to_date(files: GuestFiles) -> None:
    files.edit(
        "/var/cache/debconf/config.dat",
        lambda data: debconf.set_value(data, "grub2/force_efi_extra_removable", "true"),
        what="updates of GRUB also change the fallback loader",
        why="a loader that is older than its modules does not start",
    )


def _named(own: dict[str, str], name: str, suffix: str) -> str | None:
    """Return a loader named with the suffix of the architecture, or without one (RHEL 6, SUSE: always 64-bit)."""
    return own.get(f"{name}{suffix}.efi") or (own.get(f"{name}.efi") if suffix != "ia32" else None)


def _copy(session: Session, old: str, new: str) -> None:
    session.handle.mkdir_p(new.rpartition("/")[0])
    session.handle.cp(old, new)
    session.changed(new, f"copied from {old}", _WHY)


def _child(session: Session, directory: str, name: str) -> str | None:
    """Return the path of a subdirectory, or None. The case of the name does not matter, as on FAT."""
    spelled = _by_lower_name(session, directory).get(name.lower())
    path = f"{directory}/{spelled}"
    return path if spelled is not None and session.handle.is_dir(path) else None


def _by_lower_name(session: Session, directory: str) -> dict[str, str]:
    return {name.lower(): name for name in listed(session, directory)}


def listed(session: Session, directory: str) -> list[str]:
    """Return the names in a directory, or [] if it is not a directory."""
    return [str(name) for name in session.handle.ls(directory)] if session.handle.is_dir(directory) else []


def _family(arch: str) -> str:
    return "x86_64" if arch in {"i386", "i486", "i586", "i686"} else arch
