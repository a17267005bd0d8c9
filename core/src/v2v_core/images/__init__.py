# SPDX-License-Identifier: GPL-2.0-or-later
"""Local disk images: read what their headers say, and describe how to open them without trusting it."""

from v2v_core.images.describe import FORMATS, describe_image, detect_format

__all__ = ["FORMATS", "describe_image", "detect_format"]
