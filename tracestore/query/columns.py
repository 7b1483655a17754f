"""Arrow columns -> operands: the typed columns of a key, and its entries in ``<scope>.*``.

A key's value is in the one of its columns that is not null (the first occurrence sent), else in the
first entry of that key in the overflow column. Fixed columns become numbers, texts or IDs without a
copy.

Source: ``model/tables.py``; TraceQL reference, 4.2 (an array of one element is that element).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from traceql.values import ValueType
from tracestore.model.tables import ARROW_TYPE, AttributeType
from tracestore.query.masks import Mask, mask_and, mask_or, settle, to_array, unpack
from tracestore.query.parts import (
    NIL,
    Ids,
    Lists,
    Numbers,
    Operand,
    Part,
    Texts,
)

SCALAR_TYPES = {
    AttributeType.STRING: ValueType.STRING,
    AttributeType.INT: ValueType.INT,
    AttributeType.FLOAT: ValueType.FLOAT,
    AttributeType.BOOL: ValueType.BOOLEAN,
}
ELEMENT_TYPES = {
    AttributeType.STRING_LIST: AttributeType.STRING,
    AttributeType.INT_LIST: AttributeType.INT,
    AttributeType.FLOAT_LIST: AttributeType.FLOAT,
    AttributeType.BOOL_LIST: AttributeType.BOOL,
}


_DTYPES = {
    kind.id: np.dtype(kind.to_pandas_dtype())
    for kind in (
        *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64()),
        *(pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
    )
} | {pa.timestamp("ns").id: np.dtype(np.int64)}
"""By type ID: looking it up is much faster than asking Arrow, and every column asks."""


def validity(array: pa.Array) -> Mask:
    """Mark the rows that are not null."""
    if array.null_count == 0:
        return True
    if array.null_count == len(array):
        return False
    return unpack(np.frombuffer(array.buffers()[0], np.uint8), array.offset, len(array))


def numbers(array: pa.Array) -> npt.NDArray[Any]:
    """View the values of a column of fixed width; arbitrary where null. Booleans are copied."""
    dtype = _DTYPES.get(array.type.id)
    if dtype is None:
        assert pa.types.is_boolean(array.type)
        if len(array) == 0:
            return np.empty(0, np.bool_)
        return unpack(np.frombuffer(array.buffers()[1], np.uint8), array.offset, len(array))
    if len(array) == 0:
        return np.empty(0, dtype)
    return np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * dtype.itemsize)


def fixed_bytes(array: pa.Array) -> npt.NDArray[np.uint8]:
    """View a column of binary(w) as (N, w) bytes; zero where it is null."""
    width = array.type.byte_width
    if len(array) == 0:
        return np.empty((0, width), np.uint8)
    flat = np.frombuffer(array.buffers()[1], np.uint8)
    found = flat[array.offset * width : (array.offset + len(array)) * width].reshape(-1, width)
    valid = validity(array)
    return found if valid is True else np.where(np.reshape(valid, (-1, 1)), found, np.uint8(0))


def texts(array: pa.Array) -> Texts:
    """View a column of texts; codes of nulls stay what they are if that is in bounds."""
    if not pa.types.is_dictionary(array.type):
        array = array.cast(pa.string()).dictionary_encode()
    valid = validity(array)
    codes = numbers(array.indices)
    has_nulls = valid is not True and len(codes) > 0
    if has_nulls and (codes.min() < 0 or codes.max() >= len(array.dictionary)):
        codes = np.where(valid, codes, np.int32(-1))
    return Texts(codes, array.dictionary, valid)


def ids(array: pa.Array, *, stripped: bool) -> Ids:
    """View a column of trace or span IDs; null reads as zeros."""
    return Ids(fixed_bytes(array), stripped)


def attribute(
    columns: Sequence[tuple[AttributeType, pa.Array]], overflow: pa.Array | None, key: str
) -> Operand:
    """Make the operand of a key over the rows of one table.

    Args:
        columns: the columns of the key; at most one is not null in a row.
        overflow: the scope's ``<scope>.*`` column, None if it cannot hold the key.
    """
    parts: list[Part] = []
    present: Mask = False
    for kind, array in columns:
        present = mask_or(present, validity(array))
        parts.extend(_parts(kind, array))
    operand = Operand(tuple(parts), settle(present))
    return operand if overflow is None else operand.else_(overflow_entries(overflow, key))


def _parts(kind: AttributeType, array: pa.Array) -> list[Part]:
    if array.null_count == len(array):
        return []
    if kind == AttributeType.STRING:
        return [texts(array)]
    if kind in SCALAR_TYPES:
        return [Numbers(SCALAR_TYPES[kind], numbers(array), validity(array))]
    if kind in ELEMENT_TYPES:
        offsets = array.offsets.to_numpy().astype(np.int64)
        flat = array.values.slice(offsets[0], offsets[-1] - offsets[0])
        element = _parts(ELEMENT_TYPES[kind], flat)
        return list_parts(element, offsets - offsets[0], validity(array))
    return []


def list_parts(element: Sequence[Part], offsets: npt.NDArray[np.int64], valid: Mask) -> list[Part]:
    """Split a list column into arrays of two or more and, of one-element arrays, their element."""
    if not element:
        return []
    (flat,) = element
    assert isinstance(flat, Numbers | Texts)
    lengths = np.diff(offsets)
    parts: list[Part] = []
    several = settle(mask_and(valid, lengths > 1))
    if several is not False:
        parts.append(Lists(flat, offsets, several))
    single = settle(mask_and(valid, lengths == 1))
    if single is not False:
        first = np.where(to_array(single, len(lengths)), offsets[:-1], 0)
        parts.append(flat.spread(first).where(single))
    return parts


def overflow_keys(array: pa.Array) -> set[str]:
    """List the keys in an overflow column."""
    return set(pc.unique(array.flatten().field("key")).to_pylist())


def overflow_entries(array: pa.Array, key: str) -> Operand:
    """Make the operand of a rare key from the first entry that each row has of it.

    Cost: a scan over the entries; Python per distinct value of the key.
    """
    offsets = array.offsets.to_numpy()
    entries = array.values
    hits = np.flatnonzero(pc.equal(entries.field("key"), key).to_numpy(zero_copy_only=False))
    hits = hits[(hits >= offsets[0]) & (hits < offsets[-1])]
    rows = np.searchsorted(offsets, hits, side="right") - 1
    rows, first = np.unique(rows, return_index=True)
    if len(rows) == 0:
        return NIL
    hits = hits[first]
    kinds = entries.field("type").take(pa.array(hits)).dictionary_encode()
    values = entries.field("value").take(pa.array(hits))

    parts: list[Part] = []
    for code, kind in enumerate(kinds.dictionary.to_pylist()):
        of_kind = np.flatnonzero(numbers(kinds.indices) == code)
        if kind in SCALAR_TYPES or kind in ELEMENT_TYPES:
            sent = values.take(pa.array(of_kind)).dictionary_encode()
            parts.extend(_parsed(AttributeType(kind), sent, rows[of_kind], len(array)))
    present = np.zeros(len(array), np.bool_)
    present[rows] = True
    return Operand(tuple(parts), present)


def _parsed(
    kind: AttributeType, sent: pa.DictionaryArray, rows: npt.NDArray[np.int64], total: int
) -> list[Part]:
    """Read the entries of one type, and put them where they belong among ``total`` rows."""
    distinct = pa.array([_value(kind, text) for text in sent.dictionary.to_pylist()], _plain(kind))
    index = np.full(total, -1, np.int64)
    index[rows] = numbers(sent.indices)
    scattered = distinct.take(pa.array(index, mask=index < 0))
    if kind == AttributeType.STRING:
        scattered = scattered.dictionary_encode()
    return _parts(kind, scattered)


def _plain(kind: AttributeType) -> pa.DataType:
    return pa.string() if kind == AttributeType.STRING else ARROW_TYPE[kind]


def _value(kind: AttributeType, text: str) -> Any:
    if kind == AttributeType.STRING:
        return text
    if kind == AttributeType.FLOAT:
        return float(text)
    value = json.loads(text)
    return [float(element) for element in value] if kind == AttributeType.FLOAT_LIST else value
