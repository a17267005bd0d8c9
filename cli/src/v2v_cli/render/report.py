# SPDX-License-Identifier: GPL-2.0-or-later
"""The report of a run: a text for the administrator, and JSON for programs.

The JSON is one object. New members may be added; the version changes if one is removed or changes its meaning::

    format, version     "v2v-report", 1
    outcome             "finished" (it exists at the destination), "converted" (it was not copied, or not yet),
                        "failed" or "unfinished" (interrupted, or still running)
    guest               null, or name, hypervisor, memory (bytes), vcpus
    system              null, or what inspection found: root, os_type, distro, arch, major_version, … , mountpoints,
                        windows (null, or what only Windows has: systemroot, build, drive_letters, …)
    firmware            null, "bios", "uefi" or "unknown"
    hardware            null, or what the guest gets: machine, block_bus, net_model, virtio_rng, …
    disks, removables   lists: index, bus, device, size (bytes), boot_order; kind, bus, device
    nics                a list: mac, model, kind ("network" or "bridge"), network
    created             a list of texts: the files, disks and virtual machines at the destination
    changes             a list: subject ("file", "package" or "registry"), path, value (name of the value of a registry
                        key, or null), what, why
    facts               a list, what was examined in the converted guest: name, verdict ("passed", "failed" or
                        "unknown"), detail
    copy                a list, what was copied of each disk: disk, size, copied and zeroed (bytes, or null), verified
                        (the target was read back and compared), hashes (null, or algorithm, block and group (bytes),
                        root, groups: an object of hashes by the number of the group, in hexadecimal; a group that is
                        not there reads as zeros)
    notes               a list: step, text
    warnings            a list: step, text, hint
    failure             null, or step, disk, code (the exit code), text, hint, obstacles (a list: reason, remedy)
    to_do               a list of texts: the remedies, and the warnings
    steps               a list: step, outcome ("finished", "failed" or "unfinished"), started (seconds since the
                        epoch), seconds

Both forms hold no control characters, and none that change the direction of a line: much of the text is the guest's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from v2v_cli.render.sanitize import sanitize, sanitize_path
from v2v_cli.render.system import system_record, windows_properties
from v2v_core.events import Event
from v2v_core.model import Change, ChangeKind, Fact, TargetDisk, TargetGuest, Verdict
from v2v_core.run_report import CopiedDisk, Outcome, RunReport, StepRun

VERSION = 1
_OUTCOMES = {
    Outcome.FINISHED: "The guest was converted and exists at the destination.",
    Outcome.CONVERTED: "The guest was converted.",
}
#: Of the facts in the text.
_ORDER = (Verdict.FAILED, Verdict.UNKNOWN, Verdict.PASSED)
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def report_as_json(report: RunReport) -> str:
    """Return a report as JSON, ASCII only."""
    text = json.dumps(harmless(_record(report)), indent=1, ensure_ascii=True)
    # the only control character that json leaves as it is
    return text.replace("\x7f", "\\u007f") + "\n"


def report_as_text(report: RunReport) -> str:
    """Return a report as lines for people."""
    blocks = [
        _outcome(report),
        ("Guest", list(_guest(report))),
        ("What there is now", [sanitize_path(name) for name in report.created]),
        ("Why it failed", list(_failure(report.failure))),
        ("Warnings: please look at these", [f"* {sanitize(_with_hint(event))}" for event in report.warnings]),
        (f"{_heading_of_changes(report)} ({len(report.changes)})", list(changes_by_reason(report.changes))),
        (facts_heading(report.facts), [*facts_as_lines(report.facts)]),
        ("Copy", [_property(f"disk {disk.index}", _copied(disk)) for disk in report.copied]),
        ("Worth knowing", [f"* {sanitize(event.text)}" for event in report.infos]),
        ("Steps", [_step(run) for run in report.steps]),
    ]
    return "\n".join(
        "".join(f"{line}\n" for line in (heading, *(f"  {line}" for line in lines)))
        for heading, lines in blocks
        if lines or heading == blocks[0][0]
    )


def change_record(change: Change) -> dict[str, Any]:
    """Return a change for JSON."""
    record = asdict(change)
    return {"subject": record.pop("kind").value, **record}


def facts_heading(facts: Sequence[Fact]) -> str:
    """Return the heading of a list of facts, with their number by verdict."""
    counts = [(verdict, sum(fact.verdict is verdict for fact in facts)) for verdict in Verdict]
    return f"Examination of the result ({', '.join(f'{count} {verdict}' for verdict, count in counts if count)})"


def facts_as_lines(facts: Sequence[Fact]) -> Iterator[str]:
    """Yield the facts with their verdicts, those that did not pass first."""
    for fact in sorted(facts, key=lambda fact: _ORDER.index(fact.verdict)):
        detail = f" ({fact.detail})" if fact.detail else ""
        yield sanitize(f"{fact.verdict:8}{fact.name}{detail}")


def _record(report: RunReport) -> dict[str, Any]:
    target, guest, failure = report.target, report.guest, report.failure
    return {
        "format": "v2v-report",
        "version": VERSION,
        "outcome": report.outcome.value,
        "guest": None
        if guest is None
        else {"name": guest.name, "hypervisor": guest.hypervisor, "memory": guest.memory, "vcpus": guest.cpu.count},
        "system": None if target is None else system_record(target.inspection),
        "firmware": target.firmware.value if target else None,
        "hardware": asdict(target.capabilities) if target else None,
        "disks": [asdict(disk) for disk in target.disks] if target else [],
        "removables": [asdict(drive) for drive in target.removables] if target else [],
        "nics": [asdict(nic) for nic in target.nics] if target else [],
        "created": list(report.created),
        "changes": [change_record(change) for change in report.changes],
        "facts": [asdict(fact) for fact in report.facts],
        "copy": [_copy_record(disk) for disk in report.copied],
        "notes": [{"step": event.step.value, "text": event.text} for event in report.infos],
        "warnings": [{"step": event.step.value, "text": event.text, "hint": event.hint} for event in report.warnings],
        "failure": None
        if failure is None
        else {
            "step": failure.step.value,
            "disk": failure.disk,
            "code": failure.code,
            "text": failure.text,
            "hint": failure.hint,
            "obstacles": [asdict(obstacle) for obstacle in failure.obstacles],
        },
        "to_do": list(report.to_do),
        "steps": [
            {
                "step": run.step.value,
                "outcome": _word(run),
                "started": round(run.started, 3),
                "seconds": None if run.seconds is None else round(run.seconds, 3),
            }
            for run in report.steps
        ],
    }


def _copy_record(disk: CopiedDisk) -> dict[str, Any]:
    record = asdict(disk)
    return {"disk": record.pop("index"), **record}


def harmless(value: Any, name: str = "") -> Any:
    """Return JSON values without control characters, and without those that change the direction of a line."""
    if isinstance(value, dict):
        return {key: harmless(member, key) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [harmless(member, name) for member in value]
    if isinstance(value, str):
        return sanitize_path(value) if name == "path" else sanitize(value)
    return value


def _outcome(report: RunReport) -> tuple[str, list[str]]:
    if report.failure is not None:
        disk = f" (disk {report.failure.disk})" if report.failure.disk is not None else ""
        return f"The conversion failed in the step {report.failure.step.value}{disk}.", []
    if report.outcome is Outcome.UNFINISHED:
        where = f" in the step {report.unfinished.value}" if report.unfinished else ""
        return f"The conversion did not end{where}: it was interrupted, or is still running.", []
    return _OUTCOMES[report.outcome], []


def _guest(report: RunReport) -> Iterator[str]:
    guest, target = report.guest, report.target
    if guest is not None:
        yield _property("name", guest.name)
        yield _property("came from", guest.hypervisor)
    if target is None:
        return
    system, hardware = target.inspection, target.capabilities
    version = f"{system.major_version}.{system.minor_version}"
    yield _property("system", f"{system.product_name or system.distro} ({system.distro} {version}, {system.arch})")
    if system.windows is not None:
        yield from (_property(label, value) for label, value in windows_properties(system.windows))
    yield _property("firmware", target.firmware.value)
    virtio = (
        *(("a random number generator",) if hardware.virtio_rng else ()),
        *(("a memory balloon",) if hardware.virtio_balloon else ()),
        *(("a socket",) if hardware.virtio_socket and target.source.vsock else ()),
    )
    yield _property("machine", hardware.machine + (f", with {', '.join(virtio)}" if virtio else ""))
    yield from (_property(f"disk {disk.index}", _disk(disk)) for disk in target.disks)
    for drive in target.removables:
        yield _property(drive.kind, f"{drive.device}, {drive.bus.value}")
    yield from _nics(target)


def _disk(disk: TargetDisk) -> str:
    size = "" if disk.size is None else f", {size_text(disk.size)}"
    boot = ", boots" if disk.boot_order == 1 else ""
    return f"{disk.device}, {disk.bus.value}{size}{boot}"


def _copied(disk: CopiedDisk) -> str:
    words = []
    if disk.copied is not None:
        words.append(f"{size_text(disk.copied)} of {size_text(disk.size)} copied")
    if disk.zeroed:
        words.append(f"{size_text(disk.zeroed)} zeroed")
    words.append("read back and compared" if disk.verified else "not read back")
    if disk.hashes is not None:
        words.append(f"{disk.hashes.algorithm} {disk.hashes.root}")
    return ", ".join(words)


def _nics(target: TargetGuest) -> Iterator[str]:
    for number, nic in enumerate(target.nics, start=1):
        words = [nic.mac or "no MAC address", nic.model or target.capabilities.net_model, f"{nic.kind} {nic.network!r}"]
        yield _property(f"NIC {number}", ", ".join(words))


def _failure(failure: Event | None) -> Iterator[str]:
    if failure is None:
        return
    if len(failure.obstacles) > 1:
        for number, obstacle in enumerate(failure.obstacles, start=1):
            yield f"{number}. {sanitize(obstacle.reason)}"
            yield f"   what to do: {sanitize(obstacle.remedy)}"
        return
    yield sanitize(failure.text)
    if failure.hint:
        yield f"what to do: {sanitize(failure.hint)}"


def _heading_of_changes(report: RunReport) -> str:
    if report.target is not None:
        return "Changes to the guest"
    return "Changes before it ended, on the overlay that the run works on (with --in-place: in the guest itself)"


def changes_by_reason(changes: Sequence[Change]) -> Iterator[str]:
    """Yield the changes grouped by their reason: packages, files, registry. Within a group they keep their order."""
    for kind in (ChangeKind.PACKAGE, ChangeKind.FILE, ChangeKind.REGISTRY):
        reasons: dict[str, list[Change]] = {}
        for change in changes:
            if change.kind is kind:
                reasons.setdefault(change.why, []).append(change)
        for why, group in reasons.items():
            yield f"{sanitize(why)}:"
            yield from (f"  {sanitize_path(change.place)}: {sanitize(change.what)}" for change in group)


def _step(run: StepRun) -> str:
    seconds = "" if run.seconds is None else f"{run.seconds:8.1f} s"
    return f"{run.step.value:16}{seconds:>10}  {_word(run)}"


def _word(run: StepRun) -> str:
    if run.failure is not None:
        return "failed"
    return "unfinished" if run.ended is None else "finished"


def _with_hint(event: Event) -> str:
    return f"{event.text} ({event.hint})" if event.hint else event.text


def _property(label: str, value: str) -> str:
    return f"{label:10}{sanitize(value)}"


def size_text(size: int) -> str:
    """Return a size in bytes in the unit that suits it."""
    amount, units = float(size), iter(_UNITS)
    unit = next(units)
    for larger in units:
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.1f} {unit}" if unit != "bytes" else f"{size} bytes"
