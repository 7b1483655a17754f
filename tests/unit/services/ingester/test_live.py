from collections import Counter

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from support.otlp import event, link, request, span

from tracestore.kernel import SpanBuilder, encode
from tracestore.model.results import QueryStats
from tracestore.model.tables import Table
from tracestore.services.ingester.live import LiveSource
from tracestore.storage.block import cut

SPANS = [
    span(
        trace=trace,
        id=10 * trace + number,
        parent=None if number == 1 else 10 * trace + 1,
        name=f"op {trace} {number}",
        start_ms=trace,
        attributes={f"only.{trace}": number, "text": f"t{trace}"},
        events=[event(f"e{trace}", at_ms=1)] * (number - 1),
        links=[link(99, trace)] if trace == 2 else [],
    )
    for trace in (3, 1, 2)
    for number in (1, 2, 3)
]


@pytest.fixture
def source() -> LiveSource:
    builder = SpanBuilder()
    builder.append(request(resource={"service.name": "shop"}, spans=SPANS))
    return LiveSource(builder.freeze(), "block", spans_per_chunk=4)


@pytest.mark.parametrize("trace", [1, 2, 3])
def test_a_trace_comes_back_as_it_was_sent(source: LiveSource, trace: int) -> None:
    found = source.find_trace(trace.to_bytes(16, "big"), QueryStats())

    assert found is not None
    (group,) = TracesData.FromString(encode(found)).resource_spans
    sent = {s.span_id: s for s in SPANS if s.trace_id == trace.to_bytes(16, "big")}
    assert {s.span_id: s for s in group.scope_spans[0].spans} == sent


def test_a_trace_takes_along_only_what_it_uses(
    source: LiveSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cut, "DICTIONARY_MAX", 0)
    found = source.find_trace((1).to_bytes(16, "big"), QueryStats())

    assert found is not None
    assert "span.only.1" in found.spans.column_names
    assert "span.only.2" not in found.spans.column_names
    names = found.spans.column("name").combine_chunks().dictionary.to_pylist()
    assert sorted(names) == ["op 1 1", "op 1 2", "op 1 3"]


def test_a_trace_that_is_not_there_is_none(source: LiveSource) -> None:
    assert source.find_trace((4).to_bytes(16, "big"), QueryStats()) is None


def test_chunks_are_whole_traces_and_together_everything(source: LiveSource) -> None:
    owners: Counter[bytes] = Counter()
    for table, column in ((Table.SPANS, "trace_id"), (Table.TRACES, "trace_id")):
        rows = [source.read(table, [column], chunk, QueryStats())[0] for chunk in source.chunks()]
        assert sum(map(len, rows)) == source.rows(table)
    for chunk in source.chunks():
        ids = source.read(Table.SPANS, ["trace_id"], chunk, QueryStats())[0]
        owners.update(set(ids.to_pylist()))
        events = source.read(Table.EVENTS, ["span"], chunk, QueryStats())[0].to_pylist()
        assert all(chunk.first_span <= s < chunk.first_span + chunk.spans for s in events)
    assert set(owners.values()) == {1}
    assert len(owners) == 3


def test_times_are_those_of_the_spans(source: LiveSource) -> None:
    assert source.start_ns == min(s.start_time_unix_nano for s in SPANS)
    assert source.end_ns == max(s.end_time_unix_nano for s in SPANS)


@pytest.mark.parametrize("traces", [(1,), (2,), (3,), (1, 3)])
def test_few_rows_are_the_same_whether_whole_columns_are_made(
    traces: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = SpanBuilder()
    builder.append(request(resource={"service.name": "shop"}, spans=SPANS))
    wanted = [trace.to_bytes(16, "big") for trace in traces]
    (whole,) = LiveSource(builder.freeze(), "whole").find_traces(wanted, QueryStats())
    monkeypatch.setattr("tracestore.kernel.frozen.FEW", 1)
    view = builder.freeze()
    (few,) = LiveSource(view, "few").find_traces(wanted, QueryStats())

    for table in Table:
        assert few.table(table).schema.equals(whole.table(table).schema, check_metadata=True)
        assert few.table(table).to_pylist() == whole.table(table).to_pylist()
