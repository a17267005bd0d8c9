# SPDX-License-Identifier: GPL-2.0-or-later
"""An SDK that is not installed."""

import sdk_that_is_not_installed


class BrokenOutput:
    """Never comes into being."""

    sdk = sdk_that_is_not_installed
