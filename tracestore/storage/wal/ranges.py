"""Which records of a log in the bucket are in blocks: ranges of object numbers, per tenant.

A head covers every record of its tenant between two rotations of the log, so a block names one
range however many objects that is: ``<writer id>/<first>-<last>``. Objects in the range that hold
nothing of the tenant do no harm.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

from tracestore.model.ids import TenantId, WriterId
from tracestore.storage.index.blocklist import BlockList

_RANGE = re.compile(r"([0-9a-f-]{36})/([0-9]{1,20})-([0-9]{1,20})")


@dataclass(frozen=True, slots=True, order=True)
class WalRange:
    """Objects ``first`` to ``last`` of a writer, both included."""

    writer: WriterId
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.writer}/{self.first}-{self.last}"


def parse_range(name: str) -> WalRange | None:
    """Read a name of ``wal_segments``; None if it names a segment on disk."""
    match = _RANGE.fullmatch(name)
    return WalRange(WriterId(match[1]), int(match[2]), int(match[3])) if match else None


@dataclass(frozen=True, slots=True)
class Held:
    """Numbers of one log whose records of one tenant are in blocks; disjoint, ascending."""

    firsts: tuple[int, ...] = ()
    lasts: tuple[int, ...] = ()

    def __contains__(self, number: int) -> bool:
        at = bisect.bisect_right(self.firsts, number) - 1
        return at >= 0 and number <= self.lasts[at]

    @property
    def last(self) -> int:
        """The highest number; 0: none."""
        return self.lasts[-1] if self.lasts else 0


NOTHING = Held()


@dataclass(frozen=True, slots=True)
class HeldOfWriter:
    """What the blocks of all tenants hold of one log."""

    tenants: Mapping[TenantId, Held]

    def of(self, tenant: TenantId) -> Held:
        """Return what the blocks of a tenant hold."""
        return self.tenants.get(tenant, NOTHING)

    @property
    def last(self) -> int:
        """The highest number that any block names: up to it the log was acknowledged."""
        return max((held.last for held in self.tenants.values()), default=0)


def held_by_blocks(blocks: BlockList, writer: WriterId) -> HeldOfWriter:
    """Collect what the blocks in a list, and those removed lately, hold of a log.

    Cost: O(blocks).
    """
    ranges: dict[TenantId, list[WalRange]] = {}
    listed = chain.from_iterable(blocks.tenants.values())
    gone = (removed.meta for removed in blocks.removed.values())
    for meta in chain(listed, gone):
        for name in meta.wal_segments:
            if name.startswith(writer) and (found := parse_range(name)) is not None:
                ranges.setdefault(meta.tenant, []).append(found)
    return HeldOfWriter({tenant: _merge(found) for tenant, found in ranges.items()})


def same_log(writer: WriterId, before: BlockList, after: BlockList) -> bool:
    """Tell whether two lists say the same of a log: then nothing of it was deleted in between."""
    if (writer in before.writers) != (writer in after.writers):
        return False
    return held_by_blocks(before, writer) == held_by_blocks(after, writer)


def _merge(ranges: Iterable[WalRange]) -> Held:
    firsts: list[int] = []
    lasts: list[int] = []
    for each in sorted(ranges):
        if lasts and each.first <= lasts[-1] + 1:
            lasts[-1] = max(lasts[-1], each.last)
        else:
            firsts.append(each.first)
            lasts.append(each.last)
    return Held(tuple(firsts), tuple(lasts))
