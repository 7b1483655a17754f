"""Cutting requests by trace ID, against the protobuf library."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.otlp import request, span
from support.shards import assert_shards_agree, naive_place, score
from support.strategies import request_bytes
from support.wire import fixed32, fixed64, group, message, number, tag, varint

from tracestore.errors import MalformedError
from tracestore.kernel import check, rank, shard

thorough = settings(max_examples=150, deadline=None, derandomize=True)
seeds = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5)

UNKNOWN = [
    number(99, 7),
    fixed64(98, 1),
    fixed32(97, 2),
    message(96, b"x"),
    group(95, number(1, 1)),
]


def raw_span(trace: int, id: int, *extra: bytes) -> bytes:
    """Write a span as a field of a ScopeSpans."""
    ids = message(1, trace.to_bytes(16, "big")), message(2, id.to_bytes(8, "big"))
    return message(2, *ids, *extra)


@thorough
@given(request_bytes, seeds)
def test_parts_are_what_the_protobuf_library_makes(data: bytes, places: list[int]) -> None:
    assert_shards_agree(data, places)


@thorough
@given(st.data())
def test_fields_that_nobody_knows_stay_and_order_does_not_matter(data: st.DataObject) -> None:
    """Wrappers before, between and behind what they wrap, in longer forms than needed."""

    def unknown() -> list[bytes]:
        return data.draw(st.lists(st.sampled_from(UNKNOWN), max_size=2))

    def wrapped(field: int, parts: list[bytes]) -> bytes:
        content = b"".join(data.draw(st.permutations(parts)))
        size = data.draw(st.integers(0, 5))
        return tag(field, 2, size=min(size, 3)) + varint(len(content), size=size) + content

    traces = st.integers(1, 4)
    scopes = [
        wrapped(
            2,
            [
                *(raw_span(data.draw(traces), i + 1, *unknown()) for i in range(3)),
                message(1, message(1, b"scope")),
                message(3, b"url"),
                *unknown(),
            ],
        )
        for _ in range(data.draw(st.integers(1, 3)))
    ]
    group_of = wrapped(1, [*scopes, message(1, *unknown()), message(3, b"u"), *unknown()])
    whole = b"".join(data.draw(st.permutations([group_of, group_of, *unknown()])))

    assert_shards_agree(whole, data.draw(seeds))


@thorough
@given(st.binary(min_size=16, max_size=16), seeds)
def test_all_compute_the_same_home(trace_id: bytes, places: list[int]) -> None:
    high, low = (int.from_bytes(half, "little") for half in (trace_id[:8], trace_id[8:]))

    order = rank(high, low, np.array(places, np.uint64))

    assert order[0] == naive_place(trace_id, places)
    scores = [score(trace_id, places[i]) for i in order]
    assert scores == sorted(scores, reverse=True)


def test_places_share_evenly_and_a_new_one_takes_from_all() -> None:
    ids = [n.to_bytes(16, "big") for n in range(6000)]
    few, more = [11, 22, 33], [11, 22, 33, 44]
    before = [naive_place(trace_id, few) for trace_id in ids]
    after = [naive_place(trace_id, more) for trace_id in ids]

    assert all(1850 < count < 2150 for count in Counter(before).values())
    moved = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert {new for _, new in moved} == {3}
    assert 1350 < len(moved) < 1650
    assert all(400 < count < 600 for count in Counter(old for old, _ in moved).values())


def test_the_last_trace_id_of_a_span_counts() -> None:
    places = next([a, b] for a in range(9) for b in range(9) if homes([a, b]) == (0, 1))
    body = raw_span(1, 1, message(1, (2).to_bytes(16, "big"))) + raw_span(1, 2)
    data = message(1, message(2, body))

    first, second = shard(data, 2, np.array(places, np.uint64))

    assert first is not None
    assert second is not None
    assert check(first).spans == check(second).spans == 1
    assert (2).to_bytes(16, "big") in bytes(second)


def homes(places: list[int]) -> tuple[int, int]:
    return naive_place((1).to_bytes(16, "big"), places), naive_place(
        (2).to_bytes(16, "big"), places
    )


def test_what_was_not_checked_is_refused() -> None:
    data = request(resource={}, spans=[span(trace=1, id=1), span(trace=2, id=2)])
    places = np.array([1, 2, 3], np.uint64)

    for end in range(1, len(data)):
        with pytest.raises(MalformedError):
            shard(data[:end], 2, places)
    with pytest.raises(MalformedError, match="more spans than were counted"):
        shard(data, 1, places)


def test_a_request_without_spans_goes_nowhere() -> None:
    places = np.array([1, 2], np.uint64)

    assert shard(b"", 0, places) == [None, None]
    assert shard(message(1, message(1)), 0, places) == [None, None]
