"""Values -> small numbers, equal for equal values: what ``by`` groups by.

Values are equal if type and content are: int 1 and float 1.0 differ, NaN is one value, an array is
its elements. Kernels: no I/O, no state, Python per part and per element of the longest array only.

Source: TraceQL reference, 5.5.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from traceql.values import ValueType
from tracestore import kernel
from tracestore.query.masks import to_array
from tracestore.query.parts import Ids, Lists, Numbers, Operand, Part, Texts

Codes = npt.NDArray[np.int64]
_DENSE_FACTOR = 8
"""Numbers are counted instead of sorted if they are at most so many times as many as rows."""


def number_values(operand: Operand, rows: int) -> Codes:
    """Number the values of an operand over ``rows`` rows: (rows,) codes, 0 for no value.

    Codes have gaps, but are not larger than about eight times the rows.
    """
    codes = np.zeros(rows, np.int64)
    taken = 1
    for is_list in (False, True):
        parts: dict[ValueType, list[Part]] = {}
        for part in operand.parts:
            if isinstance(part, Lists) == is_list:
                parts.setdefault(part.type, []).append(part)
        for of_type in parts.values():
            valid = [np.flatnonzero(to_array(part.valid, rows)) for part in of_type]
            found = _lists(of_type, valid) if is_list else _scalars(of_type, valid)
            found = _closer(found)
            codes[np.concatenate(valid)] = found + taken
            taken += int(found.max(initial=-1)) + 1
    return codes


def number_by_first(keys: Codes) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Number distinct keys in the order in which they first occur.

    Args:
        keys: (M,) not negative.

    Returns: (M,) numbers without gaps, and where each number occurs first.
    """
    largest = int(keys.max(initial=-1))
    if largest >= _DENSE_FACTOR * len(keys) + 1024:
        _, keys = np.unique(keys, return_inverse=True)
        largest = int(keys.max(initial=-1))
    return kernel.number_by_first(keys.astype(np.int64, copy=False), largest + 1)


def _closer(keys: Codes) -> Codes:
    """Bring keys near 0: by their smallest, or numbered anew if they lie far apart."""
    if len(keys) == 0:
        return keys
    low, high = int(keys.min()), int(keys.max())
    if high - low < _DENSE_FACTOR * len(keys):
        return keys - low
    return np.unique(keys, return_inverse=True)[1].astype(np.int64, copy=False)


def _scalars(parts: Sequence[Part], rows: Sequence[npt.NDArray[np.int64]]) -> Codes:
    """Number the values of some rows of each part; all parts are of one type."""
    texts = [part.texts() if isinstance(part, Ids) else part for part in parts]
    if all(isinstance(part, Texts) for part in texts):
        return _texts([part for part in texts if isinstance(part, Texts)], rows)
    values = [
        part.values[which]
        for part, which in zip(texts, rows, strict=True)
        if isinstance(part, Numbers)
    ]
    joined = np.concatenate(values)
    if joined.dtype.kind == "f":
        joined = np.unique(joined, return_inverse=True)[1]
    return joined.astype(np.int64)


def _texts(parts: Sequence[Texts], rows: Sequence[npt.NDArray[np.int64]]) -> Codes:
    """Number texts; a dictionary may hold one twice, and each part has its own."""
    entries, places, taken = [], [], 0
    for part, which in zip(parts, rows, strict=True):
        codes = part.codes[which].astype(np.int64)
        place, first = number_by_first(codes)
        entries.append(part.dictionary.take(pa.array(codes[first])))
        places.append(place + taken)
        taken += len(first)
    numbers = pa.concat_arrays(entries).dictionary_encode().indices.to_numpy()
    found: Codes = numbers.astype(np.int64)[np.concatenate(places)]
    return found


def _lists(parts: Sequence[Part], rows: Sequence[npt.NDArray[np.int64]]) -> Codes:
    """Number arrays by content: element by element, arrays that agree so far share a number."""
    elements, flat_rows, lengths = [], [], []
    for part, which in zip(parts, rows, strict=True):
        assert isinstance(part, Lists)
        counts = np.diff(part.offsets)[which]
        starts = np.repeat(part.offsets[:-1][which], counts)
        ends = np.cumsum(counts)
        within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
        elements.append(part.elements)
        flat_rows.append(starts + within)
        lengths.append(counts)
    flat = _closer(_scalars(elements, flat_rows))
    base = int(flat.max(initial=0)) + 1
    length = np.concatenate(lengths)
    start = np.cumsum(length) - length
    codes = length.astype(np.int64)
    longer = np.arange(len(length))
    taken = int(length.max(initial=0)) + 1
    for place in range(taken - 1):
        longer = longer[length[longer] > place]
        distinct, number = np.unique(
            codes[longer] * base + flat[start[longer] + place], return_inverse=True
        )
        codes[longer] = number + taken
        taken += len(distinct)
    return codes
