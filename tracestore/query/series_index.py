"""Which series a span or a request belongs to: its labels, as far as they are asked for.

Conditions on labels are evaluated once per text; label sets are looked up once per set of a chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracestore.errors import InvalidRequestError, LimitExceededError
from tracestore.query.label_texts import Codes, TextNumbers
from tracestore.query.masks import BoolArray
from tracestore.query.matching import any_of_texts, pattern_matcher
from tracestore.query.numbering import number_by_first
from tracestore.query.predicates import TextMatcher
from tracestore.query.span_series import LabelSet, Matcher, label_set

Rows = npt.NDArray[np.int64]
Labelling = Callable[[str, Rows], Codes]
"""Gives the numbers of the texts that some rows have for a label."""


class LabelConditions:
    """What the matchers of one label say of texts by number."""

    def __init__(self, matchers: Sequence[Matcher], texts: TextNumbers) -> None:
        """Take the matchers of one label.

        Raises: InvalidRequestError for a pattern that is none.
        """
        self._matchers = [(_matcher_of(one), one.op.is_negative) for one in matchers]
        self._texts = texts
        self._verdicts: BoolArray = np.empty(0, np.bool_)

    def verdicts(self) -> BoolArray:
        """Tell of each text met until now whether the matchers allow it."""
        known = len(self._verdicts)
        if known < len(self._texts):
            new = pa.array(self._texts.texts[known:], pa.string())
            found: BoolArray = np.ones(len(new), np.bool_)
            for matcher, is_negative in self._matchers:
                found &= matcher(new) != is_negative
            self._verdicts = np.concatenate([self._verdicts, found])
        return self._verdicts

    def allows_empty(self) -> bool:
        """Tell whether a label that is absent passes."""
        return bool(self.verdicts()[0])


def _matcher_of(matcher: Matcher) -> TextMatcher:
    if not matcher.op.is_regex:
        return any_of_texts([matcher.value])
    try:
        return pattern_matcher(matcher.value)
    except ValueError as error:
        raise InvalidRequestError(
            f"matcher {matcher.label}{matcher.op.value}{matcher.value!r}: {error}"
        ) from error


class SeriesIndex:
    """The label sets that were met and asked for, numbered as they come."""

    def __init__(
        self,
        known: Sequence[str],
        matchers: Sequence[Matcher],
        by: Sequence[str] | None,
        series_max: int,
    ) -> None:
        """Take what is asked.

        Args:
            known: the labels that spans or requests may have.
            by: None: all of them.
            series_max: 0: any number.

        Raises: InvalidRequestError for a pattern that is none.
        """
        self.texts = TextNumbers()
        self.labels: list[LabelSet] = []
        self._numbers: dict[LabelSet, int] = {}
        self._series_max = series_max
        self._names = tuple(sorted(known if by is None else set(by) & set(known)))
        of_label: dict[str, list[Matcher]] = {}
        for one in matchers:
            of_label.setdefault(one.label, []).append(one)
        self.conditions: Mapping[str, LabelConditions] = {
            label: LabelConditions(some, self.texts) for label, some in of_label.items()
        }
        self._is_never = any(
            label not in known and not condition.allows_empty()
            for label, condition in self.conditions.items()
        )
        self._filtered = tuple(label for label in known if label in self.conditions)
        self._seen: dict[tuple[int, ...], int] = {}

    @property
    def is_never(self) -> bool:
        """Whether no label set can pass: a label that there is not must have a value."""
        return self._is_never

    @property
    def wanted(self) -> frozenset[str]:
        """The labels that are looked at."""
        return frozenset((*self._names, *self._filtered))

    def number(self, labels: LabelSet) -> int:
        """Get the number of a label set. Raises: LimitExceededError if there are too many."""
        known = self._numbers.get(labels)
        if known is None:
            if self._series_max and len(self.labels) >= self._series_max:
                raise LimitExceededError(
                    f"the metric has more than {self._series_max} series: narrow it by matchers, "
                    "take fewer labels in by(), or allow more (query.max_metrics_series)",
                    limit="max_metrics_series",
                )
            known = self._numbers[labels] = len(self.labels)
            self.labels.append(labels)
        return known

    def find(self, rows: Rows, labelling: Labelling) -> tuple[Rows, Rows]:
        """Sort rows into series.

        Args:
            rows: (M,) of spans or requests.

        Returns: those of them that pass the matchers, and the series of each.
        """
        codes: dict[str, Codes] = {}
        for label in self._filtered:
            column = labelling(label, rows)
            passed = self.conditions[label].verdicts().take(column)
            if not passed.all():
                rows, column = rows[passed], column[passed]
                codes = {name: known[passed] for name, known in codes.items()}
            codes[label] = column
        if len(rows) == 0:
            return rows, np.empty(0, np.int64)
        columns = [codes[n] if n in codes else labelling(n, rows) for n in self._names]
        return rows, self._series(columns, len(rows))

    def _series(self, columns: Sequence[Codes], rows: int) -> Rows:
        if not columns:
            return np.full(rows, self.number(()), np.int64)
        places, first = _distinct_rows(columns)
        series = np.empty(len(first), np.int64)
        combinations = zip(*(column[first].tolist() for column in columns), strict=True)
        for place, combination in enumerate(combinations):
            known = self._seen.get(combination)
            if known is None:
                texts = [self.texts.texts[code] for code in combination]
                known = self._seen[combination] = self.number(label_set(self._names, texts))
            series[place] = known
        return series.take(places)


def _distinct_rows(columns: Sequence[Codes]) -> tuple[npt.NDArray[np.int32], Rows]:
    """Number equal rows of columns: (M,) numbers, and where each occurs first."""
    places, first = number_by_first(columns[0].astype(np.int64))
    for column in columns[1:]:
        width = int(column.max(initial=0)) + 1
        places, first = number_by_first(places.astype(np.int64) * width + column)
    return places, first
