# SPDX-License-Identifier: GPL-2.0-or-later
"""Read from a converted guest on ``in1`` … what it did at its first boots.

It stands in the place of the step convert, as ``inspect`` does. The endpoints lead to overlays, and no later step reads
them.
"""

from __future__ import annotations

from collections.abc import Sequence

from v2v_core.conversion_dir import ConversionDir
from v2v_core.events import EventSink, Step
from v2v_core.first_boot import FirstBootStatus
from v2v_core.reporting import running
from v2v_core.settings import ConvertChoice
from v2v_core.steps import converter

#: The result in the conversion directory, for the process that asked.
RESULT = "first_boot.json"


def run(directory: ConversionDir, choice: ConvertChoice, sinks: Sequence[EventSink] = ()) -> FirstBootStatus:
    """Read how the first boots went. The result is in the conversion directory afterwards, too.

    :raises V2VError: the converter could not look into the guest.
    """
    with running(directory, Step.CONVERT, sinks) as report:
        plugin, request = converter.prepare(directory, choice, report)
        result = plugin.first_boot(request)
        directory.write_record(RESULT, result)
        return result
