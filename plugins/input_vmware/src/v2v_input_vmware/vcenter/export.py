# SPDX-License-Identifier: GPL-2.0-or-later
"""Read disks by an export, as the vSphere Client does ("Export OVF Template"): ``-it export``.

The hosts send each disk as a compressed stream, whatever datastore it is on. So the disks are downloaded first, several
at once, each into a raw image with holes, and are read from there.
"""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from v2v_core.api import Bus, InputSetupRequest, QemuImage, Reporter, SourceError, amount
from v2v_input_vmware.vcenter.address import Address
from v2v_input_vmware.vcenter.download import ATTEMPTS, Download, Received, Stopped
from v2v_input_vmware.vcenter.hosts import sender_of
from v2v_input_vmware.vcenter.lease import Lease, leased
from v2v_input_vmware.vcenter.machine import VmDisk
from v2v_input_vmware.vcenter.room import check_room, stored_sizes
from v2v_input_vmware.vcenter.session import session_cookie
from v2v_input_vmware.vcenter.settings import ExportSettings
from v2v_input_vmware.vcenter.source import Source
from v2v_input_vmware.vcenter.trust import Trust

#: A data object of pyvmomi, which has no type hints.
Data = Any

#: How the lease names a disk: /vm-12/ParaVirtualSCSIController0:1
_PLACE = re.compile(r"(?P<controller>[A-Za-z]+)(?P<bus>[0-9]{1,4}):(?P<unit>[0-9]{1,4})")
_BUSES = (
    (re.compile("NVME", re.IGNORECASE), Bus.NVME),
    (re.compile("AHCI|SATA", re.IGNORECASE), Bus.SATA),
    (re.compile("IDE", re.IGNORECASE), Bus.IDE),
    (re.compile("SCSI|Lsi|BusLogic", re.IGNORECASE), Bus.SCSI),
)
#: Seconds between two reports of the progress.
_REPORT = 1.0
#: Seconds to wait for threads that were told to stop.
_STOP = 10.0


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where disks are downloaded to.

    :param parallel: how many at once.
    """

    directory: Path
    parallel: int
    report: Reporter


def services(source: Source, settings: ExportSettings, request: InputSetupRequest) -> tuple[QemuImage, ...]:
    """Download the disks, and return how they are served.

    :raises SourceError: they cannot be exported, or there is no room for them.
    """
    directory, disks, found = request.temporary or request.directory, source.disks, source.found
    if request.metadata_only:
        return tuple(_empty(directory / f"disk{index}.raw", disk) for index, disk in enumerate(disks, 1))
    stored = stored_sizes(source.service, found.vm) if found.snapshot is None else {}
    check_room(disks, stored, directory, request.report)
    place = Place(directory=directory, parallel=settings.parallel, report=request.report)
    total = amount(sum(disk.size for disk in disks))
    request.report.message(f"Downloading {len(disks)} {'disk' if len(disks) == 1 else 'disks'} of {total} in total")
    exported = found.vm if found.snapshot is None else found.snapshot
    with leased(source.service, source.address, found.machine, exported, request.directory, request.ledger) as lease:
        return download(lease, disks, source.address, source.trust, session_cookie(source.service), place)


def _empty(target: Path, disk: VmDisk) -> QemuImage:
    """Make an image of a disk's size without content, for a run that only asks for the metadata."""
    with target.open("wb") as stream:
        stream.truncate(disk.size)
    return QemuImage(path=target, format="raw")


def download(
    lease: Lease, disks: Sequence[VmDisk], address: Address, trust: Trust, cookie: str, place: Place
) -> tuple[QemuImage, ...]:
    """Download the disks of a lease, and return how they are served.

    :param cookie: of the session; only the server itself gets it.
    :raises SourceError: a disk cannot be downloaded, or is not what the server says that it has sent.
    """
    say: queue.SimpleQueue[str] = queue.SimpleQueue()
    urls = match_disks(lease.disks, disks, address)
    downloads = []
    for index, (disk, url) in enumerate(zip(disks, urls, strict=True), 1):
        sender = sender_of(url.url, getattr(url, "sslThumbprint", None), address, trust)
        itself = (sender.host, sender.port) == (address.host, address.port)
        target = place.directory / f"disk{index}.raw"
        downloads.append(Download(index, disk, sender, target, cookie if itself else None, say.put))
    lease.request_digests("sha256")
    keys = {each.index: url.key for each, url in zip(downloads, urls, strict=True)}
    wanted = downloads
    for attempt in range(1, ATTEMPTS + 1):
        received = _Pool(wanted, lease, place, say).run()
        manifest = lease.manifest() or {}
        if attempt == 1 and any(key not in manifest for key in keys.values()):
            place.report.info("the server gives no checksums of all disks; those within the streams were verified")
        faults = {
            each: fault for each in wanted if (fault := _fault(received[each.index], manifest.get(keys[each.index])))
        }
        if not faults:
            break
        each, fault = next(iter(faults.items()))
        if attempt == ATTEMPTS:
            raise SourceError(
                f"{each.what} was damaged on the way, {ATTEMPTS} times: {fault}",
                hint="look at the network between the hosts",
            )
        place.report.warning(f"{each.what} was damaged on the way ({fault}): it is downloaded again")
        wanted = list(faults)
    return tuple(QemuImage(path=each.target, format="raw") for each in downloads)


