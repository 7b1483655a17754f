"""Limits on requests, against the protobuf library and a dictionary of traces."""

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from support.otlp import request, span
from support.strategies import requests
from support.wire import message

from tracestore.kernel import SCOPES, TRUNCATED, LiveTraces, check, limit_request

thorough = settings(max_examples=200, deadline=None, derandomize=True)
limits = st.sampled_from([1, 2, 3, 4, 7, 64, 129, 130])


def owners(request: ExportTraceServiceRequest) -> Iterator[tuple[int, Sequence[KeyValue]]]:
    """Go through everything that has attributes, with its place in ``SCOPES``."""
    for group in request.resource_spans:
        yield 0, group.resource.attributes
        for scope_group in group.scope_spans:
            yield 1, scope_group.scope.attributes
            for made in scope_group.spans:
                yield 2, made.attributes
                yield from ((3, event.attributes) for event in made.events)
                yield from ((4, link.attributes) for link in made.links)


def spans_of(request: ExportTraceServiceRequest) -> list[Span]:
    return [s for g in request.resource_spans for scope in g.scope_spans for s in scope.spans]


def cut(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")


def cut_value(value: AnyValue, size: int) -> int:
    """Cut all strings of a value, in place. Returns how many were too long."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        long = len(value.string_value.encode()) > size
        value.string_value = cut(value.string_value, size)
        return int(long)
    if kind == "array_value":
        return sum(cut_value(each, size) for each in value.array_value.values)
    if kind == "kvlist_value":
        return sum(cut_pair(pair, size) for pair in value.kvlist_value.values)
    return 0


def cut_pair(pair: KeyValue, size: int) -> int:
    long = len(pair.key.encode()) > size
    pair.key = cut(pair.key, size)
    return long + (cut_value(pair.value, size) if pair.HasField("value") else 0)


def cut_request(request: ExportTraceServiceRequest, size: int) -> tuple[int, ...]:
    """Cut all attributes in place and mark it. Returns the counts by scope."""
    counts = [0] * len(SCOPES)
    for scope, attributes in owners(request):
        keys = []
        for pair in attributes:
            if found := cut_pair(pair, size):
                counts[scope] += found
                keys.append(AnyValue(string_value=pair.key))
        if keys:
            value = AnyValue(array_value=ArrayValue(values=keys))
            attributes.append(KeyValue(key=TRUNCATED, value=value))  # type: ignore[attr-defined]
    return tuple(counts)


@thorough
@given(requests, limits)
def test_long_texts_are_cut_as_the_protobuf_library_would(
    message: ExportTraceServiceRequest, size: int
) -> None:
    sent = message.SerializeToString()
    counts = cut_request(message, size)

    limited = limit_request(sent, attribute_bytes_max=size)

    assert ExportTraceServiceRequest.FromString(limited.request) == message
    assert limited.truncated == counts
    assert check(limited.request).spans == len(spans_of(message))
    if not any(counts):
        assert limited.request == sent


@thorough
@given(requests, st.randoms(use_true_random=False), limits | st.just(0))
def test_spans_are_left_out_and_the_rest_stays(
    message: ExportTraceServiceRequest, random: object, size: int
) -> None:
    sent = message.SerializeToString()
    refused = bytes(random.randrange(2) for _ in spans_of(message))  # type: ignore[attr-defined]
    going = iter(refused)
    for group in message.resource_spans:
        for scope_group in group.scope_spans:
            kept = [made for made in scope_group.spans if not next(going)]
            del scope_group.spans[:]
            scope_group.spans.extend(kept)
    counts = cut_request(message, size) if size else (0,) * len(SCOPES)

    limited = limit_request(sent, attribute_bytes_max=size, refused=refused)

    assert ExportTraceServiceRequest.FromString(limited.request) == message
    assert limited.truncated == counts


def test_what_is_within_the_limit_is_not_touched_in_any_byte() -> None:
    odd_tag = b"\x8a\x00" + bytes([3]) + b"\x12\x01x"  # resource_spans, its tag in two bytes
    sent = odd_tag + request(resource={"k": "v" * 2048}, spans=[span(trace=1, id=1)])

    assert limit_request(sent, attribute_bytes_max=2048).request == sent
    assert limit_request(sent).request == sent
    assert limit_request(b"").request == b""


def test_a_tag_written_in_a_longer_way_is_no_way_around() -> None:
    pair = message(1, b"k") + message(2, message(1, b"v" * 50))
    resource = b"\x8a\x00" + bytes([len(pair)]) + pair
    sent = message(1, message(1, resource))

    limited = ExportTraceServiceRequest.FromString(
        limit_request(sent, attribute_bytes_max=10).request
    )

    (first, marker) = limited.resource_spans[0].resource.attributes
    assert first.value.string_value == "v" * 10
    assert marker.key == TRUNCATED


class Model:
    """The traces of a tenant, as a dictionary would have them."""

    def __init__(self, idle_s: int, keep_s: int) -> None:
        self.idle_s = idle_s
        self.keep_s = keep_s
        self.seen: dict[bytes, tuple[int, int]] = {}

    def live(self, now_s: int) -> int:
        return sum(last > now_s - self.idle_s for last, _ in self.seen.values())

    def admit(
        self, sent: ExportTraceServiceRequest, now_s: int, traces_max: int, bytes_max: int
    ) -> list[int]:
        """Returns for each span 0, or 1 for too many traces, 2 for a trace too large."""
        sizes: dict[bytes, int] = {}
        for made in spans_of(sent):
            sizes[made.trace_id] = sizes.get(made.trace_id, 0) + made.ByteSize()
        verdicts = {}
        for trace, size in sizes.items():
            last, before = self.seen.get(trace, (-(10**6), 0))
            if last <= now_s - self.keep_s:
                before = 0
            is_live = last > now_s - self.idle_s
            if traces_max and not is_live and self.live(now_s) >= traces_max:
                verdicts[trace] = 1
            elif bytes_max and before + size > bytes_max:
                verdicts[trace] = 2
            else:
                verdicts[trace] = 0
                self.seen[trace] = (now_s, before + size)
        return [verdicts[made.trace_id] for made in spans_of(sent)]


batches = st.lists(
    st.tuples(st.integers(0, 4), st.lists(st.integers(1, 12), max_size=6)), max_size=12
)


@thorough
@given(batches, st.sampled_from([0, 1, 3]), st.sampled_from([0, 60, 150]))
def test_traces_are_admitted_as_a_dictionary_would(
    steps: list[tuple[int, list[int]]], traces_max: int, bytes_max: int
) -> None:
    live = LiveTraces(seed=7, idle_s=3, keep_s=6, traces_max=1000)
    model = Model(idle_s=3, keep_s=6)
    now_s = 1
    for wait_s, traces in steps:
        now_s += wait_s
        sent = request(spans=[span(trace=t, id=i + 1, name="n" * t) for i, t in enumerate(traces)])
        expected = model.admit(
            ExportTraceServiceRequest.FromString(sent), now_s, traces_max, bytes_max
        )

        found = live.admit(sent, len(traces), now_s, traces_max=traces_max, bytes_max=bytes_max)

        refused = found.refused or bytes(len(traces))
        assert list(refused) == [int(verdict != 0) for verdict in expected]
        assert found.live_traces_exceeded == expected.count(1)
        assert found.trace_too_large == expected.count(2)
        assert live.live(now_s) == model.live(now_s)


@pytest.mark.parametrize("remembered", [10, 100_000])
def test_many_traces_are_counted_and_forgotten(remembered: int) -> None:
    live = LiveTraces(seed=1, idle_s=2, keep_s=10, traces_max=remembered)
    for now_s in range(1, 31):
        traces = range(now_s * 1000, now_s * 1000 + 1000)
        sent = request(spans=[span(trace=t, id=1) for t in traces])
        live.admit(sent, 1000, now_s, traces_max=0, bytes_max=0)

    if remembered > 1000:
        assert live.live(30) == 2000
        assert live.live(31) == 1000
    assert live.live(33) == 0
