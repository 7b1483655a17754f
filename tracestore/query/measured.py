"""What a metric measures of spans: the numbers of an attribute or intrinsic.

Kernels: no I/O, no state. Source: TraceQL reference, 6.3, 6.5.
"""

from __future__ import annotations

from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from traceql.values import ValueType
from tracestore.kernel import power_buckets
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


def measured_buckets(operand: Operand, rows: int) -> tuple[Rows | None, Array, Rows]:
    """Find the buckets of whole numbers and durations.

    Returns: the K places of the spans that have one (None: all have one), (K,) int64 values, and
    the bucket of each, 0 for values that have none.
    """
    parts = [part for part in operand.parts if _is_of(part, _WHOLE)]
    if len(parts) == 1 and parts[0].valid is True:
        values = np.ascontiguousarray(parts[0].values, np.int64)
        return None, values, power_buckets(values)
    places, found = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for part in parts:
        valid = np.flatnonzero(to_array(part.valid, rows))
        places.append(valid)
        found.append(part.values[valid].astype(np.int64))
    values = np.concatenate(found)
    return np.concatenate(places), values, power_buckets(values)


def _is_of(part: object, types: tuple[ValueType, ...]) -> TypeGuard[Numbers]:
    return isinstance(part, Numbers) and part.type in types
