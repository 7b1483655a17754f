"""Whole answers to operations as bytes, for processes of the same version."""

from __future__ import annotations

from typing import Any, TypeVar

from tracestore.codec.value_wire import decode_value, encode_value
from tracestore.model.results import SearchResult
from tracestore.model.series import MetricsResult
from tracestore.model.tags import TagNames, TagValues
from tracestore.query.jobs.metrics import ComputeMetrics
from tracestore.query.jobs.operation import Operation
from tracestore.query.jobs.search import SearchTraces
from tracestore.query.jobs.several_series import CountSeveralSeries
from tracestore.query.jobs.span_series import CountSeries
from tracestore.query.jobs.tags import ListNames, ListValues
from tracestore.query.jobs.trace import FilteredTrace, GetTrace
from tracestore.query.span_series import SeriesCells

R = TypeVar("R")

_ANSWERS: dict[type[Any], Any] = {
    GetTrace: FilteredTrace | None,
    SearchTraces: SearchResult,
    ComputeMetrics: MetricsResult,
    CountSeries: SeriesCells,
    CountSeveralSeries: tuple[SeriesCells, ...],
    ListNames: TagNames,
    ListValues: TagValues,
}
"""The type of the answer to each operation."""


def encode_answer(answer: object) -> bytes:
    """Write an answer, or a part of it that is shown before."""
    return encode_value(answer)


def decode_answer(operation: Operation[R], content: bytes) -> R:
    """Read the answer to an operation. Raises: InvalidRequestError."""
    answer: R = decode_value(content, _ANSWERS[type(operation)])
    return answer
