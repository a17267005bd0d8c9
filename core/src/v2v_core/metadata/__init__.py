# SPDX-License-Identifier: GPL-2.0-or-later
"""The metadata format: ``metadata.in`` and ``metadata.out`` of the conversion directory.

Both are libvirt domain XML plus one element of this project's own namespace, ``{urn:v2v:metadata:1}guest``, below
``<metadata>``. The rules:

* libvirt's elements describe the guest **at the source**, as far as libvirt has words for it. What libvirt or others
  put there and this project does not understand stays there, from ``metadata.in`` to ``metadata.out``.
* ``v2v:guest/v2v:source`` says what libvirt cannot, and nothing else: another hypervisor's name, an unknown firmware,
  the sizes of the disks, what the source calls the operating system.
* ``v2v:guest/v2v:target`` (``metadata.out`` only) says what the guest became.
* The sources of disks are left out: disk *i* is the NBD socket ``in<i>`` beside the file, so that a directory can be
  moved. A disk with ``<source protocol='nbd' …>`` is served by somebody else, at that place.

``schema/metadata.rng`` describes both files; they are checked when they are written and when they are read.
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
