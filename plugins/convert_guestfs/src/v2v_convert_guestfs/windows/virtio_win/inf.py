# SPDX-License-Identifier: GPL-2.0-or-later
"""Read a driver's INF: which devices it drives on which Windows, its service, its files and its catalogue.

The file is not trusted: it is bounded, and whatever is no INF reads as one without sections.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

#: Bytes. The largest INF of virtio-win has 100 KiB.
LONGEST = 1024 * 1024
#: Characters. Windows reads no longer ones.
_LONGEST_LINE = 4096
_MOST_LINES = 50_000
_MOST_INCLUDED = 64
_ENCODINGS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
#: The architectures of libguestfs as INFs name them.
ARCHITECTURES = {"i386": "x86", "x86_64": "amd64", "aarch64": "arm64"}
_DECORATION = re.compile(
    r"NT(?P<arch>x86|amd64|arm64|arm|ia64)?(?:\.(?P<major>\w*))?(?:\.(?P<minor>\w*))?(?:\.(?P<product>\w*))?"
    r"(?:\.\w*)?(?:\.(?P<build>\w*))?",
    re.IGNORECASE,
)
_FIELD = re.compile(r'\s*((?:"(?:[^"]|"")*"?|[^",;])*)(,|$)')


@dataclass(frozen=True)
class Line:
    """A line of a section: ``key = fields``, or only fields (then the key is ""). Strings are not replaced yet."""

    key: str
    fields: tuple[str, ...]

    def get(self, index: int) -> str:
        """Return a field, "" if there is none."""
        return self.fields[index] if index < len(self.fields) else ""


@dataclass(frozen=True, kw_only=True)
class Target:
    """The Windows for which an INF is read.

    :param arch: libguestfs's name. :param product: 1 for clients, 2 for domain controllers, 3 for servers.
    """

    arch: str
    version: tuple[int, int]
    build: int
    product: int = 1


@dataclass(frozen=True)
class Model:
    """A device that the INF installs: its ids, the best first, and the names of the strings that describe it."""

    ids: tuple[str, ...]
    section: str
    manufacturer: str
    description: str


@dataclass(frozen=True)
class Service:
    """A service that the INF creates. ``binary`` is the name of the file without its directory."""

    name: str
    display: str
    type: int
    start: int
    error_control: int
    group: str
    binary: str
    registry: tuple[Line, ...]


@dataclass(frozen=True)
class Installation:
    """What the INF does on one Windows."""

    models: tuple[Model, ...]
    services: tuple[Service, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """Hardware ids of all devices, in capitals, each once."""
        return tuple(dict.fromkeys(name for model in self.models for name in model.ids))


@dataclass(frozen=True)
class Inf:
    """The sections of an INF, by their names in lower case."""

    sections: dict[str, tuple[Line, ...]] = field(default_factory=dict)

    def section(self, name: str) -> tuple[Line, ...]:
        """Return the lines of a section; none if there is no such section."""
        return self.sections.get(name.lower(), ())

    def line(self, section: str, key: str) -> Line | None:
        """Return the first line of a section with this key."""
        return next((line for line in self.section(section) if line.key.lower() == key.lower()), None)

    def version(self, key: str, index: int = 0) -> str:
        """Return a field of the section Version with its strings replaced, or ""."""
        line = self.line("version", key)
        return self.replaced(line.get(index)) if line is not None else ""

    @property
    def class_name(self) -> str:
        """The class of the devices, such as ``SCSIAdapter``."""
        return self.version("class")

    @property
    def class_guid(self) -> str | None:
        """The GUID of the class, with braces, as the INF spells it; None if it is none."""
        guid = self.version("classguid")
        return guid if re.fullmatch(r"\{[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\}", guid) else None

    @property
    def provider(self) -> str:
        """Who provides the driver."""
        return self.version("provider")

    @property
    def driver_version(self) -> tuple[str, str]:
        """Date (MM/DD/YYYY) and version of the driver, as they are written."""
        return self.version("driverver"), self.version("driverver", 1)

    def catalogues(self, arch: str) -> tuple[str, ...]:
        """Return the names of the catalogue for an architecture, in lower case; more than one if there is a choice."""
        inf_arch = ARCHITECTURES.get(arch, arch)
        keys = (f"catalogfile.nt{inf_arch}", "catalogfile.nt", "catalogfile")
        return tuple(dict.fromkeys(name for key in keys if (name := self.version(key).lower())))

    def replaced(self, text: str) -> str:
        """Return a text with ``%name%`` replaced by the string of that name, once."""
        return re.sub(r"%([^%]*)%", lambda found: self._string(found[1]) if found[1] else "%", text[:4096])

    def _string(self, name: str) -> str:
        line = self.line("strings", name) or self.line("strings.0409", name)
        return line.get(0) if line is not None else f"%{name}%"

    def strings(self) -> dict[str, str]:
        """Return all strings by their names in lower case."""
        return {line.key.lower(): line.get(0) for line in self.section("strings") if line.key}

    def installation(self, target: Target) -> Installation | None:
        """Return what the INF does on a Windows; None if it is for another Windows or another machine."""
        models: list[Model] = []
        for manufacturer in self.section("manufacturer"):
            name = manufacturer.get(0) if manufacturer.fields else manufacturer.key
            chosen = self._best(name, manufacturer.fields[1:], target)
            if chosen is None:
                continue
            for line in self.section(chosen):
                ids = tuple(text.upper() for text in line.fields[1:] if text)
                if line.key and ids:
                    models.append(Model(ids, line.get(0), manufacturer.key, line.key))
        if not models:
            return None
        sections = dict.fromkeys(model.section for model in models)
        services = [service for section in sections for service in self._services(section, target)]
        return Installation(tuple(models), tuple(dict.fromkeys(services)))

    def _best(self, name: str, decorations: Sequence[str], target: Target) -> str | None:
        """Return the section of models for a Windows, or None."""
        ranked = [(rank, f"{name}.{text}") for text in decorations if (rank := _rank(text, target)) is not None]
        if ranked:
            return max(ranked)[1]
        # Only 32-bit Windows takes a section without decoration.
        return name if not any(decorations) or target.arch == "i386" else None

    def _services(self, section: str, target: Target) -> Iterator[Service]:
        for line in self.section(self._decorated(section, ".services", target)):
            if line.key.lower() != "addservice" or not line.get(0):
                continue
            yield self._service(line.get(0), line.get(2))

    def _decorated(self, section: str, ending: str, target: Target) -> str:
        """Return the name that a section of an installation has for a Windows."""
        names = (f"{section}.nt{ARCHITECTURES.get(target.arch, target.arch)}{ending}", f"{section}.nt{ending}")
        return next((name for name in names if name.lower() in self.sections), f"{section}{ending}")

    def _service(self, name: str, section: str) -> Service:
        def text(key: str) -> str:
            line = self.line(section, key)
            return line.get(0) if line is not None else ""

        line = self.line(section, "addreg")
        added = [entry for part in (line.fields if line else ())[:_MOST_INCLUDED] for entry in self.section(part)]
        return Service(
            name=self.replaced(name),
            display=text("displayname"),
            type=number(text("servicetype"), 1),
            start=number(text("starttype"), 3),
            error_control=number(text("errorcontrol"), 1),
            group=self.replaced(text("loadordergroup")),
            binary=text("servicebinary").rsplit("\\", 1)[-1],
            registry=tuple(added),
        )

    def files(self) -> tuple[str, ...]:
        """Return the names of the files that the INF installs, in lower case."""
        names = [
            line.key or line.get(0) for name in self.sections if name.split(".")[0] == "sourcedisksfiles"
            for line in self.section(name)
        ]  # fmt: skip
        return tuple(dict.fromkeys(name.lower() for name in names if name))


def read_inf(data: bytes) -> Inf:
    """Read an INF. What is too long, or no text, has no sections."""
    sections: dict[str, list[Line]] = {}
    current: list[Line] | None = None
    for text in _lines(data):
        if text.startswith("["):
            current = sections.setdefault(text[1:].split("]")[0].strip().strip('"').lower(), [])
        elif current is not None:
            current.append(_line(text))
    return Inf({name: tuple(lines) for name, lines in sections.items()})


def number(text: str, default: int) -> int:
    """Return a number of an INF (decimal or 0x…), of at most 32 bits, or the default."""
    try:
        value = int(text.strip()[:20], 0)
    except ValueError:
        return default
    return value if 0 <= value < 1 << 32 else default


def _lines(data: bytes) -> Iterator[str]:
    """Yield the lines without comments and empty ones, continued ones joined."""
    if len(data) > LONGEST:
        return
    encoding = next((name for bom, name in _ENCODINGS if data.startswith(bom)), None)
    text = data.decode(encoding or "cp1252", "replace").lstrip("\ufeff")
    waiting: list[str] = []
    for count, line in enumerate(re.split(r"\r\n|\r|\n", text)):
        if count > _MOST_LINES:
            return
        stripped = _uncommented(line).strip()
        if stripped.endswith("\\"):
            if len(waiting) < _MOST_INCLUDED:
                waiting.append(stripped[:-1][:_LONGEST_LINE])
            continue
        if whole := "".join((*waiting, stripped))[:_LONGEST_LINE]:
            yield whole
        waiting.clear()
    if waiting:
        yield "".join(waiting)[:_LONGEST_LINE]


def _uncommented(line: str) -> str:
    quoted = False
    for place, char in enumerate(line):
        if char == '"':
            quoted = not quoted
        elif char == ";" and not quoted:
            return line[:place]
    return line


def _line(text: str) -> Line:
    key, rest = "", text
    if (equal := _equal_sign(text)) is not None:
        key, rest = text[:equal].strip().strip('"'), text[equal + 1 :]
    return Line(key, tuple(_fields(rest)))


def _equal_sign(text: str) -> int | None:
    quoted = False
    for place, char in enumerate(text):
        if char == '"':
            quoted = not quoted
        elif char == "=" and not quoted:
            return place
    return None


def _fields(text: str) -> Iterator[str]:
    place = 0
    while place <= len(text):
        found = _FIELD.match(text, place)
        if found is None:
            return
        yield _unquoted(found[1].strip())
        if found[2] != ",":
            return
        place = found.end()


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1].replace('""', '"')
    return text


def _rank(decoration: str, target: Target) -> tuple[int, ...] | None:
    """Return how well a decoration fits, the higher the better; None if it does not."""
    found = _DECORATION.fullmatch(decoration)
    if found is None:
        return None
    arch, inf_arch = (found["arch"] or "").lower(), ARCHITECTURES.get(target.arch, target.arch)
    if arch != inf_arch and (arch or inf_arch != "x86"):
        return None
    version = tuple(number(found[name] or "0", 0) for name in ("major", "minor", "build"))
    if version > (*target.version, target.build):
        return None
    product = number(found["product"] or "0", 0)
    if product not in {0, target.product}:
        return None
    return (*version, int(product > 0), int(bool(arch)))
