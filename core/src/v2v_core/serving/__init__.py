# SPDX-License-Identifier: GPL-2.0-or-later
"""Serving disks: a plugin describes how a disk is served, and this package serves it.

One place decides whether an overlay is used, which endpoints exist, who may open them, and when their servers end.
"""

from v2v_core.serving.disks import (
    running_servers,
    serve_destination,
    serve_source,
    without_secrets,
    written_file,
)
from v2v_core.serving.extents import data_of
from v2v_core.serving.revive import revive, serve_destination_again, serve_source_again
from v2v_core.serving.server import last_error

__all__ = [
    "data_of",
    "last_error",
    "revive",
    "running_servers",
    "serve_destination",
    "serve_destination_again",
    "serve_source",
    "serve_source_again",
    "without_secrets",
    "written_file",
]
