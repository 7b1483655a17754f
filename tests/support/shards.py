"""What cutting a request by trace ID should give, by opentelemetry-proto's own messages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tracestore.kernel import check, shard

MASK = (1 << 64) - 1


def scramble(value: int) -> int:
    """The finalizer of SplitMix64."""
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & MASK
    value = (value ^ value >> 27) * 0x94D049BB133111EB & MASK
    return value ^ value >> 31


def score(trace_id: bytes, seed: int) -> int:
    """How much a place wants a trace."""
    high, low = (int.from_bytes(half, "little") for half in (trace_id[:8], trace_id[8:]))
    return scramble(scramble(scramble(high) ^ low) ^ seed)


def naive_place(trace_id: bytes, seeds: Sequence[int]) -> int:
    """The place with the highest score, the first of equal ones."""
    scores = [score(trace_id, seed) for seed in seeds]
    return scores.index(max(scores))


def naive_shard(data: bytes, seeds: Sequence[int]) -> list[ExportTraceServiceRequest | None]:
    """Cut a request into messages; None for a place without spans."""
    return [_part(data, seeds, place) for place in range(len(seeds))]


def _part(data: bytes, seeds: Sequence[int], place: int) -> ExportTraceServiceRequest | None:
    part = ExportTraceServiceRequest.FromString(data)
    for group in part.resource_spans:
        for scope_group in group.scope_spans:
            kept = [s for s in scope_group.spans if naive_place(s.trace_id, seeds) == place]
            del scope_group.spans[:]
            scope_group.spans.extend(kept)
        full = [scope_group for scope_group in group.scope_spans if scope_group.spans]
        del group.scope_spans[:]
        group.scope_spans.extend(full)
    full_groups = [group for group in part.resource_spans if group.scope_spans]
    del part.resource_spans[:]
    part.resource_spans.extend(full_groups)
    return part if full_groups else None


def assert_shards_agree(data: bytes, seeds: Sequence[int]) -> None:
    """Hold the kernel against the messages; fields that nobody knows count too."""
    spans = check(data).spans
    made = shard(data, spans, np.array(seeds, np.uint64))
    expected = naive_shard(data, seeds)
    assert len(made) == len(expected)
    if sum(part is not None for part in expected) == 1:
        assert any(part is data for part in made)
        assert sum(part is None for part in made) == len(seeds) - 1
        return
    for ours, theirs in zip(made, expected, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is None or theirs is None:
            continue
        assert len(ours) <= len(data)
        parsed = ExportTraceServiceRequest.FromString(bytes(ours))
        assert _canonical(parsed) == _canonical(theirs)
    counted = sum(check(part).spans for part in made if part is not None)
    assert counted == spans


def _canonical(message: ExportTraceServiceRequest) -> bytes:
    data: bytes = message.SerializeToString(deterministic=True)
    return data
