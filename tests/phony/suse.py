# SPDX-License-Identifier: GPL-2.0-or-later
"""Phony guests of SUSE's family, and ALT Linux."""

from __future__ import annotations

from phony.kernels import LOADED_ON_VMWARE, LOADED_ON_XEN, MORE_VIRTIO, VIRTIO, VMWARE, XEN, compressed
from phony.recipe import Kernel, Package, Phony

_SLES11, _SLES11_XEN = "3.0.101-63-default", "3.0.101-63-xen"

SLES11 = Phony(
    name="sles11",
    package_format="rpm",
    packages=(
        Package("sles-release", "11.4", "1.109"),
        Package("mkinitrd", "2.4.2", "0.94.2"),
        Package("grub", "0.97", "162.172.1"),
        Package("zypper", "1.6.328", "0.9.42"),
        Package("vmware-tools-nox", "9.4.0", "1"),
    ),
    kernels=(
        Kernel(
            version=_SLES11_XEN,
            package=Package("kernel-xen", "3.0.101", "63.1"),
            initramfs=f"initrd-{_SLES11_XEN}",
            style="suse",
            modules=XEN,
            loaded=LOADED_ON_XEN,
            config=("X86_64_XEN=y", "XEN=y"),
            builtin=(),
        ),
        Kernel(
            version=_SLES11,
            package=Package("kernel-default", "3.0.101", "63.1"),
            initramfs=f"initrd-{_SLES11}",
            style="suse",
            modules={**VMWARE, **VIRTIO, **XEN},
            loaded=LOADED_ON_VMWARE,
            config=("VIRTIO_PCI=m", "VIRTIO_BLK=m", "VIRTIO_NET=m"),
            builtin=(),
        ),
    ),
    commands=(
        *("/bin/rpm", "/sbin/mkinitrd=suse", "/sbin/depmod", "/sbin/chkconfig", "/sbin/insserv", "/usr/bin/zypper"),
        *("/sbin/modprobe", "/usr/bin/vmware-uninstall-tools.pl"),
    ),
    merged_usr=False,
    filesystem="ext3",
    files={
        "/etc/SuSE-release": "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 4\n",
        "/etc/os-release": 'NAME="SLES"\nVERSION="11.4"\nVERSION_ID="11.4"\n'
        'PRETTY_NAME="SUSE Linux Enterprise Server 11 SP4"\nID="sles"\n',
        "/etc/fstab": "/dev/sda1 / ext3 acl,user_xattr 1 1\n/dev/sda2 swap swap defaults 0 0\n",
        "/etc/hosts": "127.0.0.1 localhost\n",
        "/etc/passwd": "root:x:0:0:root:/root:/bin/bash\n",
        "/etc/HOSTNAME": "sles11.example.com\n",
        "/etc/inittab": "id:3:initdefault:\nsi::bootwait:/etc/init.d/boot\n"
        "co:2345:respawn:/sbin/agetty -L 9600 xvc0 xterm\n"
        "1:2345:respawn:/sbin/mingetty --noclear tty1\n",
        "/etc/securetty": "tty1\nxvc0\n",
        "/etc/sysconfig/kernel": '## Path:  System/Kernel\nINITRD_MODULES="xenblk xennet mptspi jbd ext3"\n'
        'DOMU_INITRD_MODULES="xennet xenblk"\nMODULES_LOADED_ON_BOOT=""\n',
        "/etc/sysconfig/bootloader": 'LOADER_TYPE="grub"\nDEFAULT_NAME="Linux"\n'
        'DEFAULT_APPEND="resume=/dev/sda2 splash=silent console=xvc0"\n',
        "/etc/sysconfig/network/ifcfg-eth0": "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n",
        "/boot/grub/menu.lst": "# Modified by YaST2. Last modification on Mon\ndefault 0\ntimeout 8\n\n"
        "###Don't change this comment - YaST2 identifier: Original name: xen###\n"
        f"title Xen -- SUSE Linux Enterprise Server 11 SP4\n    root (hd0,0)\n"
        f"    kernel /boot/vmlinuz-{_SLES11_XEN} root=/dev/sda1 resume=/dev/sda2 splash=silent console=xvc0\n"
        f"    initrd /boot/initrd-{_SLES11_XEN}\n\n"
        "###Don't change this comment - YaST2 identifier: Original name: linux###\n"
        f"title SUSE Linux Enterprise Server 11 SP4\n    root (hd0,0)\n"
        f"    kernel /boot/vmlinuz-{_SLES11} root=/dev/sda1 resume=/dev/sda2 splash=silent\n"
        f"    initrd /boot/initrd-{_SLES11}\n",
        "/boot/grub/device.map": "(hd0)\t/dev/sda\n",
        "/etc/modprobe.conf.local": "alias eth0 xennet\n",
        "/etc/vmware-tools/locations": "answer BINDIR /usr/bin\n",
    },
    links={"/boot/vmlinuz": f"vmlinuz-{_SLES11_XEN}", "/boot/initrd": f"initrd-{_SLES11_XEN}"},
    directories=("etc/init.d/rc2.d", "etc/init.d/rc3.d", "etc/init.d/rc5.d", "etc/init.d/boot.d"),
)

