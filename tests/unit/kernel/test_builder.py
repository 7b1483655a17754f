"""``SpanBuilder`` and ``FrozenSpans`` as objects: all or nothing, snapshots, threads, memory."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.naive_tables import naive_tables
from support.otlp import EPOCH_NS, event, link, request, span
from support.same_tables import assert_same_tables
from support.wire import message

from tracestore.errors import MalformedError
from tracestore.kernel import SpanBuilder, build_tables
from tracestore.model.tables import Table, attribute_columns


def numbered(number: int, spans: int = 5) -> bytes:
    """A request whose keys, values, resource and traces depend on its number."""
    return request(
        resource={"service.name": f"service-{number % 3}", f"only-{number}": number},
        spans=[
            span(
                trace=number % 7 + 1,
                id=number * 1000 + i + 1,
                start_ms=number,
                attributes=[("n", number), ("t", f"text {i}"), (f"rare-{number % 5}", i), ("n", 1)],
                events=[event("e", attributes={"at": i, "list": [number]})],
                links=[link(1, 1, attributes={"l": b"bytes"})],
            )
            for i in range(spans)
        ],
    )


def test_counts_what_was_appended() -> None:
    builder = SpanBuilder()
    assert (builder.spans, builder.wire_bytes, builder.start_ns, builder.end_ns) == (0, 0, 0, 0)
    data = [numbered(1), numbered(2)]
    assert [builder.append(one) for one in data] == [5, 5]
    assert builder.spans == 10
    assert builder.wire_bytes == sum(map(len, data))
    assert builder.start_ns == EPOCH_NS + 1_000_000
    assert builder.end_ns == EPOCH_NS + 3_000_000
    assert builder.append(b"") == 0
    assert builder.start_ns == EPOCH_NS + 1_000_000


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_takes_any_buffer(kind: type) -> None:
    assert SpanBuilder().append(kind(numbered(1))) == 5


@pytest.mark.parametrize("bad", [b"\xff", b"\x0a\x05abc", message(1, message(2, message(2)))])
def test_a_bad_request_leaves_the_builder_as_it_was(bad: bytes) -> None:
    builder = SpanBuilder()
    builder.append(numbered(1))
    before = (builder.spans, builder.wire_bytes, builder.start_ns, builder.end_ns)
    with pytest.raises(MalformedError):
        builder.append(numbered(2) + bad)
    assert (builder.spans, builder.wire_bytes, builder.start_ns, builder.end_ns) == before
    builder.append(numbered(3))
    expected = naive_tables([numbered(1), numbered(3)])
    assert_same_tables(builder.freeze().tables(), expected)


@pytest.mark.parametrize("missing", [1, 2])
def test_a_span_without_an_id_is_malformed(missing: int) -> None:
    ids = {1: message(1, b"t" * 16), 2: message(2, b"s" * 8)}
    del ids[missing]
    with pytest.raises(MalformedError, match="span without a"):
        build_tables([message(1, message(2, message(2, *ids.values())))])


def test_a_view_does_not_change_while_the_builder_grows() -> None:
    builder, data, views = SpanBuilder(), [numbered(i) for i in range(40)], []
    for one in data:
        builder.append(one)
        views.append(builder.freeze())
    for count in (1, 2, 7, 8, 9, 20, 40):
        assert_same_tables(views[count - 1].tables(), naive_tables(data[:count]))


def test_columns_can_be_had_while_others_append() -> None:
    builder, data = SpanBuilder(), [numbered(i, 50) for i in range(60)]
    appended = threading.Event()

    def append_all() -> None:
        for one in data:
            builder.append(one)
        appended.set()

    def look() -> int:
        looked = 0
        while looked == 0 or not appended.is_set():
            tables = builder.freeze().tables()
            assert tables.spans.num_rows % 50 == 0
            assert tables.events.num_rows == tables.spans.num_rows
            tables.spans.validate(full=True)
            looked += 1
        return looked

    with ThreadPoolExecutor() as pool:
        looks = [pool.submit(look) for _ in range(3)]
        pool.submit(append_all).result()
        assert all(one.result() for one in looks)
    assert builder.freeze().rows(Table.SPANS) == 3000


def test_columns_are_made_once_and_slices_share_their_memory() -> None:
    builder = SpanBuilder()
    builder.append(numbered(1, 100))
    frozen = builder.freeze()
    whole = frozen.columns(Table.SPANS, ["span.n", "duration"])
    part = frozen.columns(Table.SPANS, ["span.n", "duration"], 10, 30)
    assert part.num_rows == 20
    assert part.equals(whole.slice(10, 20))
    for name in ("span.n", "duration"):
        one, other = whole[name].chunk(0), part[name].chunk(0)
        assert one.buffers()[1].address == other.buffers()[1].address
        assert len(part[name].chunks) == 1


def test_schema_and_rows_are_those_of_the_columns() -> None:
    builder = SpanBuilder()
    for i in range(10):
        builder.append(numbered(i))
    frozen = builder.freeze(attribute_columns_max=2)
    tables = frozen.tables()
    for table in Table:
        assert frozen.rows(table) == tables.table(table).num_rows
        assert frozen.schema(table).equals(tables.table(table).schema, check_metadata=True)
    assert len(list(attribute_columns(frozen.schema(Table.SPANS)))) == 2


def test_finds_traces() -> None:
    builder = SpanBuilder()
    ids = [0, 1, 5, 7, 2**64, 2**127]
    builder.append(request(spans=[span(trace=i, id=1) for i in ids]))
    frozen = builder.freeze()
    found = [frozen.find_trace(i.to_bytes(16, "big")) for i in ids]
    assert found == list(range(len(ids)))
    assert frozen.find_trace((6).to_bytes(16, "big")) is None
    assert frozen.find_trace(b"\xff" * 16) is None
    assert SpanBuilder().freeze().find_trace(b"\0" * 16) is None


def test_memory_is_in_proportion_to_the_input_whatever_keys_are_made_up() -> None:
    inputs = [
        request(spans=[span(trace=1, id=1, attributes={f"key {i}": i for i in range(30_000)})]),
        request(
            spans=[span(trace=i + 1, id=1, attributes={f"key {i}": "v"}) for i in range(10_000)]
        ),
        request(
            spans=[
                span(trace=i + 1, id=1, attributes={f"{i // 9}": [i], f"k{i // 20}": i % 2 or "x"})
                for i in range(10_000)
            ]
        ),
    ]
    for data in inputs:
        builder = SpanBuilder()
        builder.append(data)
        tables = builder.freeze().tables()
        assert builder.memory_bytes < 20 * len(data)
        assert tables.nbytes < 60 * len(data)
        assert len(list(attribute_columns(tables.spans.schema))) <= 512


def test_the_view_outlives_the_builder() -> None:
    builder = SpanBuilder()
    builder.append(numbered(1))
    frozen = builder.freeze()
    del builder
    assert_same_tables(frozen.tables(), naive_tables([numbered(1)]))
