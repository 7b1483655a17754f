"""The traces of an answer as they become known: each summarised once, some at a time, in bounds.

Source: TraceQL reference, 5.9 and 5.10.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tracestore.model.results import AttributeValue, SearchResult, SpanSet, TraceSummary
from tracestore.query.found import Found, Scope, summarise
from tracestore.query.progress import Progress

SPANS_AT_A_TIME = 10_000
"""About how many spans are summarised between two looks at the bounds of the query."""
_TRACE_BYTES, _SPAN_SET_BYTES, _SPAN_BYTES, _ATTRIBUTE_BYTES = 220, 40, 120, 45
"""What the names of the fields and the numbers in them take as JSON."""


class Growing:
    """Traces that are sure to be in the answer, in order."""

    def __init__(
        self, scope: Scope, spans_per_span_set: int, progress: Progress[SearchResult] | None
    ) -> None:
        self._scope = scope
        self._spans_per_span_set = spans_per_span_set
        self._progress = progress
        self._traces: list[TraceSummary] = []
        self._bytes = 0

    def is_due(self) -> bool:
        """Tell whether somebody wants to see them."""
        return self._progress is not None and self._progress.is_due()

    def show(self, partial: Sequence[Found]) -> None:
        """Take the first traces."""
        assert self._progress is not None
        traces = self.summarise(partial)
        self._progress.show(SearchResult(traces=traces, stats=replace(self._scope.stats)))

    def summarise(self, found: Sequence[Found]) -> tuple[TraceSummary, ...]:
        """Summarise what has not been yet; ``found`` begins with what it was the last time.

        Raises: DeadlineError; LimitExceededError if the answer becomes larger than it may.
        """
        control = self._scope.control
        step = max(1, SPANS_AT_A_TIME // self._spans_per_span_set)
        with self._scope.stage("summarise"):
            for begin in range(len(self._traces), len(found), step):
                control.check()
                new = summarise(found[begin : begin + step], self._scope, self._spans_per_span_set)
                self._traces += new
                self._bytes += sum(map(answer_bytes, new))
                control.check_answer(self._bytes)
        return tuple(self._traces)


def answer_bytes(trace: TraceSummary) -> int:
    """Estimate the bytes of a trace in an answer in JSON, which shows the first spanset twice."""
    sizes = [_span_set_bytes(one) for one in trace.span_sets]
    return _TRACE_BYTES + sum(sizes) + (sizes[0] if sizes else 0)


def _span_set_bytes(span_set: SpanSet) -> int:
    attributes = [*span_set.attributes]
    for span in span_set.spans:
        attributes += span.attributes
    size = _SPAN_SET_BYTES + _SPAN_BYTES * len(span_set.spans)
    size += _ATTRIBUTE_BYTES * len(attributes)
    return size + sum(_text_bytes(value) for _, value in attributes)


def _text_bytes(value: AttributeValue) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, tuple):
        return sum(_ATTRIBUTE_BYTES + _text_bytes(one) for one in value)
    return 0
