"""Functions of PromQL from vectors to vectors, value by value.

Source: Prometheus, "Functions".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from tracestore.query.promql.relabel import label_join, label_replace
from tracestore.query.promql.values import (
    Floats,
    Scalar,
    String,
    Value,
    Vector,
    empty,
    renamed,
)

RANGE_FUNCTIONS: Final = frozenset(
    {"rate", "increase", "irate", "delta", "last_over_time", "present_over_time"}
)
"""Those over a range selector, which count spans: ``windows.py``."""

_VALUE_BY_VALUE: Mapping[str, Callable[[Floats], Floats]] = {
    "abs": np.abs,
    "ceil": np.ceil,
    "floor": np.floor,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "ln": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "sgn": np.sign,
}
_OF_PLAN: Final = frozenset({"time", "pi", "vector", "scalar", "absent", "histogram_quantile"})
"""Those that need more than the values: ``evaluate.py``."""

FUNCTIONS: Final = frozenset(
    {
        *_VALUE_BY_VALUE,
        *_OF_PLAN,
        *("clamp", "clamp_min", "clamp_max", "round", "sort", "sort_desc"),
        *("label_replace", "label_join"),
    }
)
AGGREGATIONS: Final = frozenset(
    {
        *("sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "quantile"),
        *("topk", "bottomk"),
    }
)


def call(function: str, arguments: Sequence[Value]) -> Vector:
    """Apply a function to a vector and what else it takes, which the parser has checked.

    Raises: EvaluationError; InvalidRequestError.
    """
    vector, rest = arguments[0], arguments[1:]
    assert isinstance(vector, Vector)
    texts = [one.value for one in rest if isinstance(one, String)]
    numbers = [one.values for one in rest if isinstance(one, Scalar)]
    with np.errstate(all="ignore"):
        if function in _VALUE_BY_VALUE:
            return renamed(vector, _VALUE_BY_VALUE[function](vector.values))
        match function:
            case "label_replace":
                return label_replace(vector, *texts)
            case "label_join":
                return label_join(vector, texts[0], texts[1], texts[2:])
            case "sort" | "sort_desc":
                return sort(vector, is_descending=function == "sort_desc")
            case "round":
                return _round(vector, numbers[0] if numbers else np.ones(vector.points))
            case "clamp":
                return _clamp(vector, numbers[0], numbers[1])
            case "clamp_min":
                return _clamp(vector, numbers[0], np.full(vector.points, np.inf))
            case "clamp_max":
                return _clamp(vector, np.full(vector.points, -np.inf), numbers[0])
    raise AssertionError(f"{function} is in FUNCTIONS")


def _round(vector: Vector, nearest: Floats) -> Vector:
    # Prometheus multiplies by the inverse, for fewer errors of floating point
    inverse = 1.0 / nearest
    return renamed(vector, np.floor(vector.values * inverse + 0.5) / inverse)


def _clamp(vector: Vector, low: Floats, high: Floats) -> Vector:
    clamped = np.maximum(low, np.minimum(high, vector.values))
    made = renamed(vector, clamped)
    return Vector(labels=made.labels, values=made.values, present=made.present & (low <= high))


def sort(vector: Vector, *, is_descending: bool) -> Vector:
    """Order series by their value, NaN last; over a range it changes nothing."""
    if vector.points != 1:
        return vector
    key = -vector.values[:, 0] if is_descending else vector.values[:, 0]
    key = np.where(vector.present[:, 0], key, np.nan)
    ordered = vector.take(np.argsort(key, kind="stable"))
    return Vector(
        labels=ordered.labels, values=ordered.values, present=ordered.present, is_ordered=True
    )


def scalar_of(vector: Vector) -> Scalar:
    """Get the value of the only series, NaN where there is not exactly one."""
    is_one = vector.present.sum(axis=0) == 1
    sums = np.where(vector.present, vector.values, 0.0).sum(axis=0)
    return Scalar(values=np.where(is_one, sums, np.nan))


def vector_of(scalar: Scalar) -> Vector:
    """Make a series without labels."""
    values = scalar.values[np.newaxis, :]
    return Vector(labels=((),), values=values, present=np.ones(values.shape, np.bool_))


def absent(vector: Vector, labels: Sequence[tuple[str, str]]) -> Vector:
    """Make a series of value 1 where there is none.

    Args:
        labels: what the selector says of the series that are looked for.
    """
    lacking = ~np.any(vector.present, axis=0, keepdims=True)
    if not lacking.any():
        return empty(vector.points)
    return Vector(
        labels=(tuple(sorted(labels)),),
        values=np.ones((1, vector.points)),
        present=lacking,
    )
