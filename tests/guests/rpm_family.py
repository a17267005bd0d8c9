# SPDX-License-Identifier: GPL-2.0-or-later
"""Make a bootstrapped Debian look like a guest of the Red Hat family: its names, places and habits, and rpm's database.

The programs stay Debian's; what a conversion looks at and changes is what such a guest has. Packages of dpkg there
are none any more.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

from guests.bootstrap import in_root, kernel_versions, own_kernel
from guests.disk_images import write_file
from guests.grub_with_bls import copy_modules
from guests.host import HostError
from guests.recipe import Recipe, identity_of
from guests.rpm_packages import Package, enter_packages
from guests.storage import VolumeGroup


@dataclasses.dataclass(frozen=True)
class Brand:
    """What the guest says that it is."""

    name: str
    version: str
    codename: str
    bls: bool  # whether each entry of the boot menu has a file of its own

    @property
    def release(self) -> str:
        """Return the content of /etc/redhat-release."""
        return f"{self.name} release {self.version} ({self.codename})"


BRANDS = {
    "rhel7": Brand("Red Hat Enterprise Linux Server", "7.9", "Maipo", bls=False),
    "rhel9": Brand("Red Hat Enterprise Linux", "9.4", "Plow", bls=True),
}

_DEBIAN_ONLY = (
    *("var/lib/dpkg", "etc/apt", "var/lib/apt", "var/cache/apt", "var/cache/debconf", "etc/debian_version"),
    *("etc/dpkg", "usr/bin/dpkg*", "usr/bin/apt*", "usr/sbin/dpkg*", "etc/default/grub.d", "usr/sbin/update-grub*"),
    *("etc/kernel/p*.d", "etc/initramfs", "etc/grub.d/05_debian_theme", "etc/grub.d/30_*", "etc/grub.d/20_*"),
    *("boot/grub", "boot/initrd.img*", "boot/initramfs*", "initrd.img*", "vmlinuz*", "var/log/dpkg.log", "var/log/apt"),
)

_GRUB_SCRIPTS = (
    *("usr/sbin/grub2-mkconfig", "usr/sbin/grub2-reboot", "usr/sbin/grub2-set-default"),
    *("usr/share/grub/grub-mkconfig_lib", "etc/grub.d/00_header", "etc/grub.d/10_linux"),
)

# grub2-mkconfig's part of the menu where the entries have files of their own; Red Hat's calls the module blscfg.
_BLS_MENU = """\
#!/bin/sh
set -e
. /usr/share/grub/grub-mkconfig_lib
. /etc/default/grub
prepare_grub_to_access_device "$GRUB_DEVICE_BOOT"
cat << EOF

# The entries are read from /boot/loader/entries: edit them there.
if [ -z "\\${kernelopts}" ]; then
  set kernelopts="root=$GRUB_DEVICE ro $GRUB_CMDLINE_LINUX "
fi

insmod blsuki
blscfg
EOF
"""

# Red Hat's looks for the environment block in /boot/grub2 if it is not told where.
_EDITENV = """\
#!/bin/sh
case "$1" in
-) shift; set -- /boot/grub2/grubenv "$@" ;;
list | set | unset | incr | create) [ "$#" -gt 1 ] || set -- /boot/grub2/grubenv "$@" ;;
esac
exec /usr/libexec/grub2/editenv "$@"
"""

_TOOLS_UNIT = """\
[Unit]
Description=Service for virtual machines hosted on VMware
ConditionVirtualization=vmware

[Service]
ExecStart=/usr/bin/vmtoolsd

[Install]
WantedBy=multi-user.target
"""

_TOOLS_REMOVAL = """\
if [ $1 -eq 0 ]; then
    systemctl --no-reload disable vmtoolsd.service >/dev/null 2>&1 || :
fi
"""


def rebrand(recipe: Recipe, root: Path, grub: Path) -> None:
    """Turn the configured guest into one of its brand, with its initramfs images, menu entries and packages.

    :param grub: the directory of a GRUB that knows the Boot Loader Specification.
    """
    brand = BRANDS[recipe.brand]
    for pattern in _DEBIAN_ONLY:
        for path in root.glob(pattern):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    # Debian's rpm has its database in the home directory of the user who calls it.
    macros = root / "usr/lib/rpm/macros"
    macros.write_text(re.sub(r"(?m)^(%_dbpath\s+).*$", r"\1%{_var}/lib/rpm", macros.read_text()))
    _name_it(brand, root)
    _rename_grub(brand, root)
    copy_modules(grub, root / "boot/grub2/i386-pc")
    _write_settings(recipe, brand, root)
    _add_tools(root)
    if recipe.network == "ifcfg":
        unused = ("NetworkManager", "NetworkManager-dispatcher", "NetworkManager-wait-online")
        in_root(root, ["systemctl", "disable", "--quiet", *(f"{name}.service" for name in unused)])
    for version in kernel_versions(root):
        _make_initramfs(recipe, root, version)
    _add_rescue(recipe, root)
    if brand.bls:
        _write_entries(recipe, brand, root)
        _put_kernels_beside_modules(root)
    enter_packages(root, _packages(recipe, brand, root))


def default_version(recipe: Recipe, root: Path) -> str:
    """Return the version of the kernel that the menu's default is."""
    return own_kernel(recipe, root) if recipe.own_kernel else _versions(root)[0]


