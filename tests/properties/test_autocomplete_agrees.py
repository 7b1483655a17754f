"""Names and values are those of the naive oracle, in its order, wherever the spans lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from support.naive_spans import TraceOf, read_traces
from support.naive_tables import naive_tables
from support.naive_tags import Counts, names, ranked, values
from support.otlp import EPOCH_NS
from support.query import control
from support.search_cases import Placed, placed_spans, request_for
from support.search_queries import BROAD_FILTERS, filter_queries
from support.tags import live_source, names_of, values_of
from support.written_blocks import write_block

from traceql import TagFilter, nodes, parse_field, parse_tag_filter
from traceql.attributes import Field, Intrinsic
from traceql.walk import fields_of
from tracestore.kernel import build_tables
from tracestore.model.tags import TagScope
from tracestore.model.times import MILLISECOND_NS, TimeRange
from tracestore.query.block_source import BlockSource
from tracestore.query.intrinsics import needs_whole_trace
from tracestore.query.source import SpanSource
from tracestore.query.tables_source import TablesSource
from tracestore.query.tag_names import tag_names
from tracestore.query.tag_spans import Lookup
from tracestore.query.tag_values import tag_values
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.objects.memory import MemoryObjectStore

SLOW = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.reuse, Phase.generate],
)
pytestmark = pytest.mark.timeout(7200)

KEYS = ["a", "b", "n", "service.name", '"x y"', "never"]
PREFIXES = ["", "span", "resource", "instrumentation", "event", "link", "parent.span", "parent"]
INTRINSICS = [
    "name",
    "statusMessage",
    "rootName",
    "rootServiceName",
    "event:name",
    "instrumentation:name",
    "instrumentation:version",
]
tags = st.one_of(
    st.tuples(st.sampled_from(PREFIXES), st.sampled_from(KEYS)).map(".".join),
    st.sampled_from(INTRINSICS),
).map(parse_field)
USUAL_FILTERS = [
    *BROAD_FILTERS,
    "{ kind = server || status = error }",
    "{ .n > 0 && kind != client }",
    '{ rootName != "a" }',
    "{ traceDuration >= 1ms && .a != nil }",
    '{ parent.a = "a" || kind = server }',
    '{ .a = "a" || span.a = 1 || (resource.a = 1.0 && kind = client) }',
    '{ name = "a" && kind = server || statusMessage = "" }',
    '{ event:name = "a" || link.a = "a" || instrumentation:name = "io" }',
]
filters = st.one_of(
    st.none(),
    st.sampled_from(USUAL_FILTERS).map(parse_tag_filter),
    st.sampled_from(USUAL_FILTERS).map(parse_tag_filter),
    filter_queries().map(parse_tag_filter),
)
windows = st.one_of(
    st.none(),
    st.tuples(st.sampled_from([0, 1, 2, 900, 2000]), st.sampled_from([1, 500, 5001, 9000])).map(
        lambda ms: TimeRange(
            start_ns=EPOCH_NS + ms[0] * MILLISECOND_NS,
            end_ns=EPOCH_NS + (ms[0] + ms[1]) * MILLISECOND_NS,
        )
    ),
)
Maker = Callable[[bytes, str], SpanSource]


def block_source(request: bytes, id: str, columns: int, listed: int) -> SpanSource:
    tables = build_tables([request], attribute_columns_max=columns)
    if tables.spans.num_rows == 0:
        return TablesSource(tables, id)
    store = MemoryObjectStore()
    block = BlockSettings(row_group_spans=3, distinct_values_max=listed)
    meta = write_block(
        store, tables, settings=block, block=f"0190b6f0-0000-7000-8000-00000000000{id}"
    )
    return BlockSource(store, meta, BlockCache(1 << 20))


def live_or_empty(request: bytes, id: str, columns: int) -> SpanSource:
    tables = build_tables([request])
    if tables.spans.num_rows == 0:
        return TablesSource(tables, id)
    return live_source(request, id, chunk=3, columns=columns)


makers: st.SearchStrategy[Maker] = st.one_of(
    st.just(lambda request, id: TablesSource(naive_tables([request]), id, spans_per_chunk=3)),
    st.sampled_from([0, 1, 512]).map(
        lambda columns: lambda request, id: live_or_empty(request, id, columns)
    ),
    st.tuples(st.sampled_from([0, 1, 512]), st.sampled_from([0, 2, 256])).map(
        lambda drawn: lambda request, id: block_source(request, id, *drawn)
    ),
)


def expression_of(filter: TagFilter | None) -> nodes.FieldExpression | None:
    return None if filter is None else filter.filter.expression


def touching(traces: list[TraceOf], window: TimeRange | None) -> list[TraceOf]:
    """Take the traces that have some time in the window."""
    if window is None:
        return traces
    return [one for one in traces if one.start_ns < window.end_ns and one.end_ns >= window.start_ns]


def inside_as_one(traces: list[TraceOf], window: TimeRange | None) -> bool:
    """Tell whether the window meets what lies between the first begin and the last end."""
    if window is None or not traces:
        return window is None
    first = min(one.start_ns for one in traces)
    last = max(one.end_ns for one in traces)
    return first < window.end_ns and last >= window.start_ns


def is_of_whole_trace(filter: TagFilter | None, tag: Field | None) -> bool:
    """Whether a part of a trace may say another thing than the whole."""
    if filter is None:
        return False
    asked = [*fields_of(filter.filter), *([] if tag is None else [tag])]
    return any(map(needs_whole_trace, asked))


@SLOW
@given(placed=placed_spans(sources=1), tag=tags, filter=filters, make=makers)
def test_values_of_a_source_are_those_of_its_spans(
    placed: list[Placed], tag: Field, filter: TagFilter | None, make: Maker
) -> None:
    request = request_for(placed, 0)
    note(f"{tag} {filter}")

    found = tag_values([make(request, "0")], tag, Lookup(filter=filter), control())

    assert values_of(found) == ranked(values(read_traces([request]), tag, expression_of(filter)))


@SLOW
@given(
    placed=placed_spans(sources=3),
    tag=tags,
    filter=filters,
    made=st.tuples(makers, makers, makers),
    bytes_max=st.sampled_from([0, 0, 0, 10, 40]),
    window=windows,
)
def test_values_of_several_sources_are_added_up(
    placed: list[Placed],
    tag: Field,
    filter: TagFilter | None,
    made: tuple[Maker, ...],
    bytes_max: int,
    window: TimeRange | None,
) -> None:
    requests = [request_for(placed, source) for source in range(3)]
    sources = [make(requests[n], str(n)) for n, make in enumerate(made)]
    lookup = Lookup(filter=filter, bytes_max=bytes_max, window=window)
    cache = BlockCache(1 << 20)
    note(f"{tag} {filter}")

    found = values_of(tag_values(sources, tag, lookup, control(), cache=cache))
    again = values_of(tag_values(sources, tag, lookup, control(), cache=cache))

    assert again == found
    if is_of_whole_trace(filter, tag):
        traces = touching(read_traces(requests), window)
        expected = values(traces, tag, expression_of(filter))
        ordered = sorted(expected)
        found = sorted(found)
    else:
        expected = Counter[tuple[str, str]]()
        for request in requests:
            traces = read_traces([request])
            inside = touching(traces, window)
            if filter is None and inside_as_one(traces, window):
                inside = traces  # without a filter sources are asked as a whole
            expected += values(inside, tag, expression_of(filter))
        expected = _demanded_once(expected, tag, filter)
        ordered = ranked(expected)
    if bytes_max == 0:
        assert found == ordered
    else:
        assert set(found) <= set(expected)
        size = sum(len(text.encode()) for _, text in found)
        assert size <= bytes_max
        if sum(len(text.encode()) for _, text in expected) <= bytes_max:
            assert found == ordered


def _demanded_once(counts: Counts, tag: Field, filter: TagFilter | None) -> Counts:
    """What a filter demands counts once, not once per source."""
    for one in values([], tag, expression_of(filter)):
        counts[one] -= 2
    return counts


@SLOW
@given(
    placed=placed_spans(sources=3),
    filter=filters,
    made=st.tuples(makers, makers, makers),
    used=st.integers(1, 3),
)
def test_names_are_those_of_the_spans(
    placed: list[Placed], filter: TagFilter | None, made: tuple[Maker, ...], used: int
) -> None:
    requests = [request_for(placed, source) for source in range(used)]
    sources = [make(requests[n], str(n)) for n, make in enumerate(made[:used])]
    scopes = frozenset(TagScope) - {TagScope.INTRINSIC}
    note(str(filter))

    found = tag_names(sources, scopes, Lookup(filter=filter), control())

    if is_of_whole_trace(filter, None):
        expected = names(read_traces(requests), expression_of(filter))
    else:
        each = [names(read_traces([one]), expression_of(filter)) for one in requests]
        keys = {
            scope: {key for one in each for key in one.get(scope, [])}
            for one in each
            for scope in one
        }
        expected = {scope: sorted(found) for scope, found in keys.items()}
    assert names_of(found) == expected


def test_the_names_of_intrinsics_are_never_asked_of_data() -> None:
    found = tag_names([], frozenset(TagScope), Lookup(), control())

    assert [scope for scope, _ in found.scopes] == [TagScope.INTRINSIC]
    assert all(parse_field(name) in Intrinsic for name in found.scopes[0][1])
