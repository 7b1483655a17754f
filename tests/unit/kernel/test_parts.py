"""Tables are encoded in parts, and a part of a trace is arranged as whoever asks knows better."""

from __future__ import annotations

import numpy as np
import pytest
from support.otlp import event, link, request, span

from tracestore.kernel import Arrangement, SpanBuilder, build_tables, encode, encode_parts

SPANS = [
    span(trace=1, id=n, parent=n // 2, events=[event("e")] * (n % 3), links=[link(n, 1)] * (n % 2))
    for n in range(1, 20)
]


@pytest.mark.parametrize("ends", [[19], [4, 5, 19], range(1, 20)])
@pytest.mark.parametrize("bytes_max", [1, 200, 1 << 20])
def test_parts_are_the_whole(ends: list[int], bytes_max: int) -> None:
    tables = build_tables([request(resource={"a": 1}, scope="s", spans=SPANS)])
    parts = list(encode_parts(tables, ends, bytes_max))
    stops = [stop for stop, _ in parts]
    assert set(ends) <= set(stops), "a request ends where it is asked to"
    if bytes_max == 1:
        assert stops == list(range(1, 20))
    assert encode(build_tables([one for _, one in parts])) == encode(tables)


def arrangement(order: list[int]) -> Arrangement:
    numbers = np.arange(len(order), dtype=np.int32)
    return Arrangement(
        order=np.array(order),
        first_span=np.array([0, len(order)]),
        trace_order=np.zeros(1, np.int32),
        nested_left=numbers + 100,
        nested_right=numbers + 200,
        nested_parent=numbers + 50,
        child_count=numbers,
    )


def test_a_given_arrangement_is_taken() -> None:
    builder = SpanBuilder()
    builder.append(request(resource={}, spans=SPANS[:3]))
    tables = builder.freeze(arrangement=arrangement([2, 0, 1])).tables()
    assert [int.from_bytes(one) for one in tables.spans["span_id"].to_pylist()] == [3, 1, 2]
    assert tables.spans["nested_left"].to_pylist() == [100, 101, 102]
    assert tables.events["span"].to_pylist() == [1, 2, 2]


@pytest.mark.parametrize("order", [[0, 1], [0, 1, 1], [0, 1, 3]])
def test_an_arrangement_of_other_spans_is_refused(order: list[int]) -> None:
    builder = SpanBuilder()
    builder.append(request(resource={}, spans=SPANS[:3]))
    with pytest.raises(ValueError, match="each once"):
        builder.freeze(arrangement=arrangement(order))
