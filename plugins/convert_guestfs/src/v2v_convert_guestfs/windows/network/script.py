# SPDX-License-Identifier: GPL-2.0-or-later
r"""Write the batch script that gives the NICs their settings at first boot.

It finds a NIC by its MAC address, with getmac, and sets everything with netsh by the name that the connection has then:
Windows has just made that name, so that it can be written in the code page of the guest. The names that the connections
get back come from a file, because they may have characters that mean something in a batch file.

It runs again until each NIC was there: what was done is marked by files in ``%V2V%``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from v2v_convert_guestfs.windows.network.adapters import CONNECTIONS
from v2v_convert_guestfs.windows.network.plan import Replay
from v2v_convert_guestfs.windows.network.settings import INTERFACE, IpSettings, Route
from v2v_convert_guestfs.windows.system import WindowsSystem

#: The file with the names of connections.
NAMES = "network-names.txt"
#: How often the script looks for NICs, with about five seconds between.
_TRIES = 60
_SERVICES = r"HKLM\SYSTEM\CurrentControlSet"
_NETBIOS = r"Services\NetBT\Parameters\Interfaces\Tcpip_{guid}"

_START = rf"""@echo off
setlocal EnableExtensions DisableDelayedExpansion
rem Gives the NICs of this machine the settings that they had before it was moved to KVM. Written by virt-v2v.
set "left={_TRIES}"
set "waiting="
set "failed="
for /f "usebackq tokens=1,* delims==" %%a in ("%V2V%\{NAMES}") do set "wanted%%a=%%b"
"""

_END = r"""if defined failed echo failed>"%V2V%\network-failed"
if defined waiting echo Not all NICs are there yet.
if defined waiting exit 249
if exist "%V2V%\network-failed" exit 1
exit 250

:find
set "name="
for /f "tokens=1-4 delims=," %%a in ('getmac /v /fo csv /nh') do (
if /i "%%~c"=="%mac%" set "name=%%~a"
if /i "%%~d"=="%mac%" set "name=%%~a"
)
if defined name goto :eof
if %left% leq 0 goto :eof
set /a left-=1
ping -n 6 127.0.0.1 >nul
goto find

