"""``arrange`` against the naive walk; shapes that recursion or hashing would not survive."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.naive_nested import NaiveSpan, arrange_trace
from tracestore.kernel.arrange import Arrangement, arrange, compact_codes

SERVER, CLIENT = 2, 3

SpanRow = tuple[int, int, int, int, int]
"""Trace, span ID, parent ID, kind, unsigned start."""


def arranged(rows: Sequence[SpanRow], trace_ids: Sequence[bytes]) -> Arrangement:
    columns: list[Any] = list(zip(*rows, strict=True)) if rows else [[]] * 5
    return arrange(
        np.frombuffer(b"".join(trace_ids), np.uint8).reshape(-1, 16),
        np.array(columns[0], np.int32),
        np.array(columns[1], np.uint64),
        np.array(columns[2], np.uint64),
        np.array(columns[3], np.int32),
        np.array(columns[4], np.uint64).view(np.int64),
    )


def one_trace(rows: Sequence[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int, int]]:
    """Arrange (span ID, parent, kind, start) rows; answer (row, left, right, parent, children)."""
    found = arranged([(0, *row) for row in rows], [b"t" * 16])
    columns = (
        found.order,
        found.nested_left,
        found.nested_right,
        found.nested_parent,
        found.child_count,
    )
    return list(zip(*(column.tolist() for column in columns), strict=True))


small_ids = st.integers(1, 6)
rows = st.lists(
    st.tuples(
        st.integers(0, 2),
        small_ids | st.sampled_from([2**63, 2**64 - 1]),
        st.just(0) | small_ids | st.sampled_from([2**63, 2**64 - 1]),
        st.sampled_from([0, 1, SERVER, CLIENT, -1, 2**31 - 1, -(2**31)]),
        st.integers(0, 3) | st.sampled_from([2**63, 2**64 - 1]),
    ),
    max_size=40,
)


@given(
    rows=rows, trace_ids=st.permutations([b"\xff" * 16, b"\0" * 15 + b"\1", b"\0" * 8 + b"z" * 8])
)
def test_agrees_with_the_naive_walk(rows: list[SpanRow], trace_ids: list[bytes]) -> None:
    found = arranged(rows, trace_ids)

    assert found.trace_order.tolist() == sorted(range(3), key=lambda t: trace_ids[t])
    assert found.first_span[0] == 0
    for place, trace in enumerate(found.trace_order):
        spans = [
            NaiveSpan(arrival=i, span_id=row[1], parent_id=row[2], kind=row[3], start_ns=row[4])
            for i, row in enumerate(rows)
            if row[0] == trace
        ]
        part = slice(*found.first_span[place : place + 2])
        assert [
            (p.arrival, p.left, p.right, p.parent, p.child_count) for p in arrange_trace(spans)
        ] == list(
            zip(
                found.order[part].tolist(),
                found.nested_left[part].tolist(),
                found.nested_right[part].tolist(),
                found.nested_parent[part].tolist(),
                found.child_count[part].tolist(),
                strict=True,
            )
        )
    assert found.first_span[-1] == len(found.order)


def test_numbers_of_the_reference() -> None:
    """Trace E of the conformance data: two spans share an ID, the child hangs below the server."""
    page, rpc_client, rpc_server, work = (
        (1, 0, 2, 0),
        (0xE2, 1, 3, 10),
        (0xE2, 1, 2, 20),
        (4, 0xE2, 1, 30),
    )
    assert one_trace([page, rpc_client, rpc_server, work]) == [
        (0, 1, 8, -1, 2),
        (1, 2, 3, 1, 0),
        (2, 4, 7, 1, 1),
        (3, 5, 6, 4, 0),
    ]


def test_trace_without_a_root_has_no_structure() -> None:
    assert one_trace([(1, 9, 1, 0), (2, 1, 1, 1)]) == [(0, 0, 0, 0, 0), (1, 0, 0, 0, 0)]


def test_id_used_three_times_is_the_parent_of_nobody() -> None:
    shared = [(5, 1, kind, kind) for kind in (1, SERVER, CLIENT)]
    assert one_trace([(1, 0, 1, 0), *shared, (7, 5, 1, 9), (8, 1, 1, 9)]) == [
        (0, 1, 10, -1, 4),
        (1, 2, 3, 1, 0),
        (2, 4, 5, 1, 0),
        (3, 6, 7, 1, 0),
        (5, 8, 9, 1, 0),
        (4, 0, 0, 0, 0),
    ]


def test_cycle_is_unreachable_but_counts_children() -> None:
    assert one_trace([(1, 0, 1, 0), (2, 3, 1, 1), (3, 2, 1, 2), (4, 4, 1, 3)]) == [
        (0, 1, 2, -1, 0),
        (1, 0, 0, 0, 1),
        (2, 0, 0, 0, 1),
        (3, 0, 0, 0, 1),
    ]


def test_repeated_span_keeps_the_first_arrived() -> None:
    assert one_trace([(1, 0, 1, 50), (1, 0, 1, 0), (1, 0, SERVER, 60)]) == [
        (0, 1, 2, -1, 0),
        (2, 3, 4, -1, 0),
    ]


def test_chain_of_a_million() -> None:
    count = 1_000_000
    ids = np.arange(1, count + 1, dtype=np.uint64)
    zeros = np.zeros(count, np.int32)
    found = arrange(
        np.zeros((1, 16), np.uint8), zeros, ids, ids - np.uint64(1), zeros, -ids.view(np.int64)
    )
    assert found.order.tolist() == list(range(count))
    assert found.nested_left.tolist() == list(range(1, count + 1))
    assert found.nested_right.tolist() == list(range(2 * count, count, -1))


def test_fan_out_of_a_hundred_thousand() -> None:
    count = 100_001
    ids = np.arange(1, count + 1, dtype=np.uint64)
    parents = np.ones(count, np.uint64)
    parents[0] = 0
    zeros = np.zeros(count, np.int32)
    starts = np.arange(count, 0, -1, dtype=np.int64)
    found = arrange(np.zeros((1, 16), np.uint8), zeros, ids, parents, zeros, starts)
    assert found.order.tolist() == [0, *range(count - 1, 0, -1)]
    assert found.child_count.tolist() == [count - 1] + [0] * (count - 1)


def test_no_spans_at_all() -> None:
    found = arranged([], [])
    assert found.first_span.tolist() == [0]
    assert found.order.tolist() == []


@given(st.lists(st.integers(-1, 9), max_size=50))
def test_compact_codes_renumbers_by_first_use(codes: list[int]) -> None:
    old = list(dict.fromkeys(code for code in codes if code >= 0))
    new, used = compact_codes(np.array(codes, np.int32), 10)
    assert used.tolist() == old
    assert new.tolist() == [old.index(code) if code >= 0 else -1 for code in codes]


@pytest.mark.parametrize("code", [-2, 3, 2**31 - 1])
def test_compact_codes_refuses_a_code_outside_the_dictionary(code: int) -> None:
    with pytest.raises(ValueError, match=f"code {code} at row 1"):
        compact_codes(np.array([0, code], np.int32), 3)
