# SPDX-License-Identifier: GPL-2.0-or-later
"""Errors in unexpected places, said as errors of the conversion."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.session import Session
from v2v_core.api import ConversionError


@contextmanager
def failures_told(session: Session) -> Iterator[None]:
    """Turn every error that the work of a session can end with into a ConversionError that names the stage.

    :raises ConversionError: the block failed.
    """
    try:
        yield
    except (RuntimeError, ConversionError) as err:
        if session.out_of_time is not None and err is not session.out_of_time:
            # The appliance was killed; every error after that is a consequence.
            raise session.out_of_time from err
        if type(err) is not RuntimeError:
            raise
        # An error of libguestfs in an unexpected place: most likely the appliance has died.
        raise ConversionError(
            f"libguestfs failed (stage: {session.current}): {brief(err)}",
            hint="read the appliance's console in the log of this step; more memory for it (--memsize) may help",
        ) from err
    except OSError as err:
        raise ConversionError(
            f"the conversion cannot go on (stage: {session.current}): {err}",
            hint=f"look at the free space and the permissions of {session.request.temporary}",
        ) from err
    except UnicodeDecodeError as err:
        raise ConversionError(
            f"the conversion cannot go on (stage: {session.current}): not UTF-8: {str(err.object)[:200]}",
            hint="the log of this step shows where; rename the file in the guest at its hypervisor",
        ) from err
