# SPDX-License-Identifier: GPL-2.0-or-later
"""Look into the guest on ``in1`` …: what a conversion would find, and what it would do.

It stands in the place of the step convert. The endpoints lead to overlays, which the converter may write to. No later
step reads them.
"""

from __future__ import annotations

from collections.abc import Sequence

from v2v_core.conversion_dir import ConversionDir
from v2v_core.deep_inspection import InspectResult
from v2v_core.events import EventSink, Step
from v2v_core.reporting import running
from v2v_core.settings import ConvertChoice
from v2v_core.steps import converter

#: The result in the conversion directory, for the process that asked.
RESULT = "inspected.json"


def run(directory: ConversionDir, choice: ConvertChoice, sinks: Sequence[EventSink] = ()) -> InspectResult:
    """Look into the guest. The result is in the conversion directory afterwards, too.

    :raises V2VError: the converter could not look into it.
    """
    with running(directory, Step.CONVERT, sinks) as report:
        plugin, request = converter.prepare(directory, choice, report)
        result = plugin.inspect(request)
        directory.write_record(RESULT, result)
        return result
