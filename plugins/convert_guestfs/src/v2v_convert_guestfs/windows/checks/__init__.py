# SPDX-License-Identifier: GPL-2.0-or-later
"""What must be told before anything is changed: why this Windows cannot be converted now, and what its user must know.

``before_mounting`` looks at the volumes before they are mounted, ``system`` at the registry and the files afterwards.
"""
