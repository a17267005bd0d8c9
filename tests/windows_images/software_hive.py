# SPDX-License-Identifier: GPL-2.0-or-later
"""What is in the hive SOFTWARE of a guest that has none of its own."""

from __future__ import annotations

from typing import Any

from windows_images.recipe import Windows
from windows_images.regf import Tree, dword, expand_sz, merged, sz

TOOLS_PRODUCT = "{8C3D7B5B-5E63-4B2E-9E58-2C6FBF5D1D10}"


def software_tree(recipe: Windows) -> Tree:
    """Return the content of the hive."""
    build = str(recipe.build)
    major, minor = recipe.version
    about: dict[str, Any] = {
        "CurrentVersion": sz("6.3" if recipe.version >= (6, 3) else f"{major}.{minor}"),
        "CurrentBuild": sz(build),
        "CurrentBuildNumber": sz(build),
        "CurrentType": sz("Multiprocessor Free"),
        "ProductName": sz(recipe.product),
        "SoftwareType": sz("System"),
        "SystemRoot": sz(r"C:\WINDOWS" if not recipe.vista else r"C:\Windows"),
        "PathName": sz(r"C:\Windows"),
    }
    if recipe.vista:
        about |= {"EditionID": sz(recipe.edition), "InstallationType": sz(recipe.installation)}
    if recipe.service_pack:
        about["CSDVersion"] = sz(recipe.service_pack)
    if major >= 10:
        about |= {"CurrentMajorVersionNumber": dword(major), "CurrentMinorVersionNumber": dword(minor)}
        about |= {"UBR": dword(2000), "DisplayVersion": sz(recipe.display_version)}
    uninstall: dict[str, Any] = {}
    if recipe.tools:
        uninstall[TOOLS_PRODUCT] = {
            "DisplayName": sz("VMware Tools"),
            "DisplayVersion": sz("12.4.0.23259341"),
            "Publisher": sz("VMware, Inc."),
            "UninstallString": expand_sz(f"MsiExec.exe /I{TOOLS_PRODUCT}"),
            "WindowsInstaller": dword(1),
        }
    current = {
        "DevicePath": expand_sz(r"%SystemRoot%\inf"),
        "ProgramFilesDir": sz(r"C:\Program Files"),
        "CommonFilesDir": sz(r"C:\Program Files\Common Files"),
        "Uninstall": uninstall,
    }
    microsoft = {"Windows NT": {"CurrentVersion": about}, "Windows": {"CurrentVersion": current}}
    return merged({"Microsoft": microsoft, "Classes": {}, "Policies": {}}, recipe.software)
