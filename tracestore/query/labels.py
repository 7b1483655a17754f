"""Which series a span belongs to: the values of ``by(…)`` as labels, numbered over all sources.

Per chunk the values of each field are numbered, the numbers are combined, and only combinations
that occur are looked up; what is of a resource or scope alone is looked up once per source.

Source: TraceQL reference, 6.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from traceql.attributes import Field
from tracestore.errors import LimitExceededError
from tracestore.model.results import AttributeValue
from tracestore.model.series import Labels
from tracestore.query.bind import Binder
from tracestore.query.cells import closer
from tracestore.query.numbering import number_values
from tracestore.query.parts import Domain, Lists, Operand
from tracestore.query.scan import ChunkScan
from tracestore.query.series_table import LabelKey, label_key
from tracestore.query.spansets import value_at

NIL_TEXT = "nil"
Rows = npt.NDArray[np.int64]


class SeriesNumbers:
    """The label sets that were met, numbered as they come."""

    def __init__(self, series_max: int) -> None:
        """Take how many there may be; 0: any number."""
        self._series_max = series_max
        self._numbers: dict[LabelKey, int] = {}
        self.labels: list[Labels] = []

    def __len__(self) -> int:
        return len(self.labels)

    def number(self, labels: Labels) -> int:
        """Get the number of a label set. Raises: LimitExceededError if there are too many."""
        key = label_key(labels)
        known = self._numbers.get(key)
        if known is None:
            if self._series_max and len(self.labels) >= self._series_max:
                raise LimitExceededError(
                    f"the query has more than {self._series_max} series: take fewer labels in "
                    "by() or labels with fewer values, narrow the filter, "
                    "or allow more (query.max_metrics_series)",
                    limit="max_metrics_series",
                )
            known = self._numbers[key] = len(self.labels)
            self.labels.append(labels)
        return known


def labels_of(names: Sequence[str], values: Sequence[AttributeValue | None]) -> Labels:
    """Make a label set: nil drops its label."""
    return tuple(
        (name, value) for name, value in zip(names, values, strict=True) if value is not None
    )


class Labeller:
    """Numbers the spans of one source by their labels."""

    def __init__(
        self, binder: Binder, fields: Sequence[Field], numbers: SeriesNumbers, *, keeps_one: bool
    ) -> None:
        """Take the fields of ``by``.

        Args:
            keeps_one: where all values are nil, one label remains, with the text ``nil``.
        """
        self._names = [field.text for field in fields]
        self._fields = [_LabelField(binder, field) for field in fields]
        self._numbers = numbers
        self._keeps_one = keeps_one
        self._is_of_source = all(field.is_of_source for field in self._fields)
        self._known: dict[tuple[int, ...], int] = {}
        """Series by the codes of the fields, if these are the same in all chunks."""

    def series(self, scan: ChunkScan, rows: Rows | None) -> tuple[Rows, Rows]:
        """Number spans by their series.

        Args:
            rows: (M,) spans of the chunk; None: all.

        Returns: (M,) a number of each, and the series of each such number.
        """
        total = scan.chunk.spans if rows is None else len(rows)
        if not self._fields:
            return np.zeros(total, np.int64), np.array([self._numbers.number(())])
        coded = [field.codes(scan, rows) for field in self._fields]
        local, distinct = closer(coded[0].of_row)
        codes = [distinct]
        for other in coded[1:]:
            local, distinct = closer(local * other.values.count + other.of_row)
            before, own = np.divmod(distinct, other.values.count)
            codes = [*(each[before] for each in codes), own]
        known = self._known if self._is_of_source else {}
        series = np.empty(len(distinct), np.int64)
        for place, key in enumerate(zip(*(each.tolist() for each in codes), strict=True)):
            number = known.get(key)
            if number is None:
                number = known[key] = self._number(coded, key)
            series[place] = number
        return local, series

    def _number(self, coded: Sequence[_Coded], key: tuple[int, ...]) -> int:
        values = [field.values.get(code) for field, code in zip(coded, key, strict=True)]
        labels = labels_of(self._names, values)
        if not labels and self._keeps_one:
            labels = ((self._names[0], NIL_TEXT),)
        return self._numbers.number(labels)


class _LabelField:
    """One field of ``by`` in one source."""

    def __init__(self, binder: Binder, field: Field) -> None:
        self._bound = binder.field(field)
        self.is_of_source = self._bound.domain in (
            Domain.CONSTANT,
            Domain.RESOURCE,
            Domain.SCOPE,
        )
        self._kept: _Values | None = None

    def codes(self, scan: ChunkScan, rows: Rows | None) -> _Coded:
        """Number the value of each span: 0 is nil."""
        domain = self._bound.domain
        if domain == Domain.SPAN:
            operand = scan.operand(self._bound, domain)
            if rows is not None:
                operand = operand.spread(rows)
            values = _Values(operand, scan.chunk.spans if rows is None else len(rows))
            return _Coded(values, values.codes)
        values = self._kept or _Values(scan.operand(self._bound, domain), scan.rows(domain))
        if self.is_of_source:
            self._kept = values
        index = scan.index(domain)
        return _Coded(values, values.codes.take(index if rows is None else index.take(rows)))


class _Values:
    """The distinct values of an operand, numbered; 0 is nil."""

    def __init__(self, operand: Operand, rows: int) -> None:
        scalars = tuple(part for part in operand.parts if not isinstance(part, Lists))
        self._operand = operand
        self.codes = number_values(Operand(scalars, operand.present), rows)
        self.count = int(self.codes.max(initial=0)) + 1
        self._known: dict[int, AttributeValue | None] = {0: None}

    @cached_property
    def _first(self) -> Rows:
        """Where each number occurs first."""
        first = np.zeros(self.count, np.int64)
        first[self.codes[::-1]] = np.arange(len(self.codes) - 1, -1, -1)
        return first

    def get(self, code: int) -> AttributeValue | None:
        """Look a value up by its number."""
        if code not in self._known:
            self._known[code] = label_value(self._operand, int(self._first[code]))
        return self._known[code]


@dataclass(frozen=True, slots=True)
class _Coded:
    """The values of one field, and (M,) which of them each span has."""

    values: _Values
    of_row: Rows


def label_value(operand: Operand, row: int) -> AttributeValue | None:
    """Get a value as a label shows it: nil where there is none, and for arrays."""
    value = value_at(operand, row)
    if isinstance(value, tuple):
        return None
    if isinstance(value, float):
        return value + 0.0  # zero has no sign
    return value
