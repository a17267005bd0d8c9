# SPDX-License-Identifier: GPL-2.0-or-later
"""Find the operating systems on the disks, choose one, and find out what it is."""

from __future__ import annotations

import sys
from collections.abc import Callable

from v2v_convert_guestfs import time_limits
from v2v_convert_guestfs.appliance import libguestfs_errors_as
from v2v_convert_guestfs.filesystems.nothing_found import nothing_found
from v2v_convert_guestfs.filesystems.roots import systems
from v2v_convert_guestfs.filesystems.subvolume_names import translated
from v2v_convert_guestfs.operating_system import operating_system_of
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import ConversionError, Inspection, visible

_LONG_FILES = (
    "it reads /etc/fstab, /etc/crypttab and mdadm.conf of the guest entry by entry: "
    "look for one that has thousands of them"
)
#: Characters of a guest's name for itself.
_TEXT_LIMIT = 200


def inspect(session: Session, blockers: Blockers) -> None:
    """Choose the root file system and fill in ``session.found``. An unknown operating system is a blocker.

    :raises ConversionError: there is no operating system, or no choice between several.
    """
    handle = session.handle
    with (
        session.limited("the inspection of the guest by libguestfs", time_limits.INSPECTION_LIMIT, hint=_LONG_FILES),
        libguestfs_errors_as("the operating system of the guest cannot be looked for"),
    ):
        roots = [str(root) for root in handle.inspect_os()]
    if not roots:
        blockers.add(*nothing_found(session))
        blockers.stop()
    names = translated(session, roots)
    session.library_names = {name: own for own, name in names.items()}
    chosen = choose_root(session, [names[root] for root in roots])
    # libguestfs knows the root that it has found by its own name.
    root = session.library_names[chosen]
    with libguestfs_errors_as(f"the operating system on {root} cannot be inspected"):
        mountpoints = {str(place): str(device) for place, device in handle.inspect_get_mountpoints(root).items()}
        names = translated(session, list(mountpoints.values()))
        mountpoints = {place: names[device] for place, device in mountpoints.items()}
        # fstab may name an encrypted root by its name in crypttab, which libguestfs does not read.
        mountpoints["/"] = chosen
        session.found = Inspection(
            root=chosen,
            os_type=str(handle.inspect_get_type(root)),
            distro=str(handle.inspect_get_distro(root)),
            arch=str(handle.inspect_get_arch(root)),
            major_version=int(handle.inspect_get_major_version(root)),
            minor_version=int(handle.inspect_get_minor_version(root)),
            osinfo=_known_or_none(_text_of_guest(handle.inspect_get_osinfo, root)),
            product_name=_known_or_none(_text_of_guest(handle.inspect_get_product_name, root)),
            product_variant=_known_or_none(_text_of_guest(handle.inspect_get_product_variant, root)),
            package_format=_known_or_none(handle.inspect_get_package_format(root)),
            package_management=_known_or_none(handle.inspect_get_package_management(root)),
            mountpoints=tuple(sorted(mountpoints.items(), key=lambda item: (len(item[0]), item[0]))),
        )
    found = session.found
    # An unknown distribution of Linux may still be recognized by files of the guest.
    distro = "" if found.os_type == "linux" else found.distro
    unknown = [
        what
        for what, value in (("type", found.os_type), ("distribution", distro), ("architecture", found.arch))
        if value == "unknown"
    ]
    if unknown:
        blockers.add(
            f"the operating system on {chosen} is of an unknown {' and '.join(unknown)} "
            f"(type {found.os_type}, distribution {found.distro}, architecture {found.arch})",
            "check that --root names the system of the guest, and that all of its disks were given",
        )


def name_system(session: Session) -> str:
    """Return the operating system's name for itself, for messages. The guest must be mounted."""
    found = session.inspection
    return operating_system_of(session).find_name() or found.product_name or f"{found.distro} {found.major_version}"


def choose_root(session: Session, roots: list[str]) -> str:
    """Choose one of the root file systems, at least one, as ``--root`` says.

    :raises ConversionError: the chosen one does not exist, or there are several and none was chosen.
    """
    wanted = session.request.settings.root
    if wanted.startswith(("/", "btrfsvol:")):
        if wanted not in roots:
            described = [_describe(session, root) for root in roots]
            raise ConversionError(
                f"there is no operating system on {wanted}, only on: {', '.join(described)}",
                hint=f"choose with --root {roots[0]}",
            )
        return wanted
    roots = systems(session, roots)
    described = [_describe(session, root) for root in roots]
    if len(roots) == 1:
        return roots[0]
    if wanted == "first":
        session.report.info(f"Of {len(roots)} operating systems the first is converted: {described[0]}")
        return roots[0]
    if wanted == "ask" and sys.stdin is not None and sys.stdin.isatty():
        return _ask_user(roots, described)
    raise ConversionError(
        f"the guest has {len(roots)} operating systems: {', '.join(described)}",
        hint=f"choose one with --root, for example --root {roots[0]}",
    )


def _ask_user(roots: list[str], described: list[str]) -> str:
    lines = ["The guest has more than one operating system:", ""]
    lines += [f"  [{number}] {text}" for number, text in enumerate(described, 1)]
    sys.stdout.write("\n".join([*lines, ""]))
    while True:
        sys.stdout.write(f"Which one is to be converted? [1-{len(roots)}] ")
        sys.stdout.flush()
        answer = sys.stdin.readline()
        if not answer:
            raise ConversionError("no operating system was chosen", hint="choose one with --root")
        if answer.strip().isdecimal() and 1 <= int(answer) <= len(roots):
            return roots[int(answer) - 1]


def _describe(session: Session, root: str) -> str:
    try:
        own = session.library_names.get(root, root)
        name = _known_or_none(_text_of_guest(session.handle.inspect_get_product_name, own))
    except RuntimeError:
        name = None
    return f"{root} ({name})" if name else root


def _text_of_guest(ask: Callable[[str], object], root: str) -> str:
    """Ask libguestfs for a text from the guest; return it on one line, cut, without control characters."""
    try:
        text = str(ask(root))
    except UnicodeDecodeError as err:
        text = err.object.decode("utf-8", "replace")
    return visible(text[:_TEXT_LIMIT]).strip()


def _known_or_none(value: object) -> str | None:
    text = str(value) if value is not None else ""
    return None if text in {"", "unknown"} else text
