"""Takes spans out of a trace: all but those that a filter marks, and what hangs on them.

Pure. Source: wire contract, sections 7.1 and 7.5.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from opentelemetry.proto.trace.v1 import trace_pb2

ALL_LEVELS = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What stays beside the marked spans. Depths count levels; ``ALL_LEVELS``: any number."""

    hierarchy: bool = False
    """Whether ancestors stay."""
    ancestor_depth: int = ALL_LEVELS
    match_depth: int = 0
    """Levels of descendants."""


def spans_of(trace: trace_pb2.TracesData) -> Iterator[trace_pb2.Span]:
    """Yield the spans in the order of the message."""
    for resource_spans in trace.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            yield from scope_spans.spans


def keep_spans(
    trace: trace_pb2.TracesData, marked: Collection[int], kept: Kept
) -> trace_pb2.TracesData:
    """Copy the spans that stay; groups that are left empty go.

    Args:
        marked: places in the order of the message.

    Cost: linear in the spans.
    """
    places = _grown([(s.span_id, s.parent_span_id) for s in spans_of(trace)], set(marked), kept)
    pruned = trace_pb2.TracesData()
    position = 0
    for resource_spans in trace.resource_spans:
        target = None
        for scope_spans in resource_spans.scope_spans:
            end = position + len(scope_spans.spans)
            staying = [scope_spans.spans[p - position] for p in range(position, end) if p in places]
            position = end
            if not staying:
                continue
            if target is None:
                target = pruned.resource_spans.add(schema_url=resource_spans.schema_url)
                target.resource.CopyFrom(resource_spans.resource)
            group = target.scope_spans.add(schema_url=scope_spans.schema_url)
            group.scope.CopyFrom(scope_spans.scope)
            group.spans.extend(staying)
    return pruned


def _grown(ids: Sequence[tuple[bytes, bytes]], marked: set[int], kept: Kept) -> set[int]:
    """Add ancestors and descendants, level by level."""
    places_of: dict[bytes, list[int]] = {}
    children_of: dict[bytes, list[int]] = {}
    for place, (span_id, parent_id) in enumerate(ids):
        places_of.setdefault(span_id, []).append(place)
        children_of.setdefault(parent_id, []).append(place)
    above = [places_of.get(parent_id, []) if parent_id else [] for _, parent_id in ids]
    below = [children_of.get(span_id, []) for span_id, _ in ids]
    grown = marked | _reached(marked, below, kept.match_depth)
    if kept.hierarchy:
        grown |= _reached(marked, above, kept.ancestor_depth)
    return grown


def _reached(begin: set[int], steps: Sequence[Sequence[int]], depth: int) -> set[int]:
    reached, level = set(begin), begin
    while level and depth != 0:
        level = {other for place in level for other in steps[place]} - reached
        reached |= level
        depth -= 1
    return reached
