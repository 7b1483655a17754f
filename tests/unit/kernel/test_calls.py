"""Pairs of client and server spans, against a dictionary."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracestore.kernel import pair_calls

spans = st.tuples(st.integers(1, 5), st.integers(0, 6), st.sampled_from([0, 1, 2, 3, 3]))
runs = st.lists(st.lists(spans, max_size=12), max_size=4)


def pair(found: list[list[tuple[int, int, int]]], scale: int = 1) -> list[int]:
    flat = [one for run in found for one in run]
    ids, parents, sides = (np.array([one[n] for one in flat], np.uint64) for n in range(3))
    counts = np.array([len(run) for run in found], np.int32)
    scaled = np.uint64(scale)
    return pair_calls(counts, ids * scaled, parents * scaled, sides.astype(np.uint8)).tolist()


@given(found=runs, scale=st.sampled_from([1, 1 << 56, 0x9E3779B9]))
def test_a_server_finds_the_client_of_its_run(
    found: list[list[tuple[int, int, int]]], scale: int
) -> None:
    expected, begin = [], 0
    for run in found:
        clients: dict[int, int] = {}
        for side in (1, 2):
            for row, (own, _, kind) in enumerate(run):
                if kind == side:
                    clients.setdefault(own, begin + row)
        expected += [
            clients.get(parent, -1) if kind == 3 and parent else -1 for _, parent, kind in run
        ]
        begin += len(run)

    assert pair(found, scale) == expected


def test_many_in_one_run_whose_ids_differ_in_a_few_bits() -> None:
    run = [(n << 32, 0, 1) for n in range(1, 5001)] + [(1, n << 32, 3) for n in range(1, 5001)]

    assert pair([run])[5000:] == list(range(5000))


def test_lengths_must_fit() -> None:
    one, sides = np.ones(2, np.uint64), np.ones(2, np.uint8)
    with pytest.raises(ValueError, match="2 spans, 1 parents"):
        pair_calls(np.array([2], np.int32), one, one[:1], sides)
    with pytest.raises(ValueError, match="1 runs of 3 rows instead of 2"):
        pair_calls(np.array([3], np.int32), one, one, sides)
