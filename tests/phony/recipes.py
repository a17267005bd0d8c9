# SPDX-License-Identifier: GPL-2.0-or-later
"""All phony guests, by name."""

from __future__ import annotations

from phony.debian import DEBIANS
from phony.others import OTHERS
from phony.recipe import Phony
from phony.redhat import RED_HAT
from phony.suse import ALT, SLES11, SLES15

PHONIES: dict[str, Phony] = {recipe.name: recipe for recipe in (*RED_HAT, SLES11, SLES15, ALT, *DEBIANS, *OTHERS)}
