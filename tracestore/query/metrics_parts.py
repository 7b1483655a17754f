"""What one part of a metrics query has counted, as plain values that can be sent.

Arrays are bytes, little-endian, eight to a number. What is read of them is checked: they may come
from anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from tracestore.errors import CorruptionError
from tracestore.model.series import Exemplar, Labels

Rows = npt.NDArray[np.int64]
_KEY = "part of metrics"


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidatePart:
    """A span that may be shown."""

    series: int
    part: int
    exemplar: Exemplar
    trace_id: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Numbers by cell: K keys as int64, and of each one or more float64."""

    keys: bytes
    columns: tuple[bytes, ...]

    @classmethod
    def of(cls, keys: Rows, columns: Sequence[npt.NDArray[Any]]) -> Cells:
        """Write arrays."""
        return cls(
            keys=keys.astype("<i8").tobytes(),
            columns=tuple(column.astype("<f8").tobytes() for column in columns),
        )

    def arrays(self, count: int, size: int) -> tuple[Rows, list[npt.NDArray[np.float64]]]:
        """Read them.

        Args:
            count: of columns.
            size: keys are below it.

        Raises: CorruptionError.
        """
        if len(self.keys) % 8 or [len(one) for one in self.columns] != [len(self.keys)] * count:
            raise CorruptionError("the arrays of a part do not fit together", key=_KEY)
        keys = np.frombuffer(self.keys, "<i8").astype(np.int64)
        if len(keys) and not (0 <= int(keys.min()) <= int(keys.max()) < size):
            raise CorruptionError("a part has a cell outside of the range", key=_KEY)
        return keys, [np.frombuffer(one, "<f8").astype(np.float64) for one in self.columns]


class FunctionPart(msgspec.Struct, frozen=True, kw_only=True, tag="function"):
    """Of any function but ``compare``: cells by series and point, with a bucket between."""

    labels: tuple[Labels, ...]
    cells: Cells
    candidates: tuple[CandidatePart, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ValuesPart:
    """The values of one type of an attribute: cells by value, group and point."""

    type: str
    values: tuple[str | int | float, ...]
    cells: Cells
    is_cut: bool


class ComparePart(msgspec.Struct, frozen=True, kw_only=True, tag="compare"):
    """Of ``compare``."""

    values: tuple[tuple[str, ValuesPart], ...]
    """By attribute."""
    names: tuple[str, ...]
    """Attributes with a total."""
    totals: Cells
    """By place of the name, group and point."""
    candidates: tuple[CandidatePart, ...] = ()


def checked(candidates: Sequence[CandidatePart], series: frozenset[int], points: int) -> None:
    """Raises: CorruptionError for a span outside of the range, or of a series without cells."""
    for one in candidates:
        if not (one.series in series and 0 <= one.exemplar.point < points and one.part >= 0):
            raise CorruptionError("a part shows a span outside of the range", key=_KEY)


def other_query() -> CorruptionError:
    """Make the error for a part of another function."""
    return CorruptionError("a part is of another function", key=_KEY)
