# SPDX-License-Identifier: GPL-2.0-or-later
"""Find out what Windows the guest is, from its hives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.session import Blockers, Session
from v2v_convert_guestfs.windows import releases
from v2v_convert_guestfs.windows.checks.antivirus import antivirus_programs
from v2v_convert_guestfs.windows.control_sets import find_control_sets
from v2v_convert_guestfs.windows.files import WindowsFiles
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.registry.appliance_store import ApplianceStore
from v2v_convert_guestfs.windows.registry.hive_files import find_hives
from v2v_convert_guestfs.windows.registry.hives import HiveName, Key, Registry
from v2v_convert_guestfs.windows.system import Product, WindowsSystem
from v2v_core.api import ConversionError, WindowsInspection, visible

_VERSION = r"Microsoft\Windows NT\CurrentVersion"
_POLICIES = r"Microsoft\Windows\CurrentVersion\Group Policy\History"
_LONGEST_BUILD = 6
_TEXT_LIMIT = 200


def look(session: Session, blockers: Blockers) -> WindowsGuest:
    """Look at a Windows guest whose file systems are mounted, and complete ``session.found``.

    :raises ConversionError: there are obstacles without whose remedy nothing more can be seen.
    """
    files = WindowsFiles(session)
    systemroot = find_systemroot(session, files)
    paths = find_hives(session, files, systemroot, blockers)
    if set(paths) != set(HiveName):
        blockers.stop()
    registry = Registry(session, ApplianceStore(session, paths))
    try:
        return look_at(session, files, registry, blockers, systemroot=systemroot, paths=paths)
    except ConversionError as err:
        if err.obstacles:
            raise
        blockers.add(err.message, err.hint or "restore the registry of the guest from a backup at the source")
        blockers.stop()
        raise


def look_at(
    session: Session,
    files: WindowsFiles,
    registry: Registry,
    blockers: Blockers,
    *,
    systemroot: str,
    paths: dict[HiveName, str],
) -> WindowsGuest:
    """Read the guest's registry. It is an obstacle that no control set can start.

    :raises ConversionError: a hive cannot be read, or there are obstacles that hide everything else.
    """
    sets = find_control_sets(registry, blockers)
    if sets is None:
        blockers.stop()
        raise ConversionError("internal error: the guest has no control set, and there is no blocker")
    found = session.inspection
    version = registry.key(HiveName.SOFTWARE, _VERSION)
    if version is None:
        session.report.warning(
            rf"the guest's registry has no key SOFTWARE\{_VERSION}: its version is what libguestfs takes it for"
        )
    numbers = _numbers(version) or (found.major_version, found.minor_version)
    build = _build(version)
    if not build:
        session.report.warning("the guest's registry does not say which build of Windows it is")
    own = _text(version, "ProductName") or found.product_name or "Windows"
    product = _product(registry, sets.default, version, session)
    system = WindowsSystem(
        systemroot=systemroot,
        arch=found.arch,
        version=numbers,
        build=build,
        product=product,
        product_name=releases.product_name(own, numbers, build, product),
        osinfo=releases.osinfo(own, numbers, build, product) or found.osinfo,
        current=sets.current,
        default=sets.default,
        driver_database=registry.key(HiveName.SYSTEM, "DriverDatabase") is not None,
    )
    session.found = replace(
        found,
        major_version=numbers[0],
        minor_version=numbers[1],
        osinfo=system.osinfo,
        product_name=system.product_name,
        windows=WindowsInspection(
            systemroot=systemroot,
            current_control_set=sets.current,
            default_control_set=sets.default,
            software_hive=paths[HiveName.SOFTWARE],
            system_hive=paths[HiveName.SYSTEM],
            build=build,
            product=product.value,
            group_policy=_has_policies(registry),
            antivirus=bool(antivirus_programs(registry)),
            drive_letters=_drive_letters(session),
        ),
    )
    return WindowsGuest(session=session, files=files, registry=registry, system=system)


def find_systemroot(session: Session, files: WindowsFiles) -> str:
    """Return the directory of Windows, as libguestfs has found it."""
    root = session.inspection.root
    try:
        said = str(session.handle.inspect_get_windows_systemroot(session.library_names.get(root, root)))
    except (RuntimeError, UnicodeDecodeError) as err:
        session.report.debug(f"libguestfs does not know the directory of Windows: {brief(err)}")
        said = ""
    candidates = [said, "/Windows", "/WINNT"] if said else ["/Windows", "/WINNT"]
    found = (files.find(path) for path in candidates if files.find(f"{path}/System32/config") is not None)
    return next((path for path in found if path is not None), candidates[0])


def _numbers(version: Key | None) -> tuple[int, int] | None:
    """Return the version of the kernel. Windows 10 and later say 6.3 in CurrentVersion."""
    if version is None:
        return None
    major, minor = version.value("CurrentMajorVersionNumber"), version.value("CurrentMinorVersionNumber")
    if major is not None and minor is not None and major.number and minor.number is not None:
        return (major.number, minor.number) if max(major.number, minor.number) < 100 else None
    first, dot, second = (_text(version, "CurrentVersion") or "").partition(".")
    if dot and _is_number(first, 2) and _is_number(second, 2):
        return int(first), int(second)
    return None


def _build(version: Key | None) -> int:
    # Windows XP has a text in CurrentBuild that is none.
    for name in ("CurrentBuildNumber", "CurrentBuild"):
        text = _text(version, name) or ""
        if _is_number(text, _LONGEST_BUILD):
            return int(text)
    return 0


def _is_number(text: str, digits: int) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= digits


def _product(registry: Registry, control_set: str, version: Key | None, session: Session) -> Product:
    options = registry.key(HiveName.SYSTEM, rf"{control_set}\Control\ProductOptions")
    said = (_text(options, "ProductType") or "").lower()
    for product in Product:
        if product.value.lower() == said:
            return product
    kind = (_text(version, "InstallationType") or _text(version, "ProductName") or "").lower()
    product = Product.SERVER if "server" in kind else Product.CLIENT
    session.report.warning(
        rf"SYSTEM\{control_set}\Control\ProductOptions of the guest's registry has no ProductType that is known: the "
        f"guest is taken for a {'server' if product is Product.SERVER else 'client'}"
    )
    return product


def _text(key: Key | None, name: str) -> str | None:
    value = key.value(name) if key is not None else None
    text = value.text if value is not None else None
    return visible(text[:_TEXT_LIMIT]).strip() or None if text is not None else None


def _has_policies(registry: Registry) -> bool:
    key = registry.key(HiveName.SOFTWARE, _POLICIES)
    return key is not None and bool(registry.store.children(key.hive, key.number))


def _drive_letters(session: Session) -> tuple[tuple[str, str], ...]:
    root = session.inspection.root
    ask: Callable[[str], dict[str, str]] = session.handle.inspect_get_drive_mappings
    try:
        found = ask(session.library_names.get(root, root))
        return tuple(sorted((str(letter).upper(), str(device)) for letter, device in found.items()))
    except (RuntimeError, UnicodeDecodeError) as err:
        session.report.debug(f"libguestfs does not know the drive letters: {brief(err)}")
        return ()
