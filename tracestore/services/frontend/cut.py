"""Cuts the sources of a snapshot into groups that jobs answer for. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tracestore.model.block_meta import BlockMeta
from tracestore.model.tables import Table
from tracestore.query.source import SpanSource
from tracestore.services.placement import rank_names
from tracestore.settings.frontend_tree import FrontendSettings

LIVE_SPAN_BYTES = 100
"""What a live span counts for, about what it takes in a block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What one job answers for."""

    key: str
    """The ID of the source whose querier gets it."""
    primary: frozenset[str]
    end_ns: int
    """No source in it ends later."""


@dataclass(frozen=True, slots=True)
class _Item:
    id: str
    bytes: int
    end_ns: int


def cut(
    live: Sequence[SpanSource],
    metas: Sequence[BlockMeta],
    queriers: Sequence[str],
    settings: FrontendSettings,
) -> list[Piece]:
    """Cut a snapshot, the newest first: blocks that have one querier at home stay together.

    Args:
        queriers: names of those that are alive.

    Returns: no pieces if the snapshot is small, or there is nobody to share it out among.
    """
    items = sorted(_items(live, metas), key=lambda item: (-item.end_ns, item.id))
    total = sum(item.bytes for item in items)
    if total <= settings.job_bytes or not queriers:
        return []
    bound = max(settings.job_bytes, -(-total // settings.jobs_max))
    at_home: dict[int, list[_Item]] = {}
    for item in items:
        at_home.setdefault(rank_names(item.id, queriers)[0], []).append(item)
    pieces = [
        Piece(
            key=some[0].id,
            primary=frozenset(item.id for item in some),
            end_ns=max(item.end_ns for item in some),
        )
        for group in at_home.values()
        for some in _fill(group, bound)
    ]
    return sorted(pieces, key=lambda piece: (-piece.end_ns, piece.key))


def _items(live: Sequence[SpanSource], metas: Sequence[BlockMeta]) -> Iterator[_Item]:
    for source in live:
        yield _Item(source.id, LIVE_SPAN_BYTES * source.rows(Table.SPANS), source.end_ns)
    for meta in metas:
        yield _Item(meta.id, meta.stored_bytes, meta.end_ns)


def _fill(items: Sequence[_Item], bound: int) -> Iterator[list[_Item]]:
    """Group items in order, each group up to a number of bytes, or one item."""
    some: list[_Item] = []
    size = 0
    for item in items:
        if some and size + item.bytes > bound:
            yield some
            some, size = [], 0
        some.append(item)
        size += item.bytes
    if some:
        yield some
