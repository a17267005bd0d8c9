# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o rhv-upload``: disks and guest go to an oVirt engine, the data through ovirt-imageio.

::

    plugin.py        the hooks
    settings.py      what the user said, checked
    engine.py        a session at the engine, and what its errors mean
    destination.py   storage domain, data centre and cluster; what stands in the way
    disks.py         which disks are made, making and removing them
    transfers.py     image transfers: started, finalized, cancelled
    machine.py       the virtual machine
    service.py       how a disk is served: nbdkit, nbdkit_script.py in it, connections.py in that
    removal.py       taking everything back
"""
