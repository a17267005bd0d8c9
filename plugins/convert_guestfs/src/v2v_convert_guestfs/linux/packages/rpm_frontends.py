# SPDX-License-Identifier: GPL-2.0-or-later
"""The frontends of rpm that use repositories: dnf, yum, tdnf, zypper, and ALT's apt-get. They install packages only."""

from __future__ import annotations

from dataclasses import dataclass

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.families import Family


@dataclass(frozen=True)
class Frontend:
    """The commands of a frontend.

    :param install: a shell command that installs the package whose name is appended, in the running guest.
    :param refresh: a shell command that updates outdated package lists before installing, or "".
    """

    install: str = ""
    refresh: str = ""


#: The guest has rpm alone.
NO_FRONTEND = Frontend()

_PATIENCE = "--setopt=timeout=20 --setopt=retries=2"
DNF = Frontend(f"dnf -y {_PATIENCE} --setopt=skip_if_unavailable=True --setopt=install_weak_deps=False install")
DNF5 = Frontend(f"dnf5 -y {_PATIENCE} --setopt=skip_if_unavailable=True --setopt=install_weak_deps=False install")
YUM = Frontend(f"yum -y {_PATIENCE} install")
#: The yum of RHEL 5 does not support --setopt.
OLD_YUM = Frontend("yum -y install")
ZYPPER = Frontend("zypper --non-interactive install --no-recommends --auto-agree-with-licenses")
#: The zypper of SLES 10 and 11 supports fewer options.
OLD_ZYPPER = Frontend("zypper --non-interactive install --auto-agree-with-licenses")
TDNF = Frontend("tdnf -y install", "tdnf makecache")
APT_RPM = Frontend("apt-get -q -y install", "apt-get -q update")


def find_frontend(files: GuestFiles, family: Family, major_version: int) -> Frontend:
    """Return the frontend of the family, or another one that is installed, or NO_FRONTEND."""
    searches = {Family.REDHAT: _dnf_or_yum, Family.PHOTON: _tdnf, Family.SUSE: _zypper, Family.ALT: _apt}
    for search in sorted(searches, key=lambda other: other is not family):
        if frontend := searches[search](files, major_version if search is family else 0):
            return frontend
    return NO_FRONTEND


def _dnf_or_yum(files: GuestFiles, major_version: int) -> Frontend | None:
    # dnf is a link to dnf-3 or dnf5, depending on the distribution. The yum of RHEL 8 is the same program as dnf.
    for name, frontend in (("dnf", DNF), ("dnf5", DNF5), ("yum", OLD_YUM if 0 < major_version < 6 else YUM)):
        real = files.resolve(f"/usr/bin/{name}")
        if real:
            return DNF5 if real.endswith("/dnf5") else frontend
    return None


def _zypper(files: GuestFiles, major_version: int) -> Frontend | None:
    if files.resolve("/usr/bin/zypper") is None:
        return None
    return OLD_ZYPPER if 0 < major_version < 12 else ZYPPER


def _tdnf(files: GuestFiles, _major_version: int) -> Frontend | None:
    return TDNF if files.resolve("/usr/bin/tdnf") else None


def _apt(files: GuestFiles, _major_version: int) -> Frontend | None:
    return APT_RPM if files.resolve("/usr/bin/apt-get") else None
