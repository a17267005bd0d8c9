# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands of a phony guest: shell scripts that record how they were called, and do only what a test can see."""

from __future__ import annotations

import dataclasses

#: Where the calls are written down in the guest: a line each, the words divided by tabs.
CALLS = "/v2v-calls.log"
#: Lines of name, epoch, version, release and architecture; what the guest's own rpm says.
RPM_LIST = "/var/lib/phony/packages"
RPM_FILES = "/var/lib/phony/files"
#: The image that a kernel's tool makes when it is told to put virtio drivers in, and when it is not.
GOOD, POOR = "/usr/share/phony/good-{version}", "/usr/share/phony/poor-{version}"

_ENVIRONMENT = ("rootdev", "root_lvm", "DEBIAN_FRONTEND")

#: busybox is at its own place and not reached through /bin, of which a guest may have none.
SHELL = "/usr/lib/phony/busybox"

_PRELUDE = (
    f"#!{SHELL} sh\n"
    "PATH=/usr/lib/phony/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
    "{\n"
    + "".join(f'    [ -z "${{{name}+x}}" ] || printf \'%s\\t\' "{name}=${name}"\n' for name in _ENVIRONMENT)
    + "    printf '%s' \"${0##*/}\"\n"
    "    for word; do printf '\\t%s' \"$word\"; done\n"
    "    printf '\\n'\n"
    f"}} >>{CALLS}\n"
)

_RPM = f"""\
format='%{{NAME}}-%{{VERSION}}-%{{RELEASE}}.%{{ARCH}}\\n'
mode= all= files= owner= names= test=
while [ $# -gt 0 ]; do
    case $1 in
        --qf|--queryformat) format=$2; shift ;;
        --qf=*|--queryformat=*) format=${{1#*=}} ;;
        --version) echo 'RPM version 4.14.0'; exit 0 ;;
        --test) test=1 ;;
        --query) mode=query ;;
        --all) all=1 ;;
        --list) files=1 ;;
        -e|--erase|-ev) mode=erase ;;
        --*) ;;
        -*)
            case $1 in *q*) mode=query ;; esac
            case $1 in *a*) all=1 ;; esac
            case $1 in *l*) files=1 ;; esac
            case $1 in *f*) owner=1 ;; esac ;;
        *) names="$names $1" ;;
    esac
    shift
done
fits() {{ # NAME: as the name, or with version, release and architecture
    awk -v name="$1" '$1 == name || $1 "-" $3 "-" $4 == name || $1 "-" $3 "-" $4 "." $5 == name' {RPM_LIST}
}}
show() {{
    awk -v format="$format" '{{
        line = format
        split("NAME EPOCH VERSION RELEASE ARCH", tags, " ")
        for (number = 1; number <= 5; number++) {{
            gsub("%-?[0-9]*[{{]" tags[number] "[}}]", $number, line)
            gsub("%-?[0-9]*[{{]" tolower(tags[number]) "[}}]", $number, line)
        }}
        printf "%s", line
    }}'
}}
if [ "$mode" = erase ]; then
    for name in $names; do
        if [ -z "$(fits "$name")" ]; then
            echo "error: package $name is not installed" >&2
            exit 1
        fi
    done
    [ -z "$test" ] || exit 0
    for name in $names; do
        fits "$name" >/tmp/phony.$$
        grep -vxFf /tmp/phony.$$ {RPM_LIST} >/tmp/phony-rest.$$
        cat /tmp/phony-rest.$$ >{RPM_LIST}
        rm -f /tmp/phony.$$ /tmp/phony-rest.$$
    done
    exit 0
fi
[ "$mode" = query ] || exit 0
if [ -n "$all" ]; then
    show <{RPM_LIST}
    exit 0
fi
status=0
for name in $names; do
    if [ -n "$owner" ]; then
        path=$(cd {RPM_FILES} && grep -lxF "$name" * | head -n 1)
        [ -n "$path" ] || {{ echo "file $name is not owned by any package"; exit 1; }}
        name=$path
    fi
    found=$(fits "$name")
    if [ -z "$found" ]; then
        echo "package $name is not installed"
        status=1
    elif [ -n "$files" ]; then
        echo "$found" | while read -r short epoch version release rest; do
            cat "{RPM_FILES}/$short-$version-$release"
        done
    else
        echo "$found" | show
    fi
done
exit $status
"""

_DROP_RPM = """\
verb= names=
while [ $# -gt 0 ]; do
    case $1 in
        -*) ;;
        remove|erase|rm|install|in|resolvedep) [ -n "$verb" ] && names="$names $1" || verb=$1 ;;
        *) names="$names $1" ;;
    esac
    shift
done
case $verb in
    remove|erase|rm)
        # By its path: the shell would take the rpm of busybox's own for the name.
        for rpm in /bin/rpm /usr/bin/rpm; do
            [ ! -x $rpm ] || exec $rpm -e --nodeps $names
        done ;;
esac
"""