def _versions(root: Path) -> list[str]:
    return [version for version in kernel_versions(root) if "rescue" not in version]


def _name_it(brand: Brand, root: Path) -> None:
    """Write the files by which a distribution is known."""
    major = brand.version.split(".")[0]
    write_file(
        root,
        "/usr/lib/os-release",
        f'NAME="{brand.name}"\nVERSION="{brand.version} ({brand.codename})"\nID="rhel"\nID_LIKE="fedora"\n'
        f'VERSION_ID="{brand.version}"\nPLATFORM_ID="platform:el{major}"\n'
        f'PRETTY_NAME="{brand.name} {brand.version} ({brand.codename})"\n'
        f'CPE_NAME="cpe:/o:redhat:enterprise_linux:{major}::baseos"\n',
    )
    write_file(root, "/etc/redhat-release", brand.release + "\n")
    _link(root, "/etc/system-release", "redhat-release")
    _link(root, "/etc/os-release", "../usr/lib/os-release")


def _rename_grub(brand: Brand, root: Path) -> None:
    """Give GRUB's programs and directories the names that they have at Red Hat."""
    for path in (*root.glob("usr/bin/grub-*"), *root.glob("usr/sbin/grub-*")):
        path.rename(path.with_name(path.name.replace("grub-", "grub2-", 1)))
    for name in _GRUB_SCRIPTS:
        path = root / name
        text = re.sub(r"/grub-(?!mkconfig_lib)", "/grub2-", path.read_text())
        text = text.replace("$(grub-probe", "$(grub2-probe")
        path.write_text(re.sub(r"/boot/grub(?![\w-])", "/boot/grub2", text))
    if brand.bls:
        write_file(root, "/etc/grub.d/10_linux", _BLS_MENU, 0o755)
    (root / "usr/libexec/grub2").mkdir(parents=True)
    (root / "usr/bin/grub2-editenv").rename(root / "usr/libexec/grub2/editenv")
    write_file(root, "/usr/bin/grub2-editenv", _EDITENV, 0o755)


def _write_settings(recipe: Recipe, brand: Brand, root: Path) -> None:
    """Write the settings of the boot loader, the kernels and dracut, where and as an installer leaves them."""
    settings = [
        "GRUB_TIMEOUT=1",
        "GRUB_DISTRIBUTOR=\"$(sed 's, release .*$,,g' /etc/system-release)\"",
        "GRUB_DEFAULT=saved",
        "GRUB_DISABLE_SUBMENU=true",
        'GRUB_TERMINAL="serial console"',
        'GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"',
        f'GRUB_CMDLINE_LINUX="{_arguments(recipe)}"',
        'GRUB_DISABLE_RECOVERY="true"',
        *(() if recipe.linux_uuid else ("GRUB_DISABLE_LINUX_UUID=true",)),
        *(("GRUB_ENABLE_BLSCFG=true",) if brand.bls else ()),
    ]
    write_file(root, "/etc/default/grub", "\n".join(settings) + "\n")
    write_file(root, "/etc/sysconfig/kernel", f"UPDATEDEFAULT=yes\nDEFAULTKERNEL={_kernel_package(brand)}\n")
    _link(root, "/etc/sysconfig/grub", "/etc/default/grub")
    _link(root, "/etc/grub2.cfg", "../boot/grub2/grub.cfg")
    if brand.bls:
        write_file(root, "/etc/kernel/cmdline", _command_line(recipe) + "\n")
    # what is not needed on the hardware of the moment stays out of an initramfs
    distribution = 'hostonly="yes"\nhostonly_cmdline="no"\ncompress="gzip"\n'
    write_file(root, "/usr/lib/dracut/dracut.conf.d/01-dist.conf", distribution)
    if recipe.device_map:
        write_file(root, "/boot/grub2/device.map", "# this device map was generated by anaconda\n(hd0)      /dev/sda\n")


