"""Rare keys and odd values for ``compare``: the entries of ``span.*``, all keys at once.

A key may be one of thousands there, so entries are numbered by key, type and value together, and
looked at once per distinct entry.

Source: ``model/tables.py``; TraceQL reference, 4.2, 6.6.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from traceql.attributes import Attribute, Scope
from traceql.values import ValueType
from tracestore.model.tables import AttributeScope, AttributeType, Table, overflow_name
from tracestore.query.bind import Binder
from tracestore.query.cells import closer, weigh_cells
from tracestore.query.columns import ELEMENT_TYPES, SCALAR_TYPES, numbers
from tracestore.query.counted import CountedSpans
from tracestore.query.masks import to_array
from tracestore.query.value_counts import ValueCounts

Rows = npt.NDArray[np.int64]
NIL_TEXT = "nil"
_ARROW = {
    ValueType.STRING: pa.string(),
    ValueType.INT: pa.int64(),
    ValueType.FLOAT: pa.float64(),
    ValueType.BOOLEAN: pa.int64(),
}


class Counter(Protocol):
    """What takes the counts."""

    size: int

    def counts(self, name: str, kind: ValueType) -> ValueCounts: ...

    def add_total(self, name: str, slots: Rows, counts: npt.NDArray[np.float64]) -> None: ...


def count_overflow(
    owner: Counter,
    binder: Binder,
    spans: CountedSpans,
    slot: Rows,
    weights: npt.NDArray[np.float64] | None,
) -> None:
    """Count the entries of the counted spans whose key has no value in a column.

    Args:
        slot: (M,) group and interval of each span.
        weights: (M,) what each counts; None: once.
    """
    column = overflow_name(AttributeScope.SPAN)
    kinds = frozenset(kind.value for kind in AttributeType)
    if not binder.columns.may_overflow(Scope.SPAN, kinds):
        return
    array = spans.scan.stored(Table.SPANS, column)
    offsets = array.offsets.to_numpy().astype(np.int64)
    if offsets[-1] == offsets[0]:
        return
    entries = array.values.slice(offsets[0], offsets[-1] - offsets[0])
    place = _places(spans)[np.repeat(np.arange(len(array)), np.diff(offsets))]
    keys = entries.field("key")
    keys = keys if pa.types.is_dictionary(keys.type) else keys.dictionary_encode()
    key = numbers(keys.indices).astype(np.int64)
    chosen = _first_of_key(binder, spans, place, key, keys.dictionary)
    if len(chosen) == 0:
        return
    codes = [_codes(entries.field(name), chosen) for name in ("type", "value")]
    combined = (key[chosen] * len(codes[0][1]) + codes[0][0]) * len(codes[1][1]) + codes[1][0]
    number, distinct = closer(combined)
    weighed = None if weights is None else weights[place[chosen]]
    cells, counts = weigh_cells(number * owner.size + slot[place[chosen]], weighed)
    of_entry, slots = np.divmod(cells, owner.size)
    begins = np.searchsorted(of_entry, np.arange(len(distinct) + 1))
    for entry, code in enumerate(distinct.tolist()):
        rest, value = divmod(code, len(codes[1][1]))
        name_code, kind = divmod(rest, len(codes[0][1]))
        name = Attribute(Scope.SPAN, keys.dictionary[name_code].as_py()).text
        own = slice(begins[entry], begins[entry + 1])
        type_, shown = _parsed(codes[0][1][kind], codes[1][1][value])
        values = pa.array([shown], _ARROW[type_])
        owner.counts(name, type_).add_counted(values, slots[own], counts[own])
        owner.add_total(name, slots[own], counts[own])


def _places(spans: CountedSpans) -> Rows:
    """Find which of the counted spans each row of the chunk is; -1: none."""
    total = spans.scan.chunk.spans
    if spans.rows is None:
        return np.arange(total)
    places = np.full(total, -1, np.int64)
    places[spans.rows] = np.arange(len(spans.rows))
    return places


def _first_of_key(
    binder: Binder, spans: CountedSpans, place: Rows, key: Rows, names: pa.Array
) -> Rows:
    """Choose the entries that are the value of their key: the first of a span, no column has it."""
    counted = np.flatnonzero(place >= 0)
    _, first = np.unique(place[counted] * len(names) + key[counted], return_index=True)
    chosen = counted[first]
    with_column = set(binder.columns.keys(Scope.SPAN))
    for code in np.unique(key[chosen]).tolist():
        name = names[code].as_py()
        if name not in with_column:
            continue
        bound = binder.columns.own_columns(Scope.SPAN, name)
        present = to_array(bound.presence(spans.scan), spans.scan.chunk.spans)
        present = present if spans.rows is None else present[spans.rows]
        chosen = chosen[(key[chosen] != code) | ~present[place[chosen]]]
    return chosen


def _codes(column: pa.Array, chosen: Rows) -> tuple[Rows, Sequence[Any]]:
    """Number the texts of some entries."""
    taken = column.take(pa.array(chosen)).cast(pa.string())
    encoded = taken.dictionary_encode(null_encoding="encode")
    return numbers(encoded.indices).astype(np.int64), encoded.dictionary.to_pylist()


def _parsed(kind: str, text: str | None) -> tuple[ValueType, Any]:
    """Read a value; an array of one is its element, what has no value of its own is nil."""
    nil = ValueType.STRING, NIL_TEXT
    known = set(SCALAR_TYPES) | set(ELEMENT_TYPES)
    if text is None or kind not in known:
        return nil
    of = AttributeType(kind)
    value = text if of is AttributeType.STRING else json.loads(text)
    if of in ELEMENT_TYPES:
        if len(value) != 1:
            return nil
        of, value = ELEMENT_TYPES[of], value[0]
    type_ = SCALAR_TYPES[of]
    if type_ is ValueType.FLOAT:
        value = float(value) + 0.0
    return type_, int(value) if type_ is ValueType.BOOLEAN else value
