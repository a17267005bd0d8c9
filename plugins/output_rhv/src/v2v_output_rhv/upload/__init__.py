# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o rhv-upload``: the guest is created by an oVirt engine; the data of its disks goes through ovirt-imageio.

::

    plugin.py        the hooks
    settings.py      the options, parsed
    checks.py        what is checked before the conversion
    probes.py        what ``v2v doctor`` looks for
    engine.py        a session with the engine, what its errors mean, waiting for it
    destination.py   storage domain, data centre and cluster
    disks.py         planning, creating and removing disks
    transfers.py     image transfers: started, finalized, cancelled
    machine.py       the virtual machine
    opening.py       opening the disks for their data, again after an interruption
    address.py       where the data of a disk is sent: a secret, kept for the copy
    sink.py          how core's copy writes a disk
    service.py       how a disk is served to any other copier: by nbdkit with nbdkit_script.py
    connections.py   the connections that both use: several for each disk, renewed when they break
    removal.py       removing everything again
"""
