"""Deleting objects: of blocks that left the index, and of blocks that never came into it.

The first are known by the index, and stay for a while. The second are found by listing the bucket:
they are what a process left that died between writing a block and committing it. What may still be
committed is younger: a flush writes its block anew before a commit that comes late, and a
compaction ends with its lease.
"""

from __future__ import annotations

import logging

from tracestore.clock import Clock
from tracestore.services.compactor.merging import delete_block
from tracestore.services.follower import IndexFollower
from tracestore.storage.index.blocklist import BlockList, BlockRef, ref_of
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.layout import BLOCKS_PREFIX, META_NAME, parse_block_key

log = logging.getLogger(__name__)

FORGET_MAX = 100
"""Blocks that one commit forgets."""
DELETED_AT_ONCE = 500


class Garbage:
    """Deletes objects. Synchronous; used from one thread at a time."""

    def __init__(self, store: ObjectStore, index: IndexFollower, clock: Clock) -> None:
        self._store = store
        self._index = index
        self._clock = clock

    def delete_removed(self, grace_s: float) -> int:
        """Delete blocks that were removed so long ago that no query reads them. Returns: how many.

        Raises: UnavailableError; what was not deleted is deleted by the next call.
        """
        before_ns = self._clock.now_ns() - int(grace_s * 1e9)
        due = [removed.meta for removed in self._index.current().removed_before(before_ns)]
        for first in range(0, len(due), FORGET_MAX):
            part = due[first : first + FORGET_MAX]
            for meta in part:
                delete_block(self._store, meta)
            forget = [ref_of(meta) for meta in part]
            self._index.commit(self._index.new_change(forget=forget))
        return len(due)

    def delete_orphans(self, age_s: float) -> int:
        """Delete old objects of blocks that the index does not know. Returns: how many.

        Raises: UnavailableError. Cost: lists all blocks.
        """
        before_ns = self._clock.now_ns() - int(age_s * 1e9)
        objects: dict[BlockRef, list[str]] = {}
        young: set[BlockRef] = set()
        for info in self._store.list(BLOCKS_PREFIX):
            place = parse_block_key(info.key)
            if place is None:
                continue
            ref = BlockRef(place[0], place[1])
            objects.setdefault(ref, []).append(info.key)
            if info.modified_ns >= before_ns:
                young.add(ref)
        blocks = self._index.refresh()  # after the list: what was committed meanwhile is in it
        keys = [
            key
            for ref, held in objects.items()
            if ref not in young and not _is_known(blocks, ref)
            for key in sorted(held, key=lambda key: not key.endswith(META_NAME))
        ]
        for first in range(0, len(keys), DELETED_AT_ONCE):
            self._store.delete_many(keys[first : first + DELETED_AT_ONCE])
        if keys:
            log.warning("objects of no block were deleted", extra={"objects": len(keys)})
        return len(keys)


def _is_known(blocks: BlockList, ref: BlockRef) -> bool:
    return ref in blocks.removed or blocks.find(ref) is not None