def match_disks(urls: Sequence[Data], disks: Sequence[VmDisk], address: Address) -> tuple[Data, ...]:
    """Return for each disk what the lease says about it.

    :raises SourceError: the lease does not have each disk once.
    """
    by_place = {_place(url.key): url for url in urls}
    found = [by_place.get((disk.bus, disk.controller, disk.unit)) for disk in disks]
    if len(urls) == len(disks) and all(url is None for url in found):
        # names of a form that is not known; the lease lists the disks in the order of their keys
        order = sorted(range(len(disks)), key=lambda number: disks[number].key)
        found = [None] * len(disks)
        for number, url in zip(order, urls, strict=True):
            found[number] = url
    missing = [disk for disk, url in zip(disks, found, strict=True) if url is None]
    if missing:
        raise SourceError(
            f"{address.host} does not export {missing[0].label} ({missing[0].file}); it exports "
            f"{', '.join(url.key for url in urls)[:300] or 'no disk'}",
            hint="independent disks and raw device mappings may be left out of an export: use another transport (-it)",
        )
    return tuple(found)


def _place(key: str) -> tuple[Bus | None, int | None, int | None]:
    match = _PLACE.fullmatch(key.rpartition("/")[2])
    if match is None:
        return None, None, None
    bus = next((bus for pattern, bus in _BUSES if pattern.search(match["controller"])), None)
    return bus, int(match["bus"]), int(match["unit"])


def _fault(received: Received, entry: Data) -> str | None:
    """Return in what a stream differs from what the server says that it has sent; None if in nothing."""
    if entry is None:
        return None
    if entry.size and int(entry.size) != received.size:
        return f"{received.size} bytes arrived, and the server sent {int(entry.size)}"
    given = [("sha1", getattr(entry, "sha1", None))]
    given.append((str(getattr(entry, "checksumType", None) or ""), getattr(entry, "checksum", None)))
    for name, digest in given:
        algorithm = name.lower().replace("-", "")
        mine = received.digests.get(algorithm)
        if digest and mine is not None and str(digest).replace(":", "").lower() != mine:
            return f"its {algorithm.upper()} is {mine}, and the server says {str(digest)[:128]}"
    return None


class _Pool:
    """Threads that run downloads, while this thread keeps the lease alive and reports."""

    def __init__(self, downloads: Sequence[Download], lease: Lease, place: Place, say: queue.SimpleQueue[str]) -> None:
        self._downloads, self._lease, self._place, self._say = downloads, lease, place, say
        self._left: queue.SimpleQueue[Download] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[tuple[Download, Received | Exception]] = queue.SimpleQueue()
        self._reported = 0.0
        for each in downloads:
            self._left.put(each)

    def run(self) -> dict[int, Received]:
        """Run all downloads, and return what was received by the numbers of the disks.

        :raises SourceError: that of the first that failed; the others are stopped.
        """
        count = min(self._place.parallel, len(self._downloads))
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        found: dict[int, Received] = {}
        try:
            while len(found) < len(self._downloads):
                self._watch()
                try:
                    each, result = self._ended.get(timeout=min(0.2, _REPORT))
                except queue.Empty:
                    continue
                if isinstance(result, Exception):
                    raise result
                found[each.index] = result
                self._place.report.info(f"{each.what} was downloaded: {amount(result.size)} arrived")
            self._watch(at_once=True)
        except BaseException:
            for each in self._downloads:
                each.stop()
            raise
        finally:
            end = time.monotonic() + _STOP
            for thread in threads:
                thread.join(max(0.0, end - time.monotonic()))
        return found

    def _work(self) -> None:
        while True:
            try:
                each = self._left.get_nowait()
            except queue.Empty:
                return
            try:
                self._ended.put((each, each.run()))
            except Stopped:
                return
            except Exception as err:
                self._ended.put((each, err))
                return

    def _watch(self, *, at_once: bool = False) -> None:
        while not self._say.empty():
            self._place.report.warning(self._say.get())
        total = sum(each.disk.size for each in self._downloads)
        self._lease.renew(100 * sum(each.position for each in self._downloads) // max(1, total))
        if at_once or time.monotonic() - self._reported >= _REPORT:
            self._reported = time.monotonic()
            for each in self._downloads:
                self._place.report.progress(each.position, each.disk.size, disk=each.index)
