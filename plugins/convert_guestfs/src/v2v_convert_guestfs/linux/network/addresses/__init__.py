# SPDX-License-Identifier: GPL-2.0-or-later
"""Static addresses that the user requests for NICs (``--mac MAC:ip:…``), written to the guest's configuration.

There is one module for each kind of file. An editor returns the content with the addresses of the NIC replaced and
everything else unchanged, or None if the file does not configure this NIC. It raises NotEditable if the NIC cannot have
an address of its own.
"""
