"""What is stored of traces is what the naive evaluator says of them whole, wherever spans lie.

A long run: ``pytest --hypothesis-profile=long tests/properties/test_sampling_agrees.py``.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, note, settings
from hypothesis import strategies as st
from support.naive_parser import parse_search
from support.naive_pipelines import SeveralSpansetsError, SpanSetOf, run_pipeline
from support.naive_spans import TraceOf, read_traces
from support.sampling import Bucket, Node, is_kept_by
from support.search_cases import Placed, placed_spans, request_for
from support.search_queries import filter_queries, queries

from tracestore.codec.filters import hash_trace_ids
from tracestore.errors import SettingsError
from tracestore.services.sampling.memory import DecisionMemory
from tracestore.services.sampling.policy import parse_policy

SLOW = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.reuse, Phase.generate],
)
pytestmark = pytest.mark.timeout(7200)
texts = st.one_of(filter_queries(), filter_queries(), queries())
rules = st.lists(st.tuples(st.booleans(), texts), max_size=4)
HEADS = 3


def matches(query: str, trace: TraceOf) -> bool:
    return bool(run_pipeline(parse_search(query).stages, [SpanSetOf(tuple(trace.spans))], trace))


def weight_of(
    trace: TraceOf, drop: list[str], entries: list[tuple[bool, str]], ratio: float | None
) -> float:
    """Go through the entries as a reader of the documentation would."""
    for query in drop:
        if matches(query, trace):
            return 0.0
    for keeps, query in entries:
        if matches(query, trace):
            return 1.0 if keeps else 0.0
    if ratio is None:
        return 0.0 if any(keeps for keeps, _ in entries) else 1.0
    return 1 / ratio if ratio and is_kept_by(ratio, trace.id) else 0.0


@SLOW
@given(
    drop=st.lists(filter_queries(), max_size=1),
    entries=rules,
    ratio=st.sampled_from([None, None, 0.0, 0.3, 0.5, 1.0]),
    place=st.integers(0, 4),
    placed=placed_spans(sources=HEADS),
    order=st.permutations(range(HEADS)),
)
def test_traces_are_kept_as_their_spans_together_say(
    drop: list[str],
    entries: list[tuple[bool, str]],
    ratio: float | None,
    place: int,
    placed: list[Placed],
    order: list[int],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    policy = [f"{'keep' if keeps else 'drop'}: {query}" for keeps, query in entries]
    if ratio is not None:
        policy.insert(min(place, len(policy)), f"keep_ratio: {ratio}")
    assume(policy or drop)
    try:
        parse_policy(tuple(policy), tuple(drop))
    except SettingsError:
        assume(False)
    note(f"{drop} {policy}")
    requests = [request_for(placed, number) for number in range(HEADS)]
    try:
        expected = {
            int.from_bytes(trace.id, "big"): weight
            for trace in read_traces(requests)
            if (weight := weight_of(trace, drop, entries, ratio))
        }
    except SeveralSpansetsError:
        raise AssertionError("a policy that may fail is refused") from None

    bucket = Bucket()
    node = Node(bucket, Path("unused"), *policy, drop=tuple(drop))
    for request in requests:
        if request:
            node.tenant.append(request)
        node.tenant.cut()
    heads = node.tenant.cut_heads
    for number in order:  # whichever is written first, all of a trace is live then
        if number < len(heads):
            node.tenant.flush(heads[number])

    assert bucket.traces() == pytest.approx(expected)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.lists(st.integers(0, 60), unique=True),
            st.integers(0, 1 << 30),
        ),
        max_size=40,
    )
)
def test_memory_agrees_with_a_dictionary(steps: list[tuple[str, list[int], int]]) -> None:
    memory = DecisionMemory(traces_max=10**6, keep_s=10**6)
    known: dict[tuple[str, int], float] = {}
    for passed, (tenant, numbers, seed) in enumerate(steps):
        rng = random.Random(seed)
        hashes = np.array(numbers, np.uint64)
        found = memory.recall(tenant, hashes, passed)
        expected = [known.get((tenant, number), np.nan) for number in numbers]
        assert np.array_equal(found, expected, equal_nan=True)
        weights = np.array([rng.choice([0.0, 1.0, 10.0]) for _ in numbers])
        memory.remember(tenant, hashes, weights, passed)
        for number, weight in zip(numbers, weights.tolist(), strict=True):
            known.setdefault((tenant, number), weight)


def test_the_share_is_that_of_all_bits_of_the_hash() -> None:
    rng = random.Random(3)
    ids = np.array(sorted(rng.randbytes(16) for _ in range(20_000)), "S16")
    hashes = hash_trace_ids(ids)
    for ratio in (0.1, 0.001, 0.73):
        policy = parse_policy((f"keep_ratio: {ratio}",))
        weights = policy.weights(np.zeros(len(ids), np.int64), hashes)
        chosen = [is_kept_by(ratio, bytes(one).ljust(16, b"\0")) for one in ids]
        assert (weights > 0).tolist() == chosen
        assert weights.sum() == pytest.approx(len(ids), rel=0.5)
