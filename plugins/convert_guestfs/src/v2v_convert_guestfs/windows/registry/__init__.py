# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's registry: read through the appliance's hivex, edited all at once."""