_DPKG = """\
status=/var/lib/dpkg/status
verb= names=
while [ $# -gt 0 ]; do
    case $1 in
        -r|--remove|-P|--purge) verb=remove ;;
        -L|--listfiles) verb=list ;;
        -*) ;;
        remove|purge) verb=remove ;;
        *=*) ;;
        *) names="$names $1" ;;
    esac
    shift
done
case $verb in
    list) for name in $names; do cat "/var/lib/dpkg/info/$name.list" || exit 1; done ;;
    remove)
        for name in $names; do
            grep -qx "Package: $name" $status || { echo "dpkg: $name is not installed" >&2; continue; }
            awk -v name="$name" 'BEGIN { RS = ""; ORS = "\\n\\n" } {
                split($0, lines, "\\n")
                if (lines[1] == "Package: " name) sub("install ok installed", "deinstall ok config-files")
                print
            }' $status >$status.new
            mv $status.new $status
        done ;;
esac
"""

# Each of the tools looks at the hardware of the moment, the appliance's, and needs to be told what to take on KVM.
_DRACUT = """\
told= image= version=
grep -qs virtio_blk /etc/dracut.conf /etc/dracut.conf.d/* && told=1
while [ $# -gt 0 ]; do
    case $1 in
        --add-drivers|--drivers|--force-drivers)
            case " $2 " in *" virtio_blk "*) told=1 ;; esac; shift ;;
        --add-drivers=*|--drivers=*|--force-drivers=*) case " ${1#*=} " in *" virtio_blk "*) told=1 ;; esac ;;
        --kver) version=$2; shift ;;
        --add|--omit|--include|-m|-a|-o|--compress|--tmpdir|--conf|--confdir) shift ;;
        -*) ;;
        *) if [ -z "$image" ]; then image=$1; else version=$1; fi ;;
    esac
    shift
done
[ -n "$version" ] || { echo "dracut: no version was given, and $(uname -r) is not the guest's" >&2; exit 1; }
[ -n "$told" ] && made=/usr/share/phony/good-$version || made=/usr/share/phony/poor-$version
[ -n "$image" ] || image=$(cat /usr/share/phony/image-$version)
cat "$made" >"$image"
"""

_MKINITRD_RED_HAT = """\
told= image= version=
grep -qs virtio_blk /etc/modprobe.conf && told=1
while [ $# -gt 0 ]; do
    case $1 in
        --with=virtio_blk|--preload=virtio_blk) told=1 ;;
        --with|--preload) [ "$2" = virtio_blk ] && told=1; shift ;;
        -*) ;;
        *) if [ -z "$image" ]; then image=$1; else version=$1; fi ;;
    esac
    shift
done
[ -n "$version" ] || { echo "usage: mkinitrd [options] IMAGE VERSION" >&2; exit 1; }
[ -n "$told" ] && made=/usr/share/phony/good-$version || made=/usr/share/phony/poor-$version
cat "$made" >"$image"
"""

_MKINITRD_SUSE = """\
told= image= kernel=
grep -qs '^INITRD_MODULES=.*virtio_blk' /etc/sysconfig/kernel && told=1
while [ $# -gt 0 ]; do
    case $1 in
        -m) case " $2 " in *" virtio_blk "*) told=1 ;; esac; shift ;;
        -i) image=$2; shift ;;
        -k) kernel=$2; shift ;;
        -d|-f|-b|-D|-M|-s) shift ;;
        -*) ;;
    esac
    shift
done
version=${kernel##*/}; version=${version#vmlinuz-}
[ -n "$version" ] || { echo "mkinitrd: no kernel was named" >&2; exit 1; }
case $image in '') image=/boot/initrd-$version ;; /*) ;; *) image=/boot/$image ;; esac
[ -n "$told" ] && made=/usr/share/phony/good-$version || made=/usr/share/phony/poor-$version
cat "$made" >"$image"
"""

_MAKE_INITRD = """\
told= version=
grep -qs virtio_blk /etc/initrd.mk /etc/initrd.mk.d/* && told=1
while [ $# -gt 0 ]; do
    case $1 in
        -k) version=$2; shift ;;
        --kernel=*) version=${1#*=} ;;
    esac
    shift
done
[ -n "$version" ] || { echo "make-initrd: no kernel was named" >&2; exit 1; }
[ -n "$told" ] && made=/usr/share/phony/good-$version || made=/usr/share/phony/poor-$version
cat "$made" >"$(cat /usr/share/phony/image-$version)"
"""

