"""``check``: what it counts, and where it says that the bytes are bad.

That it accepts what protobuf accepts is shown in tests/properties.
"""

import pytest
from support.otlp import (
    EPOCH_NS,
    event,
    link,
    request,
    request_of,
    resource_spans,
    scope_spans,
    span,
)
from support.wire import fixed64, message, number, varint

from tracestore.errors import MalformedError
from tracestore.kernel import RequestCheck, check

TRACE_ID = message(1, b"t" * 16)
SPAN_ID = message(2, b"s" * 8)


def of_spans(*spans: bytes) -> bytes:
    return message(1, message(2, *(message(2, one) for one in spans)))


def of_pair(pair: bytes) -> bytes:
    return of_spans(TRACE_ID + SPAN_ID + message(9, pair))


def offset_of(data: bytes) -> int:
    with pytest.raises(MalformedError) as refused:
        check(data)
    return refused.value.offset


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_counts_spans_and_their_time_range(kind: type) -> None:
    data = request(
        spans=[
            span(trace=1, id=1, start_ms=10, duration_ms=100),
            span(trace=1, id=2, start_ms=5, duration_ms=1),
            span(trace=2, id=3, start_ms=20, duration_ms=1),
        ]
    )
    assert check(kind(data)) == RequestCheck(
        spans=3,
        start_ns=EPOCH_NS + 5_000_000,
        end_ns=EPOCH_NS + 110_000_000,
        zero_trace_ids=0,
        zero_span_ids=0,
    )


def test_nothing_is_valid() -> None:
    assert check(b"") == RequestCheck(0, 0, 0, 0, 0)


def test_counts_ids_that_are_missing_or_zero() -> None:
    data = of_spans(
        TRACE_ID + SPAN_ID,
        SPAN_ID,
        message(1, bytes(16)) + SPAN_ID,
        TRACE_ID,
        TRACE_ID + message(2, bytes(8)),
        b"",
    )
    found = check(data)
    assert (found.spans, found.zero_trace_ids, found.zero_span_ids) == (6, 3, 3)


def test_the_largest_attribute_is_measured_whatever_has_it() -> None:
    short, long = {"k": "v"}, {"key": "value" * 100}
    owners = [
        request(spans=[], resource=long),
        request_of([resource_spans([scope_spans([], attributes=long)])]),
        request(spans=[span(trace=1, id=1, attributes=long)]),
        request(spans=[span(trace=1, id=1, events=[event("e", attributes=long)])]),
        request(spans=[span(trace=1, id=1, links=[link(1, 1, attributes=long)])]),
    ]
    for data in owners:
        largest = check(data + request(spans=[], resource=short)).attribute_bytes
        assert largest == 2 + 3 + 3 + 3 + 500


def test_an_id_is_zero_only_if_all_its_bytes_are() -> None:
    data = of_spans(message(1, bytes(15) + b"\1") + message(2, bytes(7) + b"\1"))
    assert check(data)[3:5] == (0, 0)


def test_times_are_unsigned() -> None:
    latest = 2**64 - 1
    found = check(of_spans(fixed64(7, 2**63) + fixed64(8, latest), fixed64(7, latest)))
    assert (found.start_ns, found.end_ns) == (2**63, latest)


def test_offset_is_that_of_the_bad_byte_of_a_text() -> None:
    data = request(spans=[span(trace=1, id=1, name="x" * 50 + "NAME")])
    assert offset_of(data.replace(b"NAME", b"NA\xffE")) == data.index(b"NAME") + 2


@pytest.mark.parametrize("text", [b"\xff", b"12345\xff", b"123456789\xff", b"a" * 40 + b"\xff"])
def test_bad_text_is_found_wherever_it_stands(text: bytes) -> None:
    for pair in (
        message(1, text) + message(2, message(1, b"value")),
        message(1, b"key") + message(2, message(1, text)),
        message(1, text) + message(2, number(3, 2**40)),
        message(1, text) + message(2, number(2, 1)),
        message(1, text) + message(2, fixed64(4, 2**63)),
        message(1, text * 4) + message(2, message(1, b"v" * 200)),
        message(2, message(5, message(1, message(1, text)))),
        message(2, message(6, message(1, message(1, text)))),
    ):
        data = of_pair(pair)
        assert data[offset_of(data)] == 0xFF


@pytest.mark.parametrize("size", range(40))
def test_texts_of_any_length_outside_ascii_are_valid(size: int) -> None:
    for text in ("é" * size, "x" * size + "€", "\U0001f600" + "x" * size):
        encoded = text.encode()
        assert check(of_pair(message(1, encoded) + message(2, message(1, encoded)))).spans == 1


def test_a_length_is_held_against_the_end_of_its_message_and_not_of_the_request() -> None:
    inner = message(2, TRACE_ID + b"\x12\x09ssssssss")  # a span ID of nine bytes, of which eight
    data = message(1, message(2, inner)) + message(1)  # are there; the request goes on
    offset = offset_of(data)
    assert data[offset] == 9


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        (1, b"t" * 15, "trace ID is not 16 bytes long"),
        (2, b"s" * 16, "span ID is not 8 bytes long"),
        (4, b"p", "parent span ID is not 8 bytes long"),
        (13, message(1, b"t"), "trace ID of a link is not 16 bytes long"),
        (13, message(2, b"t" * 7), "span ID of a link is not 8 bytes long"),
    ],
)
def test_ids_have_their_length_or_are_empty(field: int, value: bytes, reason: str) -> None:
    assert check(of_spans(message(field))).spans == 1
    with pytest.raises(MalformedError, match=reason):
        check(of_spans(message(field, value)))


def test_the_last_of_several_ids_counts() -> None:
    assert check(of_spans(message(1, b"short") + TRACE_ID)).zero_trace_ids == 0
    with pytest.raises(MalformedError):
        check(of_spans(TRACE_ID + message(1, b"short")))


def test_every_prefix_is_either_valid_or_refused_at_an_offset_within() -> None:
    attributes = {"s": "text", "i": 2**62, "f": 1.5, "b": True, "l": [1, 2], "m": {"k": [b"x"]}}
    data = request(
        resource=attributes,
        spans=[
            span(
                trace=1,
                id=1,
                parent=2,
                attributes=attributes,
                events=[event("e", attributes=attributes)],
                links=[link(1, 2, attributes=attributes)],
                status="error",
            )
        ],
    )
    for size in range(1, len(data)):
        assert 0 <= offset_of(data[:size]) <= size


def test_recursion_ends_with_an_error_and_not_with_the_stack() -> None:
    value = b""
    for _ in range(20_000):
        value = (
            b"\x2a" + varint(len(value) + 5, size=5) + b"\x0a" + varint(len(value), size=4) + value
        )
        if len(value) > 200_000:
            break
    with pytest.raises(MalformedError):
        check(of_pair(message(2, value)))
    with pytest.raises(MalformedError, match="nested too deeply"):
        check(b"\x9b\x01" * 1_000_000)
