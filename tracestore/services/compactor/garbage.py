"""Deleting objects: of blocks that left the index, and of blocks that never came into it.

The first are known by the index, and stay for a while. The second are found by listing the bucket:
they are what a process left that died between writing a block and committing it. Before they are
deleted the index gets a floor: it refuses to add blocks that were written before, so what a slow or
paused process still means to commit is either in the index by then, or written anew.
"""

from __future__ import annotations

import logging

from tracestore.clock import Clock
from tracestore.errors import CorruptionError, NotFoundError
from tracestore.model.block_meta import BlockMeta
from tracestore.services.compactor.merging import delete_block
from tracestore.services.follower import IndexFollower
from tracestore.storage.index.blocklist import BlockList, BlockRef, ref_of
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.layout import (
    BLOCKS_PREFIX,
    DROPPED_PREFIX,
    META_NAME,
    meta_key,
    parse_block_key,
    parse_dropped_key,
)

log = logging.getLogger(__name__)

SKEW_NS = 3600 * 10**9
"""The clock of the bucket may be so far behind that of who writes a block."""
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
            # a flush that never heard of its commit must not make it again once it is forgotten
            flushed = (meta.created_ns + 1 for meta in part if meta.level == 0)
            floor_ns = max(flushed, default=0)
            self._index.commit(self._index.new_change(forget=forget, floor_ns=floor_ns))
        return len(due)

    def delete_orphans(self, age_s: float) -> int:
        """Delete old objects of blocks that the index does not know. Returns: how many.

        Raises: UnavailableError. Cost: lists all blocks.
        """
        before_ns = self._clock.now_ns() - int(age_s * 1e9)
        found = self._old_objects(before_ns - SKEW_NS)
        known = self._index.refresh()
        if all(_is_known(known, ref) for ref in found):
            return 0
        self._index.commit(self._index.new_change(floor_ns=before_ns))
        blocks = self._index.current()  # what is old and not in it now will never be
        keys = [
            key
            for ref, held in found.items()
            if not _is_known(blocks, ref) and self._created_ns(ref) < before_ns
            for key in sorted(held, key=lambda key: not key.endswith(META_NAME))
        ]
        for first in range(0, len(keys), DELETED_AT_ONCE):
            self._store.delete_many(keys[first : first + DELETED_AT_ONCE])
        if keys:
            log.warning("objects of no block were deleted", extra={"objects": len(keys)})
        return len(keys)

    def delete_dropped(self, age_s: float) -> int:
        """Delete old lists of what sampling dropped, which tenants leave that have no policy or no
        spans any more. Returns: how many. Raises: UnavailableError."""
        before_ns = self._clock.now_ns() - int(age_s * 1e9)
        found = (
            (info.key, parse_dropped_key(info.key)) for info in self._store.list(DROPPED_PREFIX)
        )
        keys = [key for key, parsed in found if parsed is not None and parsed[1] < before_ns]
        for first in range(0, len(keys), DELETED_AT_ONCE):
            self._store.delete_many(keys[first : first + DELETED_AT_ONCE])
        return len(keys)

    def _old_objects(self, before_ns: int) -> dict[BlockRef, list[str]]:
        """List the objects of blocks none of whose objects is younger."""
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
        return {ref: held for ref, held in objects.items() if ref not in young}

    def _created_ns(self, ref: BlockRef) -> int:
        """Tell when the writing of a block began; 0 if it was never finished."""
        key = meta_key(ref.tenant, ref.id)
        try:
            return BlockMeta.from_json(self._store.get(key), key=key).created_ns
        except (NotFoundError, CorruptionError):
            return 0


def _is_known(blocks: BlockList, ref: BlockRef) -> bool:
    return ref in blocks.removed or blocks.find(ref) is not None
