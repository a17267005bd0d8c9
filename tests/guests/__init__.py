# SPDX-License-Identifier: GPL-2.0-or-later
"""Real guests for the tests: building them, booting them, and looking into what a conversion made of them."""
