# SPDX-License-Identifier: GPL-2.0-or-later
"""The flat records of the model as attributes of an element: ``boot_order=1`` is ``boot-order="1"``.

None is written as no attribute, true and false as ``yes`` and ``no``; text is escaped (``names.escape``). The caller
writes and reads the fields that hold records or tuples.
"""

from __future__ import annotations

from dataclasses import fields
from enum import StrEnum
from functools import cache
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

from v2v_core.errors import MetadataError
from v2v_core.metadata.names import escape, unescape

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from lxml import etree

    RecordT = TypeVar("RecordT", bound=DataclassInstance)


def attributes_of(record: DataclassInstance) -> dict[str, str | None]:
    """Return the flat fields of a record as attributes."""
    return {name.replace("_", "-"): _to_text(getattr(record, name)) for name in _flat_fields(type(record))}


def record_from(kind: type[RecordT], element: etree._Element, **others: Any) -> RecordT:
    """Return the record that the attributes of an element describe.

    A field without an attribute has its default, or None.

    :param others: values of the fields that are not flat.
    :raises MetadataError: the value of an attribute does not fit the field.
    """
    values: dict[str, Any] = {}
    for name, (scalar, optional) in _flat_fields(kind).items():
        text = element.get(name.replace("_", "-"))
        if text is not None:
            values[name] = _from_text(scalar, text, element)
        elif optional:
            values[name] = None
    return kind(**values, **others)


@cache
def _flat_fields(kind: type[DataclassInstance]) -> dict[str, tuple[type, bool]]:
    """Return the scalar type of each flat field, and whether it can be None."""
    hints = get_type_hints(kind)
    flat: dict[str, tuple[type, bool]] = {}
    for field in fields(kind):
        choices = get_args(hints[field.name]) or (hints[field.name],)
        scalars = [choice for choice in choices if choice is not NoneType]
        if len(scalars) == 1 and isinstance(scalars[0], type) and issubclass(scalars[0], str | int):
            flat[field.name] = (scalars[0], NoneType in choices)
    return flat


def _to_text(value: str | int | None) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    return escape(str(value))


def _from_text(scalar: type, text: str, element: etree._Element) -> str | int:
    try:
        if scalar is bool:
            return {"yes": True, "no": False}[text]
        if issubclass(scalar, StrEnum):
            return scalar(text)
        return int(text) if scalar is int else unescape(text)
    except (KeyError, ValueError) as err:
        raise MetadataError(f"line {element.sourceline}: {text!r} cannot be understood") from err
