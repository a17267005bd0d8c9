# SPDX-License-Identifier: GPL-2.0-or-later
"""SELinux: every file that is new gets the label that the guest's own policy has for it.

Changed files keep their labels. New ones have none, nor has what the guest's own programs wrote in the appliance, where
SELinux is not running. Those files are looked for, by the time of their last change, and the guest's own setfiles
labels them and nothing else. To label all of the guest, as virt-v2v does, takes minutes where this takes seconds, needs
an appliance with setfiles (Debian's has none), and resets labels that an administrator has set. Where it cannot be done
the guest is asked to label itself when it boots.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.editors import shell
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.session import Session

_MARK = "/.autorelabel"
_LABEL = "security.selinux"
#: Where systems keep what is theirs; programs that manage packages write nowhere else.
_SYSTEM = ("/boot", "/etc", "/lib", "/lib64", "/opt", "/root", "/sbin", "/bin", "/usr", "/var")
_NOT_THERE = ("/var/lib/docker", "/var/lib/containers", "/var/lib/libvirt")
#: More new files than this are left to the guest itself.
_MOST = 5000
_AT_ONCE = 100


def label(session: Session, files: GuestFiles) -> None:
    """Label what is new, if the guest uses SELinux, or ask the guest to do it when it boots.

    :raises ConversionError: the mark for that cannot be written.
    """
    kind = policy_of(files)
    if kind is None:
        return
    if not _has_label(session, "/etc"):
        session.report.debug("the guest has SELinux, but its files have no labels: it has never been in use")
        return
    try:
        new = _new(session)
        if len(new) > _MOST:
            raise RuntimeError(f"{len(new)} files are too many")
        _set_labels(session, kind, [path for path in new if not _has_label(session, path)])
    except (RuntimeError, ValueError) as err:
        session.report.debug(f"new files cannot be labelled: {brief(err)}")
        files.create(_MARK, b"", mode=0o644, what="created", why="new files need labels of SELinux")
        session.report.info("The guest labels its files for SELinux when it boots, and boots again after that")


def policy_of(files: GuestFiles) -> str | None:
    """Give the name of the policy if the guest is set up to use SELinux, or None."""
    if files.resolve("/usr/sbin/load_policy") is None and files.resolve("/sbin/load_policy") is None:
        return None
    config = files.read("/etc/selinux/config") or b""
    if (shell.value(config, "SELINUX") or "").lower() not in {"enforcing", "permissive"}:
        return None
    kind = shell.value(config, "SELINUXTYPE") or "targeted"
    return kind if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", kind, re.ASCII) else None


def _set_labels(session: Session, kind: str, paths: Sequence[str]) -> None:
    """Label files with the guest's setfiles, and make sure that it did.

    :raises RuntimeError: it failed.
    """
    for some in _parts(paths):
        # Newer ones check the labels against a policy in the kernel only if there is one.
        session.run(["setfiles", "-F", _contexts(kind), *some])
        for path in some:
            if _has_label(session, path):
                session.report.debug(f"labelled {path}")
            elif not _without_label(session, kind, path):
                raise RuntimeError(f"{path} has no label still")


def _without_label(session: Session, kind: str, path: str) -> bool:
    """Tell whether the policy says of a file that it has no label, as of those in /tmp."""
    try:
        return "<<none>>" in session.run(["matchpathcon", "-n", "-f", _contexts(kind), path])
    except RuntimeError as err:
        session.report.debug(f"{path}: {brief(err)}")
        return False


def _contexts(kind: str) -> str:
    return f"/etc/selinux/{kind}/contexts/files/file_contexts"


def _new(session: Session) -> list[str]:
    """List what is there and may have no label: what the conversion wrote, and what changed since it began.

    :raises RuntimeError: the guest's find failed.
    """
    handle = session.handle
    written = [path for path in (*session.created, *(change.path for change in session.changes)) if path[:1] == "/"]
    mounted = [place for place, _ in session.inspection.mountpoints if place.startswith(_SYSTEM)]
    places = [place for place in dict.fromkeys((*_SYSTEM, *mounted)) if handle.is_dir(place)]
    places = [place for place in places if not handle.is_symlink(place)]
    pruned = [word for path in _NOT_THERE for word in ("-path", path, "-o")][:-1]
    minutes = int((time.monotonic() - session.started) // 60) + 2
    found = session.run(["find", *places, "-xdev", "(", *pruned, ")", "-prune", "-o", "-cmin", f"-{minutes}", "-print"])
    paths = list(dict.fromkeys((*written, *(line for line in found.splitlines() if line.startswith("/")))))
    return paths if len(paths) > _MOST else [path for path in paths if handle.exists(path) or handle.is_symlink(path)]


def _has_label(session: Session, path: str) -> bool:
    return any(str(found["attrname"]) == _LABEL for found in session.handle.lgetxattrs(path))


def _parts(paths: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(paths), _AT_ONCE):
        yield paths[start : start + _AT_ONCE]