_UPDATE_INITRAMFS = """\
told= version=
grep -qsx virtio_blk /etc/initramfs-tools/modules && told=1
while [ $# -gt 0 ]; do
    case $1 in -k) version=$2; shift ;; esac
    shift
done
[ -n "$version" ] || { echo "update-initramfs: no kernel was named" >&2; exit 1; }
[ -n "$told" ] && made=/usr/share/phony/good-$version || made=/usr/share/phony/poor-$version
cat "$made" >"$(cat /usr/share/phony/image-$version)"
"""

_APK = """\
simulate= verb=$1
shift
for name; do
    case $name in --simulate) simulate=1 ;; --*) ;; *) names="$names $name" ;; esac
done
[ "$verb" = del ] || exit 0
for name in $names; do
    grep -qx "P:$name" /lib/apk/db/installed || continue
    echo "(1/1) Purging $name (1.0-r1)"
    [ -z "$simulate" ] || continue
    awk -v line="P:$name" 'BEGIN { RS = ""; ORS = "\\n\\n" } { split($0, lines, "\\n") } lines[1] != line' \
        /lib/apk/db/installed >/tmp/apk.$$
    cat /tmp/apk.$$ >/lib/apk/db/installed
    rm -f /tmp/apk.$$
done
"""

_PACMAN = """\
[ "$1" = --remove ] || exit 1
shift
for name; do
    case $name in
        --print) exit 0 ;;
        --*) ;;
        *) rm -rf /var/lib/pacman/local/"$name"-[0-9]* ;;
    esac
done
"""

_DEPMOD = """\
base= version=
while [ $# -gt 0 ]; do
    case $1 in -b) base=$2; shift ;; -*) ;; *) version=$1 ;; esac
    shift
done
cd "$base/lib/modules/$version" || exit 1
find . -name '*.ko*' | sed 's/^[.][/]//; s/$/:/' >modules.dep
{ printf '\\260\\007\\364\\127'; cat modules.dep; } >modules.dep.bin
"""

_CHKCONFIG = """\
[ "$2" = off ] && rm -f /etc/rc.d/rc?.d/S??"$1" /etc/init.d/rc?.d/S??"$1" /etc/rc?.d/S??"$1"
exit 0
"""

_GRUBBY = """\
case $1 in --default-kernel) cat /var/lib/phony/default-kernel 2>/dev/null ;; esac
exit 0
"""

_UNINSTALL_VMWARE = """\
rm -rf /etc/vmware-tools /usr/bin/vmware-toolbox
exit 0
"""

_EFFECTS = {
    "rpm": _RPM,
    "yum": _DROP_RPM,
    "dnf": _DROP_RPM,
    "dnf5": _DROP_RPM,
    "zypper": _DROP_RPM,
    "urpme": _DROP_RPM,
    "apt-get/rpm": _DROP_RPM,
    "apt-get/dpkg": _DPKG,
    "dpkg": _DPKG,
    "dracut": _DRACUT,
    "mkinitrd/nash": _MKINITRD_RED_HAT,
    "mkinitrd/suse": _MKINITRD_SUSE,
    "make-initrd": _MAKE_INITRD,
    "update-initramfs": _UPDATE_INITRAMFS,
    "depmod": _DEPMOD,
    "apk": _APK,
    "pacman": _PACMAN,
    "chkconfig": _CHKCONFIG,
    "grubby": _GRUBBY,
    "vmware-uninstall-tools.pl": _UNINSTALL_VMWARE,
}


#: busybox's own env takes a program of busybox's for a name before it looks into PATH.
ENV = f"""\
#!{SHELL} sh
while :; do
    case $1 in
        -i) ;;
        *=*) export "$1" ;;
        *) break ;;
    esac
    shift
done
case $1 in */*) exec "$@" ;; esac
name=$1
shift
IFS=:
for directory in ${{PATH:-/usr/sbin:/usr/bin:/sbin:/bin}} /usr/lib/phony/bin; do
    [ ! -x "$directory/$name" ] || exec "$directory/$name" "$@"
done
echo "env: $name: No such file or directory" >&2
exit 127
"""


def script(name: str, variant: str = "") -> str:
    """Return the script of a command; an unknown command records its calls and succeeds."""
    return _PRELUDE + (_EFFECTS.get(f"{name}/{variant}") or _EFFECTS.get(name, "exit 0\n"))


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a command."""

    name: str
    arguments: tuple[str, ...]
    environment: dict[str, str]


def read_calls(log: bytes) -> list[Call]:
    """Return the calls that the commands recorded."""
    calls = []
    for line in log.decode().splitlines():
        words = line.split("\t")
        environment = {}
        while words[0].partition("=")[0] in _ENVIRONMENT:
            name, _, value = words.pop(0).partition("=")
            environment[name] = value
        calls.append(Call(words[0], tuple(words[1:]), environment))
    return calls
