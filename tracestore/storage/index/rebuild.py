"""Recreating the index from the ``meta.json`` objects of the blocks, if the log is lost or damaged.

What can still be read of the old log is used for what metas do not say: blocks that it removed stay
removed, even where their objects are not deleted yet; writers that are open stay open; and if the
log is whole, what a compaction has written and not committed is left out.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from tracestore.clock import Clock
from tracestore.errors import ConflictError, CorruptionError, NotFoundError
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import new_block_id
from tracestore.storage.index.blocklist import BlockList, BlockRef, Commit, ref_of
from tracestore.storage.index.objects import Pointer
from tracestore.storage.index.old_log import OldLog, read_old_log
from tracestore.storage.index.writers import WriterChange
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.layout import (
    BLOCKS_PREFIX,
    LATEST_KEY,
    checkpoint_key,
    commit_key,
    parse_meta_key,
)

ATTEMPTS_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildReport:
    """What a rebuild found."""

    sequence: int
    """The commit from which the new log begins."""
    blocks: int
    removed: int
    """Blocks left out because the old log says that they were removed."""
    was_whole: bool
    """Whether nothing of the old log was missing."""
    uncommitted: tuple[BlockRef, ...]
    """Blocks left out because they were written and never committed; their spans are elsewhere."""
    lost: tuple[BlockRef, ...]
    """Blocks of the old list without a readable ``meta.json``."""
    writers: int
    """Writers that are open."""
    unreadable: tuple[str, ...]
    """Keys of metas and index objects that could not be read."""

    @property
    def unreadable_blocks(self) -> tuple[str, ...]:
        """Those of metas: their blocks are left out."""
        return tuple(key for key in self.unreadable if key.startswith(BLOCKS_PREFIX))


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the new log begins with."""

    add: tuple[BlockMeta, ...]
    remove: tuple[BlockRef, ...]
    uncommitted: tuple[BlockRef, ...]
    lost: tuple[BlockRef, ...]


@dataclass(slots=True)
class _Metas:
    """What lies below ``blocks/``."""

    found: list[BlockMeta] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def rebuild(store: ObjectStore, clock: Clock, rng: random.Random, *, writer: str) -> RebuildReport:
    """Write a commit that states the whole list, a checkpoint of it, and the pointer to that.

    Other processes may go on: those that follow the old log meet the new commit as its next one.

    Raises: UnavailableError, ConflictError if others commit faster than this can.
    Cost: reads every ``meta.json`` and every object of the index.
    """
    for _ in range(ATTEMPTS_MAX):
        # The log comes first: what is committed after this look takes the number that is tried
        # below, and what was committed before it has its meta.
        old = read_old_log(store)
        metas = _read_metas(store)
        plan = _plan(old, metas.found)
        writers = old.writers()
        commit = Commit(
            sequence=old.last + 1,
            id=new_block_id(clock.now_ns(), rng),
            time_ns=clock.now_ns(),
            writer=writer,
            add=plan.add,
            remove=plan.remove,
            reset=True,
            writers=WriterChange(open=tuple(writers.values())),
            floor_ns=old.floor_ns,
        )
        try:
            store.put_if_absent(commit_key(commit.sequence), commit.to_json())
        except ConflictError:
            continue
        _publish(store, BlockList().apply(commit), old, clock.now_ns())
        return RebuildReport(
            sequence=commit.sequence,
            blocks=len(plan.add) - len(plan.remove),
            removed=len(plan.remove),
            was_whole=old.folded is not None,
            uncommitted=plan.uncommitted,
            lost=plan.lost,
            writers=len(writers),
            unreadable=tuple(sorted([*old.unreadable, *metas.unreadable])),
        )
    raise ConflictError(f"index rebuild lost {ATTEMPTS_MAX} races: stop the writers and retry")


def _plan(old: OldLog, metas: Sequence[BlockMeta]) -> _Plan:
    """Decide what the new list is."""
    gone = old.removed_refs()
    remembered = {ref_of(removed.meta): removed.meta for removed in old.removed_blocks()}
    found = {ref_of(meta): meta for meta in metas}
    folded = old.folded
    uncommitted: set[BlockRef] = set()
    lost: list[BlockRef] = []
    if folded is not None:
        listed = {ref_of(meta) for blocks in folded.tenants.values() for meta in blocks}
        lost = sorted(listed - found.keys(), key=_order)
        uncommitted = {
            ref
            for ref, meta in found.items()
            if ref not in listed | gone and _is_left_over(folded, meta, old.time_ns)
        }
    # what the log remembers as removed is remembered on: its objects still have to be deleted
    blocks = remembered | {ref: meta for ref, meta in found.items() if ref not in uncommitted}
    return _Plan(
        add=tuple(blocks.values()),
        remove=tuple(sorted(blocks.keys() & (gone | remembered.keys()), key=_order)),
        uncommitted=tuple(sorted(uncommitted, key=_order)),
        lost=tuple(lost),
    )


def _is_left_over(folded: BlockList, meta: BlockMeta, last_commit_ns: int) -> bool:
    """Tell whether a block that a whole log does not know holds what others hold too.

    One below the floor was refused or never tried, and its objects may be on their way out. Inputs
    of a compaction leave the list when its output enters it. Spans of a log segment are in the
    block that was committed for it. What is younger than the last commit is none of these: the
    end of the log may be lost without a trace.
    """
    if meta.created_ns < folded.floor_ns:
        return True
    held = folded.wal_segments(meta.tenant)
    is_elsewhere = meta.level > 0 or (meta.wal_segments and held.issuperset(meta.wal_segments))
    return bool(is_elsewhere) and meta.created_ns < last_commit_ns


def _read_metas(store: ObjectStore) -> _Metas:
    metas = _Metas()
    for info in store.list(BLOCKS_PREFIX):
        if parse_meta_key(info.key) is None:
            continue
        try:
            meta = BlockMeta.from_json(store.get(info.key), key=info.key)
        except NotFoundError:
            continue
        except CorruptionError:
            metas.unreadable.append(info.key)
            continue
        if (meta.tenant, meta.id) == parse_meta_key(info.key):
            metas.found.append(meta)
        else:
            metas.unreadable.append(info.key)
    return metas


def _publish(store: ObjectStore, blocks: BlockList, old: OldLog, now_ns: int) -> None:
    """Write the checkpoint and point at it, over a pointer that may be damaged."""
    store.put(checkpoint_key(blocks.sequence), blocks.to_json(time_ns=now_ns))
    pointer = Pointer(checkpoint=blocks.sequence, earlier=tuple(sorted(old.checkpoints)))
    store.put(LATEST_KEY, pointer.to_json())


def _order(ref: BlockRef) -> tuple[str, str]:
    return ref.tenant, ref.id
