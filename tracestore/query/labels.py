"""Which series a span belongs to: the values of ``by(…)`` as labels, numbered over all sources.

Per chunk each field is a code a span, the codes of several fields are one number, and only numbers
that occur are looked up. Texts keep the codes of their dictionary, so nothing is hashed per span.

Source: TraceQL reference, 6.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from traceql.attributes import Field
from tracestore.errors import LimitExceededError
from tracestore.model.results import AttributeValue
from tracestore.model.series import Labels
from tracestore.query.bind import Binder
from tracestore.query.cells import closer, is_dense
from tracestore.query.counted import CountedSpans
from tracestore.query.masks import to_array
from tracestore.query.numbering import number_values
from tracestore.query.parts import Domain, Lists, Operand, Texts
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
        self.of_text: dict[str, int] = {}
        """Shortcut where one text is all there is."""
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

    def local(self, scan: ChunkScan, rows: Rows | None) -> LocalNumbers:
        """Number spans of a chunk by their labels.

        Args:
            rows: (M,) spans of the chunk; None: all.
        """
        total = scan.chunk.spans if rows is None else len(rows)
        if not self._fields:
            return LocalNumbers(self, {}, 1, [], [])
        fields = [field.values(scan) for field in self._fields]
        if len(fields) == 1 and is_dense(fields[0].count, total):
            own = self._fields[0].keyed(fields[0], scan, rows)
            return LocalNumbers(self, own, fields[0].count, fields, [_Level(None, 1)])
        of_row = [
            field.codes_of(values, scan, rows)
            for field, values in zip(self._fields, fields, strict=True)
        ]
        numbers, count = of_row[0], fields[0].count
        levels: list[_Level] = []
        for values, codes in zip(fields[1:], of_row[1:], strict=True):
            distinct = None
            if not is_dense(count * values.count, len(numbers)):
                numbers, distinct = closer(numbers)
                count = len(distinct)
            levels.append(_Level(distinct, values.count))
            numbers = numbers * values.count + codes
            count *= values.count
        last = None
        if not is_dense(count, len(numbers)):
            numbers, last = closer(numbers)
            count = len(last)
        levels.append(_Level(last, 1))
        return LocalNumbers(self, {"numbers": numbers}, count, fields, levels)

    def resolve(self, fields: Sequence[_Values], codes: Sequence[Rows]) -> Rows:
        """Look up the series of combinations of codes.

        Args:
            codes: (K,) of each field.
        """
        if not fields:
            return np.array([self._numbers.number(())])
        if len(fields) == 1 and (texts := fields[0].texts(codes[0])) is not None:
            return self._of_texts(texts)
        known = self._known if self._is_of_source else {}
        series = np.empty(len(codes[0]), np.int64)
        for place, key in enumerate(zip(*(each.tolist() for each in codes), strict=True)):
            number = known.get(key)
            if number is None:
                number = known[key] = self._number(
                    [values.get(code) for values, code in zip(fields, key, strict=True)]
                )
            series[place] = number
        return series

    def _of_texts(self, texts: Sequence[str | None]) -> Rows:
        known = self._numbers.of_text
        series = np.empty(len(texts), np.int64)
        for place, text in enumerate(texts):
            number = known.get(text) if text is not None else None
            if number is None:
                number = self._number([text])
                if text is not None:
                    known[text] = number
            series[place] = number
        return series

    def _number(self, values: Sequence[AttributeValue | None]) -> int:
        labels = tuple(
            (name, value)
            for name, value in zip(self._names, values, strict=True)
            if value is not None
        )
        if not labels and self._keeps_one:
            labels = ((self._names[0], NIL_TEXT),)
        return self._numbers.number(labels)


@dataclass(frozen=True, slots=True)
class _Level:
    """How a number was made of the one before: that was closed up, times ``count``, plus a code."""

    distinct: Rows | None
    count: int


@dataclass(frozen=True, slots=True)
class LocalNumbers:
    """Numbers of the label sets of some spans; a number may stand for a set that does not occur."""

    labeller: Labeller
    keyed: Mapping[str, Any]
    """What ``kernel.cell_keys`` takes of them; nothing: all are 0."""
    count: int
    fields: Sequence[_Values]
    levels: Sequence[_Level]

    def at(self, spans: CountedSpans, places: Rows | None) -> Mapping[str, Any]:
        """Say the same of some of the spans; None: of all."""
        if places is None or "numbers" not in self.keyed:
            return self.keyed
        return {"numbers": self.keyed["numbers"].take(places)}

    def of_spans(self, spans: CountedSpans, places: Rows) -> Rows:
        """Get the number of some of the spans."""
        if "numbers" in self.keyed:
            found: Rows = self.keyed["numbers"].take(places)
            return found
        if not self.keyed:
            return np.zeros(len(places), np.int64)
        rows = spans.rows_at(places)
        assert rows is not None
        of_codes: Rows = self.keyed["codes"].take(self.keyed["index"].take(rows))
        return of_codes

    def series(self, numbers: Rows) -> Rows:
        """Look up the series of numbers that occur."""
        codes: list[Rows] = []
        rest = numbers
        for level in reversed(self.levels):
            rest, code = np.divmod(rest, level.count)
            codes.append(code)
            if level.distinct is not None:
                rest = level.distinct[rest]
        # the last level only closed numbers up
        return self.labeller.resolve(self.fields, [rest, *reversed(codes[1:])])


class _LabelField:
    """One field of ``by`` in one source."""

    def __init__(self, binder: Binder, field: Field) -> None:
        self._bound = binder.field(field)
        self._domain = self._bound.domain
        self.is_of_source = self._domain in (Domain.CONSTANT, Domain.RESOURCE, Domain.SCOPE)
        self._kept: _Values | None = None

    def values(self, scan: ChunkScan) -> _Values:
        """Number the values of a chunk, or of the source where they are the same in all chunks."""
        values = self._kept
        if values is None:
            operand = scan.operand(self._bound, self._domain)
            values = number_labels(operand, scan.rows(self._domain))
            if self.is_of_source:
                self._kept = values
        return values

    def keyed(self, values: _Values, scan: ChunkScan, rows: Rows | None) -> Mapping[str, Any]:
        """Say the code of each of some spans, as ``kernel.cell_keys`` takes it."""
        if self._domain == Domain.SPAN:
            return {"numbers": self.codes_of(values, scan, rows)}
        index = np.ascontiguousarray(scan.index(self._domain), np.int32)
        return {"codes": values.codes, "index": index}

    def codes_of(self, values: _Values, scan: ChunkScan, rows: Rows | None) -> Rows:
        """Get the code of each of some spans."""
        if self._domain == Domain.SPAN:
            return values.codes if rows is None else values.codes.take(rows)
        index = scan.index(self._domain)
        return values.codes.take(index if rows is None else index.take(rows))


class _Values:
    """The values of an operand, numbered; 0 is nil."""

    def __init__(self, operand: Operand, codes: Rows, count: int) -> None:
        self._operand = operand
        self.codes = codes
        self.count = count
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

    def texts(self, codes: Rows) -> Sequence[str | None] | None:
        """Look up several at once, if all of them are texts."""
        return None


class _TextValues(_Values):
    """Texts, numbered as their dictionary is; a text may have several numbers."""

    def __init__(self, part: Texts, operand: Operand, codes: Rows) -> None:
        super().__init__(operand, codes, len(part.dictionary) + 1)
        self._dictionary = part.dictionary

    def get(self, code: int) -> AttributeValue | None:
        if code not in self._known:
            self._known[code] = self._dictionary[code - 1].as_py()
        return self._known[code]

    def texts(self, codes: Rows) -> Sequence[str | None]:
        places = pa.array(codes - 1, mask=codes == 0)
        found: list[str | None] = self._dictionary.take(places).to_pylist()
        return found


def number_labels(operand: Operand, rows: int) -> _Values:
    """Number the values of an operand over its rows; arrays are nil as a label."""
    scalars = tuple(part for part in operand.parts if not isinstance(part, Lists))
    if len(scalars) == 1 and isinstance(scalars[0], Texts):
        part = scalars[0]
        codes = part.codes.astype(np.int64)
        codes += 1
        if part.valid is not True:
            codes[~to_array(part.valid, rows)] = 0
        return _TextValues(part, operand, codes)
    codes = number_values(Operand(scalars, operand.present), rows)
    return _Values(operand, codes, int(codes.max(initial=0)) + 1)


def label_value(operand: Operand, row: int) -> AttributeValue | None:
    """Get a value as a label shows it: nil where there is none, and for arrays."""
    value = value_at(operand, row)
    if isinstance(value, tuple):
        return None
    if isinstance(value, float):
        return value + 0.0  # zero has no sign
    return value
