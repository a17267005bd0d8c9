# SPDX-License-Identifier: GPL-2.0-or-later
"""Local disk images: what their headers say, and how they are opened without trusting it."""

from v2v_core.images.describe import FORMATS, describe_image, detect_format

__all__ = ["FORMATS", "describe_image", "detect_format"]
