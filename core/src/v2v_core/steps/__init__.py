# SPDX-License-Identifier: GPL-2.0-or-later
"""The steps, each with one function ``run``, each working on a conversion directory and on nothing else.

input_setup → output_check → convert → output_setup → copy → output_finalize → cleanup
"""
