# SPDX-License-Identifier: GPL-2.0-or-later
"""VMware: disable its repositories, and uninstall tools that were installed from its archive."""

from __future__ import annotations

import re

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.tools_removal.uninstallers import run_uninstaller
from v2v_convert_guestfs.session import Session

_PROGRAM = "/usr/bin/vmware-uninstall-tools.pl"
_LOCATIONS = "/etc/vmware-tools/locations"
#: Options of the uninstaller that keep it from rebuilding every initramfs.
_ANSWERS = [f"remove_answer RESTORE_RAMDISK_{name}".encode() for name in ("CMD", "KERNELS", "ONECALL")]

_HOST = r"https?://(?:[A-Za-z0-9-]+\.)*vmware\.com(?::[0-9]+)?(?:/|$|\s)"
_SECTION = re.compile(rb"^[ \t]*\[[^\]\n]+\][^\n]*(?:\n|\Z)", re.MULTILINE)
#: The baseurl option of a repository, with its continuation lines.
_BASEURL = re.compile(rb"^baseurl[ \t]*[=:](?P<value>[^\n]*(?:\n[ \t]+[^\n]*)*)", re.MULTILINE | re.IGNORECASE)
_ENABLED = re.compile(rb"^(?P<before>enabled[ \t]*[=:][ \t]*)(?P<value>[^\s]*)", re.MULTILINE | re.IGNORECASE)
_DEB = re.compile(rf"^(?=deb(?:-src)?[ \t][^\n]*?{_HOST})".encode(), re.MULTILINE)


def disable_repositories(files: GuestFiles) -> None:
    """Disable VMware's package repositories.

    :raises ConversionError: a file cannot be written.
    """
    what, why = "VMware's repositories are disabled", "their packages are for VMware's hypervisor only"
    for pattern in ("/etc/yum.repos.d/*.repo", "/etc/zypp/repos.d/*.repo"):
        for path in files.glob(pattern):
            files.edit(path, disable_sections, what=what, why=why)
    for path in ["/etc/apt/sources.list", *files.glob("/etc/apt/sources.list.d/*.list")]:
        files.edit(path, comment_sources, what=what, why=why)


def uninstall(session: Session, files: GuestFiles) -> None:
    """Run the uninstaller that came with the archive.

    :raises ConversionError: a file cannot be written.
    """
    if files.resolve(_PROGRAM):
        files.edit(
            _LOCATIONS,
            add_answers,
            what="the initramfs is not restored",
            why="the uninstaller would rebuild it needlessly",
        )
        run_uninstaller(session, files, [_PROGRAM], "the VMware Tools")


def disable_sections(data: bytes) -> bytes:
    """Set ``enabled=0`` in the sections of a dnf, yum or zypper repository file whose baseurl is at vmware.com."""
    heads = list(_SECTION.finditer(data))
    ends = [head.start() for head in heads[1:]] + [len(data)]
    parts = [data[: heads[0].start()]] if heads else [data]
    for head, end in zip(heads, ends, strict=False):
        parts += [head[0], _disabled(head[0], data[head.end() : end])]
    return b"".join(parts)


def comment_sources(data: bytes) -> bytes:
    """Comment out the lines of an apt sources file that name vmware.com."""
    return _DEB.sub(b"# ", data)


def add_answers(data: bytes) -> bytes:
    """Add the missing answers to the uninstaller's questions."""
    lines = data.split(b"\n")
    more = [answer for answer in _ANSWERS if answer not in lines]
    end = b"\n" if data and not data.endswith(b"\n") else b""
    return data + end + b"".join(answer + b"\n" for answer in more) if more else data


def _disabled(head: bytes, body: bytes) -> bytes:
    urls = b"\n".join(match["value"] for match in _BASEURL.finditer(body))
    if not re.search(rf"(?:^|\s){_HOST}".encode(), urls, re.MULTILINE):
        return body
    if not _ENABLED.search(body):
        return (b"" if head.endswith(b"\n") else b"\n") + b"enabled=0\n" + body
    return _ENABLED.sub(lambda match: match[0] if match["value"] == b"0" else match["before"] + b"0", body)
