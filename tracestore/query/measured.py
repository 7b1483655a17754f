"""What a metric measures of spans: the numbers of an attribute or intrinsic.

Kernels: no I/O, no state. Source: TraceQL reference, 6.3, 6.5.
"""

from __future__ import annotations

from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from traceql.values import ValueType
from tracestore.query.buckets import SMALLEST
from tracestore.query.masks import to_array
from tracestore.query.parts import Numbers, Operand

Rows = npt.NDArray[np.int64]
Array = npt.NDArray[Any]
_NUMERIC = (ValueType.INT, ValueType.FLOAT, ValueType.DURATION)
_WHOLE = (ValueType.INT, ValueType.DURATION)


def measured_numbers(operand: Operand, rows: int) -> tuple[Rows | None, Array]:
    """Take the numbers; nil, all that is no number and NaN are passed over.

    Returns: the K places of the spans that have one, ascending within a type (None: all have one),
    and (K,) float64.
    """
    parts = [part for part in operand.parts if _is_of(part, _NUMERIC)]
    if len(parts) == 1 and parts[0].valid is True and parts[0].type is not ValueType.FLOAT:
        return None, parts[0].values.astype(np.float64)
    places, values = [np.empty(0, np.int64)], [np.empty(0)]
    for part in parts:
        valid = np.flatnonzero(to_array(part.valid, rows))
        found = part.values[valid].astype(np.float64)
        if part.type is ValueType.FLOAT:
            is_number = ~np.isnan(found)
            valid, found = valid[is_number], found[is_number]
        places.append(valid)
        values.append(found)
    return np.concatenate(places), np.concatenate(values)


def measured_wholes(operand: Operand, rows: int) -> tuple[Rows | None, Array]:
    """Take the whole numbers and durations that have a bucket: (K,) int64, each at least 2."""
    places, values = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for part in operand.parts:
        if not _is_of(part, _WHOLE):
            continue
        found = part.values.astype(np.int64, copy=False)
        large = found >= SMALLEST
        if part.valid is True and large.all():
            return None, found
        valid = np.flatnonzero(to_array(part.valid, rows) & large)
        places.append(valid)
        values.append(found[valid])
    return np.concatenate(places), np.concatenate(values)


def _is_of(part: object, types: tuple[ValueType, ...]) -> TypeGuard[Numbers]:
    return isinstance(part, Numbers) and part.type in types
