# SPDX-License-Identifier: GPL-2.0-or-later
"""v2v-core: hook specifications, discovery, the conversion directory, metadata, NBD servers, the pipeline.

Plugin authors use ``v2v_core.api`` and, in their tests, ``v2v_core.testing``. Nothing is imported here, so that
``virt-v2v --version`` stays fast.
"""

__version__ = "0.1.0"