_SLES15 = "5.14.21-150500.53-default"
SLES15 = Phony(
    name="sles15",
    package_format="rpm",
    packages=(
        Package("sles-release", "15.5", "150500.43.2"),
        Package("dracut", "055+suse", "150500.1.8"),
        Package("grub2", "2.06", "150500.29.3.1"),
        Package("zypper", "1.14.60", "150400.3"),
        Package("open-vm-tools", "12.2.0", "150300.33.1"),
    ),
    kernels=(
        Kernel(
            version=_SLES15,
            package=Package("kernel-default", "5.14.21", "150500.53.2"),
            initramfs=f"initrd-{_SLES15}",
            style="dracut",
            modules=compressed({**VMWARE, **VIRTIO, **MORE_VIRTIO}),
            loaded=LOADED_ON_VMWARE,
            config=("VIRTIO_PCI=m", "VIRTIO_BLK=m", "VIRTIO_NET=m"),
            builtin=("loop",),
        ),
    ),
    commands=(
        *("/usr/bin/rpm", "/usr/bin/dracut", "/usr/sbin/grub2-mkconfig", "/usr/sbin/depmod", "/usr/bin/zypper"),
        *("/usr/bin/systemctl", "/usr/sbin/update-bootloader"),
    ),
    files={
        "/etc/os-release": 'NAME="SLES"\nVERSION="15-SP5"\nVERSION_ID="15.5"\n'
        'PRETTY_NAME="SUSE Linux Enterprise Server 15 SP5"\nID="sles"\nID_LIKE="suse"\n',
        "/etc/fstab": "/dev/sda1 / ext4 defaults 0 1\n/dev/sda2 swap swap defaults 0 0\n",
        "/etc/hosts": "127.0.0.1 localhost\n",
        "/etc/hostname": "sles15\n",
        "/etc/passwd": "root:x:0:0:root:/root:/bin/bash\n",
        "/etc/default/grub": 'GRUB_DISTRIBUTOR=""\nGRUB_DEFAULT=saved\nGRUB_TIMEOUT=8\n'
        'GRUB_CMDLINE_LINUX_DEFAULT="resume=/dev/sda2 splash=silent quiet console=hvc0"\nGRUB_CMDLINE_LINUX=""\n',
        "/etc/sysconfig/network/ifcfg-eth0": "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n",
        "/boot/grub2/grub.cfg": f"""\
if [ -s $prefix/grubenv ]; then
  load_env
fi
set default="0"
menuentry 'SLES 15-SP5'  --class sles --class gnu-linux --class gnu --class os {{
\tlinux\t/boot/vmlinuz-{_SLES15} root=/dev/sda1  resume=/dev/sda2 splash=silent quiet console=hvc0
\tinitrd\t/boot/initrd-{_SLES15}
}}
""",
        "/boot/grub2/grubenv": "# GRUB Environment Block\n".ljust(1024, "#"),
        "/boot/grub2/device.map": "(hd0)\t/dev/sda\n",
    },
    links={"/boot/vmlinuz": f"vmlinuz-{_SLES15}", "/boot/initrd": f"initrd-{_SLES15}"},
    directories=("etc/systemd/system/multi-user.target.wants", "usr/lib/systemd/system", "etc/dracut.conf.d"),
    systemd="/usr/lib/systemd/systemd",
)

