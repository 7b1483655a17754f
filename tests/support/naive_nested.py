"""Order and nested sets of one trace by an obvious recursion-free walk: the oracle of ``arrange``.

Source: TraceQL reference, 5.4; where a span ID occurs three times only that ID is ignored (Q39).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

KIND_SERVER = 2
KIND_CLIENT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class NaiveSpan:
    """What the order of spans depends on. ``start_ns`` is unsigned, ``parent_id`` 0: a root."""

    arrival: int
    span_id: int
    parent_id: int
    kind: int
    start_ns: int

    @property
    def rank(self) -> tuple[int, int, int, int]:
        """Order in which roots and children are visited."""
        return (self.start_ns, self.span_id, self.kind, self.arrival)


@dataclass(frozen=True, slots=True, kw_only=True)
class NaivePlace:
    """A span kept, with its numbers."""

    arrival: int
    left: int
    right: int
    parent: int
    child_count: int


def arrange_trace(spans: Sequence[NaiveSpan]) -> list[NaivePlace]:
    """Put the spans of one trace into their final order, repeated ones left out."""
    first: dict[tuple[int, int], NaiveSpan] = {}
    for span in sorted(spans, key=lambda span: span.arrival):
        first.setdefault((span.span_id, span.kind), span)
    kept = sorted(first.values(), key=lambda span: span.rank)
    roots = [span for span in kept if span.parent_id == 0]
    if not roots:
        return [_outside(span, 0) for span in kept]

    sharing = defaultdict(list)
    for span in kept:
        sharing[span.span_id].append(span)
    children = defaultdict(list)
    for span in kept:
        if span.parent_id != 0 and (parent := _parent(span, sharing[span.parent_id])):
            children[parent.arrival].append(span)
    placed = _walk(roots, children)
    tail = [_outside(s, len(children[s.arrival])) for s in kept if s.arrival not in placed]
    return sorted(placed.values(), key=lambda place: place.left) + tail


def _outside(span: NaiveSpan, child_count: int) -> NaivePlace:
    return NaivePlace(arrival=span.arrival, left=0, right=0, parent=0, child_count=child_count)


def _parent(span: NaiveSpan, sharing: Sequence[NaiveSpan]) -> NaiveSpan | None:
    if len(sharing) == 1:
        return sharing[0]
    if len(sharing) == 2:
        wanted = KIND_CLIENT if span.kind == KIND_SERVER else KIND_SERVER
        return next((candidate for candidate in sharing if candidate.kind == wanted), None)
    return None


def _walk(
    roots: Sequence[NaiveSpan], children: dict[int, list[NaiveSpan]]
) -> dict[int, NaivePlace]:
    counter = 0
    left: dict[int, int] = {}
    placed = {}
    stack = [(span, -1, False) for span in reversed(roots)]
    while stack:
        span, parent, leaving = stack.pop()
        counter += 1
        if leaving:
            placed[span.arrival] = NaivePlace(
                arrival=span.arrival,
                left=left[span.arrival],
                right=counter,
                parent=parent,
                child_count=len(children[span.arrival]),
            )
            continue
        left[span.arrival] = counter
        stack.append((span, parent, True))
        stack.extend((child, counter, False) for child in reversed(children[span.arrival]))
    return placed
