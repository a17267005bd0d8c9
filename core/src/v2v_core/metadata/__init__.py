# SPDX-License-Identifier: GPL-2.0-or-later
"""The metadata format: ``metadata.in`` and ``metadata.out`` of the conversion directory.

Both are libvirt domain XML plus one element of this project's own namespace, ``{urn:v2v:metadata:1}guest``, below
``<metadata>``. The rules:

* Libvirt's elements describe the guest **at the source**, as far as libvirt can express it. Elements of libvirt and of
  other programs that this project does not understand are kept, from ``metadata.in`` to ``metadata.out``.
* ``v2v:guest/v2v:source`` holds what libvirt cannot express, and nothing else: another hypervisor's name, an unknown
  firmware, the sizes of the disks, the source's name of the operating system.
* ``v2v:guest/v2v:target`` (``metadata.out`` only) describes the converted guest.
* The sources of disks are left out: disk *i* is the NBD socket ``in<i>`` beside the file, so that a directory can be
  moved. A disk with ``<source protocol='nbd' …>`` is served at that place by a server that this project did not start.

The RELAX NG schema of both files is ``schema/metadata.rng``. They are validated when they are written and when they are
read.
"""

from v2v_core.metadata.buses import assign_buses, fit_profile
from v2v_core.metadata.endpoints import named_endpoints
from v2v_core.metadata.names import libvirt_name
from v2v_core.metadata.parser import UntrustedXmlError, parse_untrusted_xml
from v2v_core.metadata.source import guest_of_domain, read_source, write_source
from v2v_core.metadata.target import read_target, write_target
from v2v_core.metadata.target_domain import libvirt_domain
from v2v_core.metadata.validation import validate

__all__ = [
    "UntrustedXmlError",
    "assign_buses",
    "fit_profile",
    "guest_of_domain",
    "libvirt_domain",
    "libvirt_name",
    "named_endpoints",
    "parse_untrusted_xml",
    "read_source",
    "read_target",
    "validate",
    "write_source",
    "write_target",
]
