# SPDX-License-Identifier: GPL-2.0-or-later
"""Files at a destination, for outputs that make some: disk images, and what goes with them, whole or not seen."""

from v2v_core.output_files.disk_files import (
    DiskFile,
    check_device,
    check_final,
    check_not_source,
    check_output_directory,
    check_space,
    make_disk,
    service_programs,
)
from v2v_core.output_files.programs import require_for_output
from v2v_core.output_files.publication import (
    Publication,
    clear_away,
    file_mode,
    hidden_name,
    name_limit,
    open_new,
    publish,
    write_partial,
)

__all__ = [
    "DiskFile",
    "Publication",
    "check_device",
    "check_final",
    "check_not_source",
    "check_output_directory",
    "check_space",
    "clear_away",
    "file_mode",
    "hidden_name",
    "make_disk",
    "name_limit",
    "open_new",
    "publish",
    "require_for_output",
    "service_programs",
    "write_partial",
]
