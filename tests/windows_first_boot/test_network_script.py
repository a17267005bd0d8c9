# SPDX-License-Identifier: GPL-2.0-or-later
"""The script that gives NICs their static settings again, run for real: netsh and getmac are recording stand-ins."""

from __future__ import annotations

import ipaddress

import pytest

from v2v_convert_guestfs.windows.network import script
from v2v_convert_guestfs.windows.network.plan import Replay
from v2v_convert_guestfs.windows.network.settings import IpSettings, Route
from v2v_convert_guestfs.windows.system import Product, WindowsSystem
from windows_first_boot.wine import Answer, Ran, SimulatedWindows

pytestmark = pytest.mark.slow

WINDOWS_7 = WindowsSystem(
    systemroot="/Windows",
    arch="x86_64",
    version=(6, 1),
    build=7601,
    product=Product.CLIENT,
    product_name="Windows 7",
    osinfo="win7",
    current="ControlSet001",
    default="ControlSet001",
    driver_database=False,
)
CONNECTIONS = r"HKLM\SYSTEM\CurrentControlSet\Control\Network\{4D36E972-E325-11CE-BFC1-08002BE10318}"
GUID = "{698E50A9-4F58-4D86-B61D-F42E58DCACF6}"
FIRST = '"Ethernet","Red Hat VirtIO Ethernet Adapter","00-50-56-A5-12-69","\\Device\\Tcpip_{0}"\n'
SECOND = '"Ethernet 2","Red Hat, Inc. VirtIO Ethernet Adapter #2","00-0C-29-77-D9-81","Media disconnected"\n'
OTHER = '"Wi-Fi","Some Card","Disabled","Disconnected"\n'
THERE = (
    '\nConfiguration for interface "Ethernet"\n    DHCP enabled:                         No\n'
    "    IP Address:                           10.3.58.5\n"
    "    Subnet Prefix:                        10.3.58.0/24 (mask 255.255.255.0)\n"
)
THERE_2 = "    Adresse IP :                          192.168.1.123\n"
THERE_6 = "Manual      Preferred   infinite   infinite 2001:db8::5\n"


def replays(first: str = "Ethernet 2", second: str = "A & B (1) ^! 'x'") -> tuple[Replay, ...]:
    default = ipaddress.ip_network("0.0.0.0/0")
    return (
        Replay(
            "00:50:56:a5:12:69",
            IpSettings(
                addresses=(ipaddress.ip_interface("10.3.58.5/24"), ipaddress.ip_interface("2001:db8::5/64")),
                routes=(Route(default, ipaddress.ip_address("10.3.58.1")),),
                nameservers=(ipaddress.ip_address("10.3.58.4"),),
                suffix="lab.example",
                netbios=2,
            ),
            name=first,
        ),
        Replay("00:0c:29:77:d9:81", IpSettings(addresses=(ipaddress.ip_interface("192.168.1.123/24"),)), name=second),
    )


def run(windows: SimulatedWindows, wanted: tuple[Replay, ...], *cards: str, there: str = THERE) -> Ran:
    """Run the script on a machine with the given cards, whose netsh shows the given addresses."""
    windows.stand_in("getmac", Answer(output="".join(cards)))
    windows.stand_in("ping")
    windows.stand_in(
        "netsh",
        Answer("ipv6 show address", output=THERE_6),
        Answer('show address "Ethernet 2"', output=THERE_2),
        Answer("show address", output=there),
        Answer('newname="taken"', code=1),
    )
    body = script.batch(wanted, WINDOWS_7).replace('"left=60"', '"left=3"')
    # the registry of the simulated Windows has no connections: netsh is not there to make any
    known = f'reg add "{CONNECTIONS}\\{GUID}\\Connection" /v Name /d Ethernet /f >nul\n'
    return windows.run_batch(body.replace("setlocal", known + "setlocal", 1), {script.NAMES: names(wanted)})


def names(wanted: tuple[Replay, ...]) -> bytes:
    return script.names_file(wanted, "cp850")


def changes(windows: SimulatedWindows) -> list[str]:
    return [call for call in windows.calls("netsh") if " show " not in call]


SET_FIRST = [
    'interface ipv4 set address name="Ethernet" source=static address=10.3.58.5 mask=255.255.255.0 gateway=10.3.58.1',
    'interface ipv4 set dns name="Ethernet" source=static address=10.3.58.4 register=primary validate=no',
    'interface ipv6 add address interface="Ethernet" address=2001:db8::5/64 store=persistent',
]
SET_SECOND = ['interface ipv4 set address name="Ethernet 2" source=static address=192.168.1.123 mask=255.255.255.0']


def test_all_nics_get_their_settings_and_names_that_cross(windows: SimulatedWindows) -> None:
    ran = run(windows, replays(), OTHER, SECOND, FIRST)
    assert ran.code == 250, ran.output
    assert changes(windows) == [
        *SET_FIRST,
        *SET_SECOND,
        'interface set interface name="Ethernet" newname="virt-v2v 1"',
        'interface set interface name="Ethernet 2" newname="virt-v2v 2"',
        'interface set interface name="virt-v2v 1" newname="Ethernet 2"',
        'interface set interface name="virt-v2v 2" newname="A & B (1) ^! \'x\'"',
    ]
    services = r"System\CurrentControlSet\Services"
    assert windows.values(rf"{services}\Tcpip\Parameters\Interfaces\{GUID}") == {"Domain": '"lab.example"'}
    netbios = windows.values(rf"{services}\NetBT\Parameters\Interfaces\Tcpip_{GUID}")
    assert netbios == {"NetbiosOptions": "dword:00000002"}


def test_a_nic_that_comes_later_gets_its_settings_at_the_next_start(windows: SimulatedWindows) -> None:
    wanted = replays(first="Ethernet", second="Ethernet 2")
    ran = run(windows, wanted, FIRST)
    assert ran.code == 249, ran.output
    assert changes(windows) == SET_FIRST
    assert [call.strip() for call in windows.calls("ping")] == ["-n 6 127.0.0.1"] * 3
    ran = run(windows, wanted, FIRST, SECOND)
    assert ran.code == 250, ran.output
    assert changes(windows) == [*SET_FIRST, *SET_SECOND]


def test_an_address_that_windows_did_not_take_is_a_failure(windows: SimulatedWindows) -> None:
    wanted = replays(first="Ethernet", second="Ethernet 2")
    ran = run(windows, wanted, FIRST, SECOND, there=THERE.replace("10.3.58.5", "10.3.58.50"))
    assert ran.code == 1, ran.output
    assert "The address 10.3.58.5 is not there." in ran.output
    assert "192.168.1.123" not in ran.output


def test_a_name_that_is_taken_leaves_the_name_that_was_there(windows: SimulatedWindows) -> None:
    ran = run(windows, replays(first="taken", second="Ethernet 2"), FIRST, SECOND)
    assert ran.code == 250, ran.output
    assert changes(windows)[-2:] == [
        'interface set interface name="virt-v2v 1" newname="taken"',
        'interface set interface name="virt-v2v 1" newname="Ethernet"',
    ]
