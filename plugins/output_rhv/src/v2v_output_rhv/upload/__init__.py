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
    address.py       where the data of a disk is sent: a secret, kept for the copy
    copier.py        the copier that sends it: copy_program.py, which reads with source.py
    service.py       how a disk is served to any other copier: nbdkit, with nbdkit_script.py in it
    connections.py   what both write through: several connections, mended when they break
    removal.py       taking everything back
"""
