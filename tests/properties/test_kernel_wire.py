"""Hostile and unusual bytes: the kernel accepts what opentelemetry-proto accepts, and no more."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.strategies import request_bytes
from support.wire import (
    GROUP,
    GROUP_END,
    LENGTH,
    fixed32,
    fixed64,
    group,
    message,
    number,
    tag,
    varint,
)
from support.wire_oracle import assert_kernel_agrees

TRACE_ID = message(1, b"t" * 16)
SPAN_ID = message(2, b"s" * 8)
IDS = TRACE_ID + SPAN_ID


def of_span(*fields: bytes) -> bytes:
    """Wrap fields of a span that has IDs."""
    return message(1, message(2, message(2, IDS, *fields)))


def of_value(*members: bytes) -> bytes:
    """Wrap members of the value of an attribute."""
    return of_span(message(9, message(1, b"key"), message(2, *members)))


def text_value(text: bytes) -> bytes:
    return message(1, text)


def nested_arrays(levels: int) -> bytes:
    """Wrap an array in arrays; each takes two messages, and span and attribute take five."""
    inner = b""
    for _ in range(levels):
        inner = message(5, message(1, inner))
    return of_value(inner)


def nested_groups(levels: int) -> bytes:
    return tag(20, GROUP) * levels + tag(20, GROUP_END) * levels


ACCEPTED = {
    "nothing": b"",
    "empty resource spans": message(1),
    "scope spans before the resource": message(
        1, message(2, message(2, IDS)), message(1, message(1, message(1, b"k"))), message(3, b"url")
    ),
    "spans before the scope": message(
        1, message(2, message(2, IDS), message(3, b"url"), message(1, message(1, b"scope")))
    ),
    "resource in two parts": message(
        1,
        message(1, message(1, message(1, b"a")), number(2, 7)),
        message(2, message(2, IDS)),
        message(1, message(1, message(1, b"b")), message(3, message(2, b"host"))),
    ),
    "scope in two parts": message(
        1,
        message(2, message(1, message(1, b"x")), message(2, IDS), message(1, message(2, b"1.0"))),
    ),
    "scope whose first part is empty": message(1, message(2, message(1), message(2, IDS))),
    "status in two parts": of_span(message(15, message(2, b"bad")), message(15, number(3, 2))),
    "name twice": of_span(message(5, b"first"), message(5, b"last")),
    "trace ID twice, the first too short": of_span(message(1, b"x"), TRACE_ID),
    "value in two parts": of_span(
        message(9, message(2, text_value(b"x")), message(1, b"k"), message(2, number(3, 5)))
    ),
    "array in two parts of one value": of_value(
        message(5, message(1, number(3, 1))), message(5, message(1, number(3, 2)))
    ),
    "array in two parts of two values": of_span(
        message(
            9,
            message(2, message(5, message(1, number(3, 1)))),
            message(2, message(5, message(1, number(3, 2)))),
        )
    ),
    "array, text, array: the last one alone": of_value(
        message(5, message(1, number(3, 1))), text_value(b"x"), message(5, message(1, number(3, 2)))
    ),
    "kvlist in two parts": of_value(
        message(6, message(1, message(1, b"a"))), message(6, message(1, message(1, b"b")))
    ),
    "empty array and then a list": of_value(message(5), message(6)),
    "text replaced by an empty text": of_value(text_value(b"x"), text_value(b"")),
    "bool of a large varint": of_value(number(2, 2**40)),
    "enum wider than 32 bits": of_span(number(6, 2**40 + 3)),
    "negative enum in five bytes": of_span(number(6, 2**32 - 1)),
    "dropped count wider than 32 bits": of_span(number(10, 2**32 + 9)),
    "string index wider than 32 bits": of_value(number(8, 2**33 + 1)),
    "unknown fields of every wire type": of_span(
        number(99, 1), fixed64(99, 1), message(99, b"x"), fixed32(99, 1), group(99, number(1, 1))
    ),
    "unknown field of the highest number": of_span(number(2**29 - 1, 1)),
    "group in a group": of_span(group(20, group(21), group(21, group(20)))),
    "known numbers in an unknown group": of_span(group(20, message(5, b"\xff"), message(1, b"x"))),
    "group under the number of a known field": of_span(group(5), group(9, number(1, 1))),
    "name as a varint": of_span(number(5, 1)),
    "start time as a varint": of_span(number(7, 1)),
    "attributes as fixed32": of_span(fixed32(9, 1)),
    "kind as a text": of_span(message(6, b"\xff")),
    "flags as fixed64": of_span(fixed64(16, 1)),
    "tag in five bytes": of_span(tag(5, LENGTH, size=5) + varint(1) + b"x"),
    "length in five bytes": of_span(tag(5, LENGTH) + varint(1, size=5) + b"x"),
    "value in ten bytes": of_span(number(6, 1, size=10)),
    "end time before the start": of_span(fixed64(7, 5), fixed64(8, 1)),
    "span without IDs": message(1, message(2, message(2))),
    "zero IDs": message(1, message(2, message(2, message(1, bytes(16)), message(2, bytes(8))))),
    "parent of zeros": of_span(message(4, bytes(8))),
    "arrays nested as deep as protobuf allows": nested_arrays(46),
    "groups nested as deep as protobuf allows": nested_groups(99),
}

REFUSED = {
    "a tag and no more": b"\x0a",
    "length beyond the end": b"\x0a\x01",
    "length beyond its message": message(1, message(2, b"\x12\x05abc")),
    "length of four gigabytes": b"\x0a\xff\xff\xff\xff\x0f",
    "length of 2**63": b"\x0a" + varint(2**63),
    "field number 0": b"\x00\x00",
    "field number 0 in a long tag": tag(0, 0, size=3) + b"\0",
    "wire type 6": b"\x0e",
    "wire type 7": b"\x0f",
    "tag in six bytes": of_span(tag(5, LENGTH, size=6) + varint(1) + b"x"),
    "tag wider than 32 bits": of_span(varint(2**35 | 8) + b"\0"),
    "varint of eleven bytes": of_span(b"\x30" + b"\x80" * 10 + b"\x01"),
    "varint without an end": b"\x08" + b"\x80" * 5,
    "half a fixed64": of_span(b"\x39\x01\x02"),
    "half a fixed32": of_span(b"\x85\x01\x01"),
    "group without an end": of_span(tag(20, GROUP)),
    "group with the end of another": of_span(tag(20, GROUP) + tag(21, GROUP_END)),
    "end of no group": of_span(tag(20, GROUP_END)),
    "group that ends outside its message": message(1, tag(20, GROUP)) + tag(20, GROUP_END),
    "name that is no UTF-8": of_span(message(5, b"\xff")),
    "name with a surrogate": of_span(message(5, b"\xed\xa0\x80")),
    "name with an over-long slash": of_span(message(5, b"\xc0\xaf")),
    "name beyond Unicode": of_span(message(5, b"\xf4\x90\x80\x80")),
    "name cut inside a character": of_span(message(5, b"x" * 40 + b"\xe2\x82")),
    "bad UTF-8 in a name that a later one replaces": of_span(message(5, b"\xff"), message(5, b"x")),
    "bad UTF-8 in a value that a later one replaces": of_value(text_value(b"\xff"), number(3, 1)),
    "trace ID of 15 bytes": message(1, message(2, message(2, message(1, b"t" * 15), SPAN_ID))),
    "span ID of 9 bytes": message(1, message(2, message(2, TRACE_ID, message(2, b"s" * 9)))),
    "parent ID of 4 bytes": of_span(message(4, b"pppp")),
    "trace ID of a link of 1 byte": of_span(message(13, message(1, b"t"))),
    "span ID of a link of 16 bytes": of_span(message(13, message(2, b"s" * 16))),
    "arrays nested deeper than protobuf allows": nested_arrays(48),
    "groups nested deeper than protobuf allows": nested_groups(101),
}


@pytest.mark.parametrize("data", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_unusual_bytes_are_read_as_protobuf_reads_them(data: bytes) -> None:
    assert assert_kernel_agrees(data)


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_malformed_bytes_are_refused(data: bytes) -> None:
    assert not assert_kernel_agrees(data)


@pytest.mark.parametrize("levels", range(44, 51))
def test_the_limit_on_nested_arrays_is_that_of_protobuf(levels: int) -> None:
    assert_kernel_agrees(nested_arrays(levels))


@pytest.mark.parametrize("levels", range(97, 104))
def test_the_limit_on_nested_groups_is_that_of_protobuf(levels: int) -> None:
    assert_kernel_agrees(nested_groups(levels))
    assert_kernel_agrees(of_span(nested_groups(levels - 3)))


tampering = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@tampering
@given(request_bytes, st.randoms(use_true_random=False))
def test_mutated_requests(data: bytes, rng: random.Random) -> None:
    for _ in range(10):
        mutated = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            at = rng.randint(0, len(mutated))
            mutated[at : at + rng.randint(0, 4)] = rng.randbytes(rng.randint(0, 4))
        assert_kernel_agrees(bytes(mutated))


@tampering
@given(request_bytes, st.randoms(use_true_random=False))
def test_truncated_requests(data: bytes, rng: random.Random) -> None:
    for _ in range(10):
        assert_kernel_agrees(data[: rng.randint(0, len(data))])


@settings(tampering, max_examples=200)
@given(st.binary(max_size=60))
def test_random_bytes(data: bytes) -> None:
    assert_kernel_agrees(data)
    assert_kernel_agrees(of_span(data))
    assert_kernel_agrees(of_value(data))


def test_every_prefix_of_a_request_with_everything() -> None:
    data = b"".join(ACCEPTED.values())
    for size in range(len(data)):
        assert_kernel_agrees(data[:size])
