"""Values of PromQL over some times: an array of series by points, and which of them are there.

An instant query has one point. A value that is absent is another thing than NaN, so each vector has
a mask. Source: Prometheus, "Expression language data types".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracestore.errors import TracestoreError
from tracestore.query.span_series import LabelSet

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

NAME = "__name__"
LE = "le"


class EvaluationError(TracestoreError):
    """A query that can be read, and has no answer over the series that are there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """A number at each time."""

    values: Floats
    """(P,)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class String:
    """A text."""

    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """Series; no two of the same labels."""

    labels: tuple[LabelSet, ...]
    """(S,)"""
    values: Floats
    """(S, P); anything where there is no value."""
    present: Bools
    """(S, P)"""
    is_ordered: bool = False
    """Whether the order of the series is an answer, as after ``sort``."""

    def __post_init__(self) -> None:
        assert self.values.shape == self.present.shape
        assert len(self.labels) == len(self.values)

    @property
    def points(self) -> int:
        """P."""
        return int(self.values.shape[1])

    def take(self, places: npt.NDArray[np.int64] | Sequence[int]) -> Vector:
        """Get some series, in that order."""
        index = np.asarray(places, np.int64)
        return Vector(
            labels=tuple(self.labels[place] for place in index),
            values=self.values[index],
            present=self.present[index],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Samples of series at times of their own: what a range selector gives."""

    labels: tuple[LabelSet, ...]
    values: Floats
    """(S, T)"""
    present: Bools
    """(S, T)"""
    times_ms: Ints
    """(T,)"""


Value = Scalar | String | Vector | Matrix


def empty(points: int) -> Vector:
    """Make a vector without series."""
    return Vector(
        labels=(), values=np.zeros((0, points)), present=np.zeros((0, points), dtype=np.bool_)
    )


def without(labels: LabelSet, names: Iterable[str]) -> LabelSet:
    """Leave out some labels."""
    dropped = frozenset(names)
    return tuple(pair for pair in labels if pair[0] not in dropped)


def only(labels: LabelSet, names: Iterable[str]) -> LabelSet:
    """Keep some labels."""
    kept = frozenset(names)
    return tuple(pair for pair in labels if pair[0] in kept)


def labels_text(labels: LabelSet) -> str:
    """Write labels as Prometheus does in its messages."""
    return "{" + ", ".join(f'{name}="{value}"' for name, value in labels) + "}"


def number(labels: Iterable[LabelSet]) -> tuple[list[LabelSet], Ints]:
    """Find the distinct label sets in the order in which they come, and which one each is."""
    known: dict[LabelSet, int] = {}
    places = [known.setdefault(one, len(known)) for one in labels]
    return list(known), np.asarray(places, np.int64)


def united(labels: Sequence[LabelSet], values: Floats, present: Bools) -> Vector:
    """Make a vector of rows some of which may have the same labels, at different times.

    Raises: EvaluationError if two have a value at the same time.
    """
    distinct, places = number(labels)
    if len(distinct) == len(labels):
        return Vector(labels=tuple(labels), values=values, present=present)
    counts = np.zeros((len(distinct), values.shape[1]), np.int64)
    np.add.at(counts, places, present)
    if (counts > 1).any():
        raise EvaluationError("vector cannot contain metrics with the same labelset")
    sums = np.zeros(counts.shape)
    np.add.at(sums, places, np.where(present, values, 0.0))
    return Vector(labels=tuple(distinct), values=sums, present=counts > 0)


def renamed(vector: Vector, values: Floats) -> Vector:
    """Put other values in place of those of a vector: they are no longer its metric.

    Raises: EvaluationError if series differ in their metric alone.
    """
    labels = [without(one, (NAME,)) for one in vector.labels]
    return united(labels, values, vector.present)
