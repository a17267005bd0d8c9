# SPDX-License-Identifier: GPL-2.0-or-later
"""The Windows guests of the tests."""

from __future__ import annotations

import dataclasses

from windows_images.recipe import DataDisk, Nic, Windows

_STATIC = Nic("00:0c:29:71:07:3c", "192.0.2.10/24", "192.0.2.1", ("192.0.2.53", "192.0.2.54"))

WINDOWS_7 = Windows(
    name="7-real",
    hives="windows-7",
    version=(6, 1),
    build=7601,
    product="Windows 7 Ultimate",
    edition="Ultimate",
    service_pack="Service Pack 1",
    arch="i386",
    size=180,
    signature=0x5CBEA03E,
)

WINDOWS_10 = Windows(
    name="10-real-system-made-software",
    hives="windows-10-system",
    version=(10, 0),
    build=19044,
    product="Windows 10 Pro",
    edition="Professional",
    display_version="21H2",
    uefi=True,
    size=256,
)

XP = Windows(
    name="xp-phony",
    version=(5, 1),
    build=2600,
    product="Microsoft Windows XP",
    edition="",
    installation="",
    service_pack="Service Pack 3",
    arch="i386",
    start=63,
    nics=(dataclasses.replace(_STATIC, kind="e1000", name="Local Area Connection"),),
)

SERVER_2008 = Windows(
    name="2008-phony",
    signature=0x2008A001,
    version=(6, 0),
    build=6002,
    product="Windows Server (R) 2008 Standard",
    edition="ServerStandard",
    installation="Server",
    kind="ServerNT",
    service_pack="Service Pack 2",
    control_sets=(1, 2),
    current=1,
    default=2,
    nics=(dataclasses.replace(_STATIC, kind="e1000", name="Local Area Connection"),),
)

WINDOWS_8_1 = Windows(
    name="8.1-phony",
    signature=0x0801B002,
    version=(6, 3),
    build=9600,
    product="Windows 8.1 Pro",
    edition="Professional",
    control_sets=(1, 2),
)

WINDOWS_11 = Windows(
    name="11-phony",
    version=(10, 0),
    build=22631,
    product="Windows 10 Pro",  # what a Windows 11 says of itself
    edition="Professional",
    display_version="23H2",
    uefi=True,
    size=256,
    nics=(Nic("00:50:56:8e:1b:4a", kind="vmxnet3"),),
)

SERVER_2022 = Windows(
    name="2022-phony",
    version=(10, 0),
    build=20348,
    product="Windows Server 2022 Standard",
    edition="ServerStandard",
    installation="Server",
    kind="ServerNT",
    display_version="21H2",
    uefi=True,
    size=256,
    nics=(dataclasses.replace(_STATIC, mac="00:50:56:8e:1b:4b", kind="vmxnet3"),),
    data_disk=DataDisk(),
)

SERVER_2025 = dataclasses.replace(
    SERVER_2022,
    name="2025-phony",
    build=26100,
    product="Windows Server 2025 Datacenter",
    edition="ServerDatacenter",
    display_version="24H2",
    data_disk=None,
)

SERVER_2025_BIOS = dataclasses.replace(SERVER_2025, name="2025-phony-bios", uefi=False, signature=0x2025C003)

_ALL = (WINDOWS_7, WINDOWS_10, XP, SERVER_2008, WINDOWS_8_1, WINDOWS_11, SERVER_2022, SERVER_2025, SERVER_2025_BIOS)
RECIPES = {recipe.name: recipe for recipe in _ALL}

#: Those of ``make test``.
DAILY = (WINDOWS_7.name, SERVER_2022.name)