_ALT = "5.10.82-std-def-alt1"
ALT = Phony(
    name="altlinux",
    package_format="rpm",
    packages=(
        Package("branding-alt-server-release", "10.0", "alt1"),
        Package("make-initrd", "2.24.0", "alt1"),
        Package("grub", "2.06", "alt3"),
        Package("apt", "0.5.15lorg2", "alt77"),
        Package("open-vm-tools", "11.3.5", "alt1"),
    ),
    kernels=(
        Kernel(
            version=_ALT,
            package=Package("kernel-image-std-def", "5.10.82", "alt1", epoch=2),
            initramfs=f"initrd-{_ALT}.img",
            style="make-initrd",
            modules=compressed({**VMWARE, **VIRTIO, **MORE_VIRTIO}),
            loaded=LOADED_ON_VMWARE,
            config=("VIRTIO_PCI=m", "VIRTIO_BLK=m", "VIRTIO_NET=m"),
            builtin=("loop",),
        ),
    ),
    commands=(
        *("/usr/bin/rpm", "/usr/sbin/make-initrd", "/usr/bin/apt-get=rpm", "/usr/sbin/grub-mkconfig", "/sbin/depmod"),
        *("/sbin/chkconfig", "/sbin/service", "/bin/systemctl"),
    ),
    merged_usr=False,
    files={
        "/etc/altlinux-release": "ALT Server 10.0 (Mendelevium)\n",
        "/etc/os-release": 'NAME="ALT Server"\nVERSION="10.0"\nID=altlinux\nVERSION_ID=10.0\n'
        'PRETTY_NAME="ALT Server 10.0 (Mendelevium)"\nANSI_COLOR="1;33"\n',
        "/etc/fstab": "/dev/sda1 / ext4 relatime 1 1\n/dev/sda2 swap swap defaults 0 0\n",
        "/etc/hosts": "127.0.0.1 localhost\n",
        "/etc/hostname": "alt\n",
        "/etc/passwd": "root:x:0:0:root:/root:/bin/bash\n",
        "/etc/initrd.mk": "# All features\nAUTODETECT = all\n",
        "/etc/sysconfig/grub2": "GRUB_CMDLINE_LINUX='resume=/dev/sda2'\nGRUB_CMDLINE_LINUX_DEFAULT='quiet'\n",
        "/etc/net/ifaces/eth0/options": "BOOTPROTO=dhcp\nTYPE=eth\n",
        "/boot/grub/grub.cfg": f"""\
set default="0"
menuentry 'ALT Server 10.0' --class gnu-linux --class gnu --class os {{
\tlinux\t/boot/vmlinuz-{_ALT} root=/dev/sda1 ro resume=/dev/sda2 quiet
\tinitrd\t/boot/initrd-{_ALT}.img
}}
""",
        "/boot/grub/device.map": "(hd0)\t/dev/sda\n",
    },
    links={
        "/boot/vmlinuz": f"vmlinuz-{_ALT}",
        "/boot/initrd.img": f"initrd-{_ALT}.img",
        "/etc/default/grub": "../sysconfig/grub2",
    },
    directories=("etc/rc.d/init.d", "etc/rc.d/rc3.d", "etc/systemd/system", "lib/systemd/system"),
    systemd="/lib/systemd/systemd",
)
