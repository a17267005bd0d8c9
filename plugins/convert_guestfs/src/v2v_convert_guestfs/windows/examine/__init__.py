# SPDX-License-Identifier: GPL-2.0-or-later
"""Examine a converted Windows guest: will it boot, and will it have its addresses?"""