def _arguments(recipe: Recipe) -> str:
    """Return the kernel arguments beside root=, with what dracut needs to find volume groups."""
    volumes = [
        f"rd.lvm.lv={layer.name}/{volume.name}"
        for layer in recipe.layers
        if isinstance(layer, VolumeGroup)
        for volume in layer.volumes
        if volume.mountpoint == "/" or volume.filesystem == "swap"
    ]
    return " ".join(filter(None, ("console=tty0 console=ttyS0,115200", recipe.kernel_arguments, *volumes)))


def _command_line(recipe: Recipe) -> str:
    (root,) = (place for place in recipe.places if place.volume.mountpoint == "/")
    return f"root=/dev/{root.device} ro {_arguments(recipe)}"


def _add_tools(root: Path) -> None:
    """Add VMware's tools, as far as a package of them has to have something in it."""
    write_file(root, "/usr/bin/vmtoolsd", "#!/bin/sh\nexec sleep infinity\n", 0o755)
    write_file(root, "/usr/lib/systemd/system/vmtoolsd.service", _TOOLS_UNIT)
    write_file(root, "/etc/vmware-tools/tools.conf", "[logging]\nlog = true\n")
    write_file(root, "/etc/xdg/autostart/vmware-user.desktop", "[Desktop Entry]\nType=Application\nExec=true\n")
    in_root(root, ["systemctl", "enable", "--quiet", "vmtoolsd.service"])


def _make_initramfs(recipe: Recipe, root: Path, version: str) -> None:
    """Make the initramfs as dracut makes it on VMware: hostonly looks at the hardware it runs on, which is this one."""
    modules = " ".join((*recipe.initramfs_modules, "crc32c_generic"))
    quickly = ["--compress", "gzip -1"]
    layers = ["--add", "lvm"] if recipe.layers else []
    options = [
        "--force",
        "--quiet",
        "--no-hostonly",
        "--omit-drivers",
        r".*virtio.*",
        "--drivers",
        modules,
        *layers,
        *quickly,
    ]
    in_root(root, ["dracut", *options, f"/boot/initramfs-{version}.img", version])


def _add_rescue(recipe: Recipe, root: Path) -> None:
    """Add the entry that stays when kernels come and go: a copy of the installer's kernel, under another name."""
    version = default_version(recipe, root)
    name = _rescue(recipe)
    shutil.copy2(root / f"boot/vmlinuz-{version}", root / f"boot/vmlinuz-{name}")
    shutil.copy2(root / f"boot/initramfs-{version}.img", root / f"boot/initramfs-{name}.img")


def _rescue(recipe: Recipe) -> str:
    return f"0-rescue-{identity_of(recipe, 'machine').hex}"


def entry_name(recipe: Recipe, version: str) -> str:
    """Return what the entry of a kernel is called, in its file's name and in GRUB's environment."""
    machine = identity_of(recipe, "machine").hex
    return f"{machine}-{version}" if "rescue" not in version else f"{machine}-0-rescue"


def _write_entries(recipe: Recipe, brand: Brand, root: Path) -> None:
    """Write an entry of the Boot Loader Specification for each kernel, and the environment block with the default."""
    for version in kernel_versions(root):
        lines = [
            f"title {brand.name} ({version}) {brand.version} ({brand.codename})",
            f"version {version}",
            f"linux /vmlinuz-{version}",
            f"initrd /initramfs-{version}.img",
            f"options {_command_line(recipe)} $tuned_params",
            "grub_users $grub_users",
            "grub_arg --unrestricted",
            "grub_class rhel",
        ]
        write_file(root, f"/boot/loader/entries/{entry_name(recipe, version)}.conf", "\n".join(lines) + "\n")
    saved = entry_name(recipe, default_version(recipe, root))
    write_file(root, "/boot/grub2/grubenv", environment(saved), 0o600)


def environment(saved_entry: str) -> str:
    """Return GRUB's environment block, which has 1024 bytes whatever is in it."""
    text = f"# GRUB Environment Block\nsaved_entry={saved_entry}\nboot_success=0\n"
    return text.ljust(1024, "#")


def _kernel_package(brand: Brand) -> str:
    return "kernel-core" if brand.bls else "kernel"


