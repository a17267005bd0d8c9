# SPDX-License-Identifier: GPL-2.0-or-later
"""The steps. Each has one function ``run``, and works on a conversion directory and on nothing else.

input_setup → output_check → convert → output_setup → copy → output_finalize → cleanup

output_setup may also run before convert, or beside it (``step_graph``).
"""