:verify
set "tries=5"
:look
set "there="
netsh interface %family% show address "%name%" >"%V2V%\network-now"
for /f "usebackq tokens=1-8" %%a in ("%V2V%\network-now") do (
if /i "%%b"=="%want%" set "there=1"
if /i "%%c"=="%want%" set "there=1"
if /i "%%d"=="%want%" set "there=1"
if /i "%%e"=="%want%" set "there=1"
if /i "%%f"=="%want%" set "there=1"
if /i "%%g"=="%want%" set "there=1"
if /i "%%h"=="%want%" set "there=1"
)
if defined there goto :eof
set /a tries-=1
if %tries% leq 0 goto lacks
ping -n 3 127.0.0.1 >nul
goto look
:lacks
echo The address %want% is not there.
set "failed=1"
goto :eof
"""

_FIND_GUID = rf"""
:identify
set "guid="
set "key="
for /f "tokens=1,2,*" %%a in ('reg query "{_SERVICES}\{CONNECTIONS}" /s') do (
if "%%b"=="" set "key=%%a"
if /i "%%a=%%c"=="Name=%name%" goto identified
)
echo The registry has no connection of this name.
set "failed=1"
goto :eof
:identified
set "key=%key:\Connection=%"
set "guid=%key:~-38%"
goto :eof
"""


@dataclass(frozen=True)
class _Dialect:
    """How netsh of a Windows version wants its arguments.

    :param family: its name for IPv4. :param address: for the address of a server or NIC. :param unchecked: keeps it
        from asking the name server whether it is one, which takes long and fails where there is no network yet.
    """

    family: str
    address: str
    unchecked: str
    has_registry_only: bool

    @classmethod
    def of(cls, system: WindowsSystem) -> _Dialect:
        if not system.at_least(6):
            return cls("ip", "addr", "", True)
        return cls("ipv4", "address", " validate=no" if system.at_least(6, 1) else "", False)


def batch(replays: Sequence[Replay], system: WindowsSystem) -> str:
    """Return the script."""
    dialect = _Dialect.of(system)
    blocks = [_nic(number, replay, dialect) for number, replay in enumerate(replays, 1)]
    lines = [line for block in blocks for line in block]
    tail = _FIND_GUID if "call :identify" in lines else ""
    return _START + "\n".join([*lines, *_names(replays)]) + "\n" + _END + tail


def names_file(replays: Sequence[Replay], codepage: str) -> bytes:
    """Return the file with the names that the connections get: NUMBER=NAME, in the code page of the guest."""
    lines = [f"{number}={replay.name}\r\n" for number, replay in enumerate(replays, 1) if replay.name is not None]
    return "".join(lines).encode(codepage)


def _nic(number: int, replay: Replay, dialect: _Dialect) -> Iterator[str]:
    """Yield the lines for one NIC."""
    yield ""
    yield f'if exist "%V2V%\\network-{number}" goto next{number}'
    yield f'set "mac={replay.mac.replace(":", "-").upper()}"'
    yield "call :find"
    yield 'if not defined name set "waiting=1"'
    yield f"if not defined name goto next{number}"
    yield 'echo The NIC %mac% is the connection "%name%".'
    settings = replay.settings
    for command in (*_ipv4(settings, dialect), *_ipv6(settings, dialect)):
        yield command
        yield 'if errorlevel 1 set "failed=1"'
    yield from _in_registry(settings, dialect)
    for address in settings.addresses:
        yield f'set "family={dialect.family if address.version == 4 else "ipv6"}"'
        yield f'set "want={address.ip}"'
        yield "call :verify"
    yield f'set "old{number}=%name%"'
    yield f'echo done>"%V2V%\\network-{number}"'
    yield f":next{number}"


def _ipv4(settings: IpSettings, dialect: _Dialect) -> Iterator[str]:
    start, connection, tag = f"netsh interface {dialect.family}", 'name="%name%"', dialect.address
    addresses = [one for one in settings.addresses if isinstance(one, ipaddress.IPv4Interface)]
    gateways = [_gateway(route, dialect) for route in settings.routes_of(4) if route.is_default]
    if addresses:
        first = f"{tag}={addresses[0].ip} mask={addresses[0].netmask}"
        yield f"{start} set address {connection} source=static {' '.join([first, *gateways[:1]])}"
        for address in addresses[1:]:
            yield f"{start} add address {connection} {tag}={address.ip} mask={address.netmask}"
        for gateway in gateways[1:]:
            yield f"{start} add address {connection} {gateway}"
    servers = settings.nameservers_of(4)
    registered = f" register={settings.register or 'primary'}"
    for number, server in enumerate(servers, 1):
        what = f"add dns {connection}" if number > 1 else f"set dns {connection} source=static"
        place = f" index={number}" if number > 1 else registered
        yield f"{start} {what} {tag}={server}{place}{dialect.unchecked}"
    if not servers and settings.register is not None:
        yield f"{start} set dns {connection} source={f'static {tag}=none' if addresses else 'dhcp'}{registered}"
    for number, server in enumerate(settings.wins, 1):
        what = f"add wins {connection}" if number > 1 else f"set wins {connection} source=static"
        yield f"{start} {what} {tag}={server}" + (f" index={number}" if number > 1 else "")
    if not dialect.has_registry_only:
        yield from _by_index(settings)
        yield from _routes(start, settings.routes_of(4), without_default=bool(addresses))


def _gateway(route: Route, dialect: _Dialect) -> str:
    """Return the arguments for a default gateway. Old versions take no metric for 1, and 0 for their own choice."""
    metric = route.metric or (0 if dialect.has_registry_only else None)
    return f"gateway={route.gateway}{_option('gwmetric', metric)}"


def _by_index(settings: IpSettings) -> Iterator[str]:
    """Yield the commands for what netsh sets from Vista on."""
    if settings.metric is not None:
        yield f'netsh interface ipv4 set interface interface="%name%" metric={settings.metric} store=persistent'
    if settings.mtu is not None:
        yield f'netsh interface ipv4 set subinterface interface="%name%" mtu={settings.mtu} store=persistent'


def _routes(start: str, routes: Iterable[Route], *, without_default: bool) -> Iterator[str]:
    for route in routes:
        if not (route.is_default and without_default):
            yield (
                f'{start} add route prefix={route.network} interface="%name%" nexthop={route.gateway}'
                f"{_option('metric', route.metric)} store=persistent"
            )


def _ipv6(settings: IpSettings, dialect: _Dialect) -> Iterator[str]:
    start = "netsh interface ipv6"
    for address in settings.addresses_of(6):
        yield f'{start} add address interface="%name%" address={address} store=persistent'
    yield from _routes(start, settings.routes_of(6), without_default=False)
    for number, server in enumerate(settings.nameservers_of(6), 1):
        what = 'add dns name="%name%"' if number > 1 else 'set dns name="%name%" source=static'
        place = f" index={number}" if number > 1 else ""
        yield f"{start} {what} address={server}{place}{dialect.unchecked}"


def _in_registry(settings: IpSettings, dialect: _Dialect) -> Iterator[str]:
    """Yield the lines for what netsh does not set. Windows reads it when it starts again."""
    values = []
    if settings.suffix is not None:
        values.append((INTERFACE, "Domain", "REG_SZ", settings.suffix))
    if settings.netbios is not None:
        values.append((_NETBIOS, "NetbiosOptions", "REG_DWORD", str(settings.netbios)))
    if dialect.has_registry_only and settings.metric is not None:
        values.append((INTERFACE, "InterfaceMetric", "REG_DWORD", str(settings.metric)))
    if dialect.has_registry_only and settings.mtu is not None:
        values.append((INTERFACE, "MTU", "REG_DWORD", str(settings.mtu)))
    if values:
        yield "call :identify"
    for key, name, kind, content in values:
        path = f"{_SERVICES}\\{key.replace('{guid}', '%guid%')}"
        yield f'if defined guid reg add "{path}" /v {name} /t {kind} /d {content} /f'


def _names(replays: Sequence[Replay]) -> Iterator[str]:
    """Yield the lines that give connections their names back. One may still have the name that another one gets."""
    numbers = [number for number, replay in enumerate(replays, 1) if replay.name is not None]
    yield ""
    rename = "netsh interface set interface"
    for number in numbers:
        between, old = f'"virt-v2v {number}"', f'"%old{number}%"'
        yield f'if /i {old}=="%wanted{number}%" set "old{number}="'
        yield f"if defined old{number} {rename} name={old} newname={between}"
    for number in numbers:
        between, old = f'"virt-v2v {number}"', f'"%old{number}%"'
        yield f'if defined old{number} {rename} name={between} newname="%wanted{number}%"'
        yield f"if errorlevel 1 if defined old{number} {rename} name={between} newname={old}"
    yield ""


def _option(name: str, value: int | None) -> str:
    return f" {name}={value}" if value is not None else ""
