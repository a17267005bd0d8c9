# SPDX-License-Identifier: GPL-2.0-or-later
"""Frozen records to JSON values and back, for everything that passes between two steps or two processes.

One cattrs converter serves all records. Fields that have their default are left out, and fields that this version does
not know are ignored, so that a directory written by an older or a newer version can be read. A union of records
(``DiskService``) carries the name of the record in the key ``type``.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from cattrs import Converter

RecordT = TypeVar("RecordT")


def to_json(record: object, kind: Any = None) -> Any:
    """Return a record as JSON values: objects, arrays, strings, numbers.

    :param kind: the type to write it as, where that is a union such as ``DiskService``; None for the record's own.
    """
    return _converter().unstructure(record, unstructure_as=kind)


def from_json(value: object, kind: type[RecordT]) -> RecordT:
    """Make a record from the JSON values that ``to_json`` returned.

    :raises ValueError: a required field is missing, or a value has the wrong type. The message names the fields.
    """
    from cattrs import ClassValidationError, transform_error
    from cattrs.errors import StructureHandlerNotFoundError

    try:
        return _converter().structure(value, kind)
    except ClassValidationError as err:
        raise ValueError(f"not a {kind.__name__}: {'; '.join(transform_error(err))}") from err
    except (StructureHandlerNotFoundError, TypeError, KeyError, AttributeError) as err:
        raise ValueError(f"not a {kind.__name__}: {err}") from err


@functools.cache
def _converter() -> Converter:
    # cattrs takes 40 ms to import, and 'virt-v2v --help' needs no records
    from cattrs.preconf.json import make_converter
    from cattrs.strategies import configure_tagged_union

    from v2v_core.model import DiskService

    converter = make_converter(omit_if_default=True)
    # a file name that is not UTF-8 has lone surrogates, which JSON can carry as \\udcXX
    converter.register_unstructure_hook(Path, os.fspath)
    converter.register_structure_hook(Path, lambda value, _kind: Path(_text(value)))
    # cattrs turns anything into a string by default; a number where a name belongs is a damaged file
    converter.register_structure_hook(str, lambda value, kind: kind(_text(value)))
    configure_tagged_union(DiskService, converter, tag_name="type", tag_generator=lambda record: record.__name__)
    # a union with None is another union to cattrs
    optional, union = DiskService | None, cast("type[Any]", DiskService)
    converter.register_unstructure_hook(
        optional, lambda service: None if service is None else converter.unstructure(service, union)
    )
    converter.register_structure_hook(
        optional, lambda value, _kind: None if value is None else converter.structure(value, union)
    )
    return converter


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string")
    return value
