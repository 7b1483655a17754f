from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.jobs import parts_of, site
from support.otlp import EPOCH_NS, request_of, resource_spans, scope_spans, span
from support.source_makers import kernel_tables

from tracestore.errors import CorruptionError, InvalidRequestError
from tracestore.model.series import Grid
from tracestore.model.tags import TagScope
from tracestore.model.times import SECOND_NS
from tracestore.query.jobs.metrics import ComputeMetrics
from tracestore.query.jobs.operation import Share
from tracestore.query.jobs.questions import AnyOperation, operation_from_wire
from tracestore.query.jobs.search import SearchTraces
from tracestore.query.jobs.tags import ListNames, ListValues, Narrowing
from tracestore.query.jobs.trace import GetTrace
from tracestore.query.metrics import MetricsParams
from tracestore.query.search import SearchParams
from tracestore.query.source import SpanSource

GRID = Grid(origin_ns=EPOCH_NS - 1, step_ns=SECOND_NS, count=400)
SEARCH = SearchTraces(text="{}", params=SearchParams(limit=9, spans_per_span_set=3))
OPERATIONS: list[AnyOperation] = [
    SEARCH,
    ComputeMetrics(
        text="{} | rate() by(name)",
        is_instant=False,
        params=MetricsParams(grid=GRID, exemplars=2),
    ),
    ComputeMetrics(text="{} | compare({})", is_instant=False, params=MetricsParams(grid=GRID)),
    ListNames(scopes=(TagScope.SPAN,), narrowing=Narrowing()),
    ListValues(tag="name", is_legacy=False, narrowing=Narrowing()),
    GetTrace(trace_id=(1).to_bytes(16, "big")),
]


def source_at(name: str, number: int, start_s: int) -> SpanSource:
    one = span(
        trace=number,
        id=1,
        name=f"op {number}",
        start_ms=1000 * start_s,
        attributes=[("k", number)],
    )
    return kernel_tables(request_of([resource_spans([scope_spans([one])])]), name, 100, 512)


SOURCES = [source_at("0", 1, 0), source_at("1", 2, 100), source_at("2", 3, 300)]


@pytest.mark.parametrize("operation", OPERATIONS)
@given(data=st.data())
def test_damaged_parts_are_refused_or_read(operation: AnyOperation, data: st.DataObject) -> None:
    part = bytearray(parts_of(operation, SOURCES, [0, 0, 0])[0])
    for _ in range(data.draw(st.integers(1, 3))):
        part[data.draw(st.integers(0, len(part) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(part[: data.draw(st.integers(0, len(part)))])

    for one in (bytes(part), damaged):
        with suppress(CorruptionError):  # anything else fails the test
            operation.combine([one], site())


@pytest.mark.parametrize("operation", OPERATIONS)
def test_parts_of_other_questions_are_refused(operation: AnyOperation) -> None:
    others = [one for one in OPERATIONS if type(one) is not type(operation)]
    for other in others:
        part = parts_of(other, SOURCES, [0, 0, 0])[0]
        with pytest.raises(CorruptionError, match="was expected"):
            operation.combine([part], site())


@given(st.binary(max_size=40))
def test_bytes_that_are_no_question_are_refused(data: bytes) -> None:
    with pytest.raises(CorruptionError):
        operation_from_wire(data)


def test_another_version_is_refused() -> None:
    data = SEARCH.to_wire()
    assert data[1] == 1

    with pytest.raises(CorruptionError, match="version 2 is written by a process of another"):
        operation_from_wire(data[:1] + b"\x02" + data[2:])


def test_a_text_that_is_no_unicode_is_not_sent() -> None:
    search = SearchTraces(text='{ name = "\udc80" }', params=SEARCH.params)

    with pytest.raises(InvalidRequestError, match="cannot be handed on"):
        search.to_wire()


def test_newest_traces_are_sure_once_nothing_newer_is_missing() -> None:
    parts = parts_of(SEARCH, SOURCES, [0, 1, 2])
    known = SEARCH.combine([parts[2], parts[0]], site())

    sure = SEARCH.settled(known, SOURCES[1].end_ns)

    assert [one.root_name for one in known.traces] == ["op 3", "op 1"]
    assert sure is not None
    assert [one.root_name for one in sure.traces] == ["op 3"]


def test_values_are_sure_behind_the_end_of_what_is_missing() -> None:
    rate = OPERATIONS[1]
    assert isinstance(rate, ComputeMetrics)
    parts = parts_of(rate, SOURCES, [0, 1, 2])
    known = rate.combine([parts[2]], site())

    sure = rate.settled(known, SOURCES[1].end_ns)

    assert sure is not None
    assert 100 <= sure.settled_from <= 102


class Unreadable:
    """A source whose columns are damaged."""

    def __init__(self, inner: SpanSource) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def read(self, *_: object) -> None:
        raise CorruptionError("damaged", key="block 1")


def test_what_one_part_cannot_read_the_others_leave_out() -> None:
    params = SearchParams(limit=9, spans_per_span_set=3, count=True, allow_partial=True)
    search = SearchTraces(text="{}", params=params)
    sources: list[SpanSource] = [SOURCES[0], Unreadable(SOURCES[1]), SOURCES[2]]  # type: ignore[list-item]  # the rest is that of the source
    parts = parts_of(search, sources, [0, 1, 2])
    unread = search.missing_of(parts[1])
    again = [
        search.part(sources, site(), Share(primary=frozenset({name}), without=unread))
        for name in "012"
    ]

    whole = search.answer(sources, site())
    found = search.combine(again, site())

    assert unread == {"1"}
    assert (found.missing, found.total) == (whole.missing, whole.total)
    assert found.traces == whole.traces
