# SPDX-License-Identifier: GPL-2.0-or-later
"""Static addresses that the user wants the guest to have (``--mac MAC:ip:…``), in the files that its system reads.

One module for each kind of file. An editor gives the file with the NIC's addressing replaced and everything else as it
was, None if the file is not about this NIC, and refuses where the NIC has no address of its own.
"""