def _packages(recipe: Recipe, brand: Brand, root: Path) -> list[Package]:
    """Return the guest's packages."""
    major = brand.version.split(".")[0]
    dist = f"1.el{major}"
    network = {
        "networkmanager": ("NetworkManager", "1.42.4", ("/usr/sbin/NetworkManager", "/etc/NetworkManager")),
        "ifcfg": ("initscripts", "9.49.53", ("/usr/libexec/initscripts", "/usr/lib/systemd/system/network.service")),
    }[recipe.network]
    return [
        Package(
            f"redhat-release{'-server' if brand.version.startswith('7') else ''}",
            brand.version,
            dist,
            f"{brand.name} release file",
            files=("/etc/redhat-release", "/etc/system-release", "/etc/os-release", "/usr/lib/os-release"),
            provides=("system-release",),
        ),
        Package("bash", "5.2.15", dist, "The shell", files=("/usr/bin/bash", "/usr/bin/sh"), provides=("/bin/sh",)),
        Package("systemd", "252", dist, "The manager of services", files=("/usr/bin/systemctl",)),
        Package("rpm", "4.18.0", dist, "The manager of packages", files=("/usr/bin/rpm",)),
        Package("dnf" if brand.bls else "yum", "4.14.0", dist, "Packages from repositories", files=("/usr/bin/dnf",)),
        Package(network[0], network[1], dist, "The network", files=network[2]),
        Package(
            "dracut",
            "059",
            dist,
            "Makes an initramfs",
            files=("/usr/bin/dracut", "/usr/bin/lsinitrd", "/usr/lib/dracut"),
            configuration=("/etc/dracut.conf",),
        ),
        Package(
            "grub2-tools",
            "2.06",
            f"70.el{major}",
            "GRUB's programs",
            files=("/usr/bin/grub2-*", "/usr/sbin/grub2-*", "/usr/share/grub", "/usr/libexec/grub2", "/etc/grub.d"),
            configuration=("/etc/default/grub",),
            ghosts=("/boot/grub2/grub.cfg", "/boot/grub2/grubenv"),
        ),
        Package("grub2-pc", "2.06", f"70.el{major}", "GRUB for BIOS", requires=("grub2-tools",)),
        *(kernel for version in _versions(root) for kernel in _kernels(brand, version)),
        Package(
            "open-vm-tools",
            "12.3.5",
            f"2.el{major}",
            "Tools for virtual machines hosted on VMware",
            files=("/usr/bin/vmtoolsd", "/usr/lib/systemd/system/vmtoolsd.service"),
            configuration=("/etc/vmware-tools/tools.conf",),
            scripts=(("%preun", _TOOLS_REMOVAL),),
        ),
        Package(
            "open-vm-tools-desktop",
            "12.3.5",
            f"2.el{major}",
            "The same for a graphical desktop",
            files=("/etc/xdg/autostart/vmware-user.desktop",),
            requires=("open-vm-tools = 12.3.5",),
        ),
    ]


def _kernels(brand: Brand, version: str) -> list[Package]:
    """Return the packages of one kernel: in RHEL 9 /boot has copies of what they have beside the modules.

    What is part of the version here and has a hyphen is a part of the name, as at Red Hat with kernel-debug.
    """
    found = re.fullmatch(r"([0-9.]+)-([0-9]+)-(?:([a-z]+)-)?amd64", version)
    if not found:
        raise HostError(f"a kernel's version that no package can have: {version}")
    number, release, flavour = found.groups()
    name = f"kernel-{flavour}" if flavour else "kernel"
    boot = tuple(f"/boot/{kind}-{version}" for kind in ("vmlinuz", "System.map", "config"))
    image = f"/boot/initramfs-{version}.img"
    modules = f"/lib/modules/{version}"
    if not brand.bls:
        return [
            Package(name, number, release, "The kernel", files=(*boot, modules), ghosts=(image,)),
        ]
    files = (f"{modules}/vmlinuz", f"{modules}/System.map", f"{modules}/config", f"{modules}/modules.*")
    return [
        Package(
            name, number, release, "The kernel", requires=(f"{name}-core = {number}", f"{name}-modules = {number}")
        ),
        Package(f"{name}-core", number, release, "The kernel itself", files=files, ghosts=(*boot, image)),
        Package(f"{name}-modules", number, release, "The kernel's drivers", files=(f"{modules}/kernel",)),
    ]


def _put_kernels_beside_modules(root: Path) -> None:
    """Put a copy of each kernel, with its configuration and symbols, beside its modules, where RHEL 9 has them."""
    for version in _versions(root):
        for kind in ("vmlinuz", "System.map", "config"):
            shutil.copy2(root / f"boot/{kind}-{version}", root / f"lib/modules/{version}/{kind}")


def _link(root: Path, path: str, target: str) -> None:
    link = root / path.lstrip("/")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(target)
