# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulator of the oVirt engine: its REST API over https, for the unmodified SDK, with real transfers behind it.

The engine itself cannot be had in a test. What is here knows the part of its API that an upload uses, keeps state, and
has the real ovirt-imageio daemon do each transfer, with qemu-nbd or a file behind it, as vdsm does. It can be told to
fail, to wait and to refuse (``faults.py``).

::

    state.py      what there is: data centres, storage, disks, transfers, machines, jobs
    storage.py    the images behind the disks
    transfers.py  a transfer: a ticket in the daemon
    ovf.py        what the engine reads of an OVF
    documents.py  things as XML, and back
    resources.py  the resources of the API
    server.py     https, sessions, routing
    running.py    all of it together
"""

from engine_simulator.faults import Fault
from engine_simulator.running import PASSWORD, USER, EngineSimulator, running_engine
from engine_simulator.state import Disk

__all__ = ["PASSWORD", "USER", "Disk", "EngineSimulator", "Fault", "running_engine"]
