"""Binary operators between scalars and vectors, and how series of two vectors are matched.

Source: Prometheus, "Binary operators" and "Vector matching".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tracestore.query.promql.nodes import Binary, Cardinality, Matching
from tracestore.query.promql.values import (
    NAME,
    Bools,
    EvaluationError,
    Floats,
    Ints,
    Scalar,
    Vector,
    empty,
    labels_text,
    number,
    only,
    united,
    without,
)
from tracestore.query.span_series import LabelSet

_ARITHMETIC: Mapping[str, Callable[[Floats, Floats], Floats]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "^": np.power,
    "atan2": np.arctan2,
}
_COMPARISON: Mapping[str, Callable[[Floats, Floats], Bools]] = {
    "==": np.equal,
    "!=": np.not_equal,
    ">": np.greater,
    "<": np.less,
    ">=": np.greater_equal,
    "<=": np.less_equal,
}
_SET = frozenset({"and", "or", "unless"})
OPERATORS = frozenset({*_ARITHMETIC, *_COMPARISON, *_SET})


def combine(node: Binary, left: Scalar | Vector, right: Scalar | Vector) -> Scalar | Vector:
    """Apply an operator to its evaluated operands.

    Raises: EvaluationError if series cannot be matched.
    """
    with np.errstate(all="ignore"):
        if isinstance(left, Scalar) and isinstance(right, Scalar):
            return Scalar(values=_numbers(node.operator, left.values, right.values))
        if isinstance(left, Vector) and isinstance(right, Scalar):
            return _with_scalar(node, left, right, is_swapped=False)
        if isinstance(left, Scalar) and isinstance(right, Vector):
            return _with_scalar(node, right, left, is_swapped=True)
        assert isinstance(left, Vector)
        assert isinstance(right, Vector)
        if node.operator in _SET:
            return _sets(node, left, right)
        return _vectors(node, left, right)


def _numbers(operator: str, left: Floats, right: Floats) -> Floats:
    if operator in _ARITHMETIC:
        return _ARITHMETIC[operator](left, right)
    return _COMPARISON[operator](left, right).astype(np.float64)


def _with_scalar(node: Binary, vector: Vector, scalar: Scalar, *, is_swapped: bool) -> Vector:
    number_ = scalar.values[np.newaxis, :]
    sides = (number_, vector.values) if is_swapped else (vector.values, number_)
    if node.operator in _COMPARISON and not node.is_bool:
        holds = _COMPARISON[node.operator](*sides)
        return Vector(labels=vector.labels, values=vector.values, present=vector.present & holds)
    labels = [without(one, (NAME,)) for one in vector.labels]
    return united(labels, _numbers(node.operator, *sides), vector.present)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Groups:
    """The series of two sides by the labels that must agree."""

    signatures: list[LabelSet]
    left: Ints
    """(left series,) number of the signature."""
    right: Ints
    """(right series,)"""


def _grouped(matching: Matching, left: Vector, right: Vector) -> _Groups:
    def signature(labels: LabelSet) -> LabelSet:
        if matching.is_on:
            return only(labels, matching.labels)
        return without(labels, matching.labels | {NAME})

    signatures, places = number(
        signature(labels) for side in (left, right) for labels in side.labels
    )
    split = len(left.labels)
    return _Groups(signatures=signatures, left=places[:split], right=places[split:])


def _there(places: Ints, present: Bools, groups: int) -> Ints:
    """Count the series of each group at each time."""
    counts = np.zeros((groups, present.shape[1]), np.int64)
    np.add.at(counts, places, present)
    return counts


def _sets(node: Binary, left: Vector, right: Vector) -> Vector:
    groups = _grouped(node.matching, left, right)
    if node.operator == "or":
        taken = _there(groups.left, left.present, len(groups.signatures)) > 0
        added = right.present & ~taken[groups.right]
        return united(
            [*left.labels, *right.labels],
            np.concatenate([left.values, right.values]),
            np.concatenate([left.present, added]),
        )
    other = (_there(groups.right, right.present, len(groups.signatures)) > 0)[groups.left]
    kept = left.present & (other if node.operator == "and" else ~other)
    return Vector(labels=left.labels, values=left.values, present=kept)


def _vectors(node: Binary, left: Vector, right: Vector) -> Vector:
    """Match one to one, or many to one with the many on either side."""
    if node.matching.cardinality is Cardinality.ONE_TO_MANY:
        many, one, is_swapped = right, left, True
    else:
        many, one, is_swapped = left, right, False
    groups = _grouped(node.matching, many, one)
    _check_one(groups, one, is_swapped=is_swapped)
    pairs = _pairs(groups)
    if not len(pairs):
        return empty(left.points)
    many_rows, one_rows = pairs[:, 0], pairs[:, 1]
    present = many.present[many_rows] & one.present[one_rows]
    sides = (many.values[many_rows], one.values[one_rows])
    sides = (sides[1], sides[0]) if is_swapped else sides
    if node.operator in _COMPARISON and not node.is_bool:
        present &= _COMPARISON[node.operator](*sides)
        values = sides[0]
    else:
        values = _numbers(node.operator, *sides)
    labels = [_result_labels(node, many.labels[row], one.labels[other]) for row, other in pairs]
    return _one_result(node, labels, values, present)


def _pairs(groups: _Groups) -> Ints:
    """Find which series of the side of many goes with which of the other."""
    rows: dict[int, list[int]] = {}
    for row, place in enumerate(groups.right.tolist()):
        rows.setdefault(place, []).append(row)
    found = [
        (row, other)
        for row, place in enumerate(groups.left.tolist())
        for other in rows.get(place, ())
    ]
    return np.asarray(found, np.int64).reshape(-1, 2)


def _check_one(groups: _Groups, one: Vector, *, is_swapped: bool) -> None:
    crowded = _there(groups.right, one.present, len(groups.signatures)) > 1
    if not crowded.any():
        return
    group = int(np.flatnonzero(crowded.any(axis=1))[0])
    point = int(np.flatnonzero(crowded[group])[0])
    rows = np.flatnonzero((groups.right == group) & one.present[:, point])[:2]
    shown = ", ".join(labels_text(one.labels[row]) for row in rows)
    side = "left" if is_swapped else "right"
    raise EvaluationError(
        f"found duplicate series for the match group {labels_text(groups.signatures[group])} on "
        f"the {side} hand-side of the operation: [{shown}];many-to-many matching not allowed: "
        "matching labels must be unique on one side"
    )


def _one_result(node: Binary, labels: list[LabelSet], values: Floats, present: Bools) -> Vector:
    try:
        return united(labels, values, present)
    except EvaluationError as error:
        if node.matching.cardinality is Cardinality.ONE_TO_ONE:
            raise EvaluationError(
                "multiple matches for labels: many-to-one matching must be explicit "
                "(group_left/group_right)"
            ) from error
        raise EvaluationError(
            "multiple matches for labels: grouping labels must ensure unique matches"
        ) from error


def _result_labels(node: Binary, many: LabelSet, one: LabelSet) -> LabelSet:
    matching = node.matching
    keeps_name = node.operator in _COMPARISON and not node.is_bool
    labels = many if keeps_name else without(many, (NAME,))
    if matching.cardinality is Cardinality.ONE_TO_ONE:
        if matching.is_on:
            return only(labels, matching.labels)
        return without(labels, matching.labels)
    given = dict(one)
    changed = dict(without(labels, matching.included))
    changed.update({name: given[name] for name in matching.included if name in given})
    return tuple(sorted(changed.items()))
