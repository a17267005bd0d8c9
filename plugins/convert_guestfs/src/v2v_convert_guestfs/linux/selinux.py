# SPDX-License-Identifier: GPL-2.0-or-later
"""SELinux: give every new file the label that the guest's own policy has for it.

Changed files keep their labels. New files have none, and neither have files that the guest's programs wrote in the
appliance, where SELinux is not running. These files are found by the time of their last change, and the guest's own
setfiles labels only them. Labelling the whole guest, as virt-v2v does, takes minutes instead of seconds, needs setfiles
in the appliance (Debian's has none), and resets labels that the administrator has set. If labelling fails, the guest
relabels itself at its next boot.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.editors import shell
from v2v_convert_guestfs.session import Session

_MARK = "/.autorelabel"
_LABEL = "security.selinux"
#: The directories of the operating system. Package managers write nowhere else.
_SYSTEM = ("/boot", "/etc", "/lib", "/lib64", "/opt", "/root", "/sbin", "/bin", "/usr", "/var")
_EXCLUDED = ("/var/lib/docker", "/var/lib/containers", "/var/lib/libvirt")
#: With more new files than this, the guest relabels itself.
_MOST = 5000
_AT_ONCE = 100


def label(session: Session, files: GuestFiles) -> None:
    """Label new files if the guest uses SELinux, or make the guest relabel itself at its next boot.

    :raises ConversionError: /.autorelabel, which requests that, cannot be written.
    """
    kind = policy_of(files)
    if kind is None:
        return
    if not _has_label(session, "/etc"):
        session.report.debug("the guest has SELinux, but its files have no labels: SELinux has never been active")
        return
    try:
        new = _new(session)
        if len(new) > _MOST:
            raise RuntimeError(f"there are too many of them: {len(new)}")
        _set_labels(session, kind, [path for path in new if not _has_label(session, path)])
    except (RuntimeError, ValueError) as err:
        session.report.debug(f"new files cannot be labelled: {brief(err)}")
        files.create(_MARK, b"", mode=0o644, what="created", why="new files need SELinux labels")
        session.report.info("The guest relabels its files for SELinux at its next boot, and then reboots")


def policy_of(files: GuestFiles) -> str | None:
    """Return the name of the policy if the guest is configured to use SELinux, or None."""
    if files.resolve("/usr/sbin/load_policy") is None and files.resolve("/sbin/load_policy") is None:
        return None
    config = files.read("/etc/selinux/config") or b""
    if (shell.value(config, "SELINUX") or "").lower() not in {"enforcing", "permissive"}:
        return None
    kind = shell.value(config, "SELINUXTYPE") or "targeted"
    return kind if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", kind, re.ASCII) else None


def _set_labels(session: Session, kind: str, paths: Sequence[str]) -> None:
    """Label files with the guest's setfiles, and check that each got its label.

    :raises RuntimeError: setfiles failed, or a file has no label.
    """
    for some in _parts(paths):
        # The kernel of the appliance has no policy loaded; recent versions of setfiles do not need one.
        session.run(["setfiles", "-F", _contexts(kind), *some])
        for path in some:
            if _has_label(session, path):
                session.report.debug(f"labelled {path}")
            elif not _without_label(session, kind, path):
                raise RuntimeError(f"{path} still has no label")


def _without_label(session: Session, kind: str, path: str) -> bool:
    """Return whether the policy gives a file no label, as it does for those in /tmp."""
    try:
        return "<<none>>" in session.run(["matchpathcon", "-n", "-f", _contexts(kind), path])
    except RuntimeError as err:
        session.report.debug(f"{path}: {brief(err)}")
        return False


def _contexts(kind: str) -> str:
    return f"/etc/selinux/{kind}/contexts/files/file_contexts"


def _new(session: Session) -> list[str]:
    """Return the paths that may have no label: files that the conversion wrote, or that changed since it began.

    :raises RuntimeError: the guest's find failed.
    """
    handle = session.handle
    written = [path for path in (*session.created, *(change.path for change in session.changes)) if path[:1] == "/"]
    mounted = [place for place, _ in session.inspection.mountpoints if place.startswith(_SYSTEM)]
    places = [place for place in dict.fromkeys((*_SYSTEM, *mounted)) if handle.is_dir(place)]
    places = [place for place in places if not handle.is_symlink(place)]
    pruned = [word for path in _EXCLUDED for word in ("-path", path, "-o")][:-1]
    minutes = int((time.monotonic() - session.started) // 60) + 2
    output = session.run(
        ["find", *places, "-xdev", "(", *pruned, ")", "-prune", "-o", "-cmin", f"-{minutes}", "-print"]
    )
    paths = list(dict.fromkeys((*written, *(line for line in output.splitlines() if line.startswith("/")))))
    return paths if len(paths) > _MOST else [path for path in paths if handle.exists(path) or handle.is_symlink(path)]


def _has_label(session: Session, path: str) -> bool:
    return any(str(attribute["attrname"]) == _LABEL for attribute in session.handle.lgetxattrs(path))


def _parts(paths: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(paths), _AT_ONCE):
        yield paths[start : start + _AT_ONCE]
