"""Recreating the index from the ``meta.json`` objects of the blocks, if the log is lost or damaged.

What can still be read of the old log is used for one thing: blocks that it removed stay removed,
even where their objects are not deleted yet.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

from tracestore.clock import Clock
from tracestore.errors import ConflictError, CorruptionError, NotFoundError
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import new_block_id
from tracestore.storage.index.blocklist import FORMAT_VERSION, BlockList, BlockRef, Commit, ref_of
from tracestore.storage.index.writers import NO_WRITERS, WriterChange, Writers
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.layout import (
    BLOCKS_PREFIX,
    CHECKPOINTS_PREFIX,
    INDEX_PREFIX,
    LATEST_KEY,
    checkpoint_key,
    commit_key,
    parse_checkpoint_key,
    parse_commit_key,
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
    unreadable: tuple[str, ...]
    """Keys of metas and index objects that could not be read."""


def rebuild(store: ObjectStore, clock: Clock, rng: random.Random, *, writer: str) -> RebuildReport:
    """Write a commit that states the whole list, a checkpoint of it, and the pointer to that.

    Other processes may go on: those that follow the old log meet the new commit as its next one.

    Raises: UnavailableError, ConflictError if others commit faster than this can.
    Cost: reads every ``meta.json`` and every object of the index.
    """
    unreadable: list[str] = []
    metas = _read_metas(store, unreadable)
    for _ in range(ATTEMPTS_MAX):
        last, removed, writers = _read_old_log(store, unreadable)
        gone = tuple(ref for ref in map(ref_of, metas) if ref in removed)
        commit = Commit(
            sequence=last + 1,
            id=new_block_id(clock.now_ns(), rng),
            time_ns=clock.now_ns(),
            writer=writer,
            add=tuple(metas),
            remove=gone,
            reset=True,
            writers=WriterChange(open=tuple(writers.values())),
        )
        try:
            store.put_if_absent(commit_key(commit.sequence), commit.to_json())
        except ConflictError:
            metas = _read_metas(store, unreadable)
            continue
        _publish(store, BlockList().apply(commit), clock.now_ns())
        return RebuildReport(
            sequence=commit.sequence,
            blocks=len(metas) - len(gone),
            removed=len(gone),
            unreadable=tuple(sorted(set(unreadable))),
        )
    raise ConflictError(f"index rebuild lost {ATTEMPTS_MAX} races: stop the writers and retry")


def _read_metas(store: ObjectStore, unreadable: list[str]) -> list[BlockMeta]:
    metas = []
    for info in store.list(BLOCKS_PREFIX):
        if parse_meta_key(info.key) is None:
            continue
        try:
            meta = BlockMeta.from_json(store.get(info.key), key=info.key)
        except NotFoundError:
            continue
        except CorruptionError:
            unreadable.append(info.key)
            continue
        if (meta.tenant, meta.id) == parse_meta_key(info.key):
            metas.append(meta)
        else:
            unreadable.append(info.key)
    return metas


def _read_old_log(store: ObjectStore, unreadable: list[str]) -> tuple[int, set[BlockRef], Writers]:
    """Return the highest number in use, the blocks that the log removed, and its open writers."""
    last = 0
    removed: set[BlockRef] = set()
    at_checkpoint: dict[int, Writers] = {}
    commits: list[Commit] = []
    for info in store.list(INDEX_PREFIX):
        sequence = parse_commit_key(info.key) or parse_checkpoint_key(info.key)
        if sequence is None:
            continue
        last = max(last, sequence)
        try:
            content = store.get(info.key)
            if info.key.startswith(CHECKPOINTS_PREFIX):
                folded = BlockList.from_json(content, key=info.key)
                removed.update(folded.removed)
                at_checkpoint[folded.sequence] = folded.writers
            else:
                commit = Commit.from_json(content, key=info.key)
                removed.update(commit.remove)
                commits.append(commit)
        except (NotFoundError, CorruptionError):
            unreadable.append(info.key)
    newest = max(at_checkpoint, default=0)
    writers = at_checkpoint.get(newest, NO_WRITERS)
    for commit in sorted(commits, key=lambda commit: commit.sequence):
        if commit.sequence > newest:
            writers = commit.writers.apply(NO_WRITERS if commit.reset else writers)
    return last, removed, writers


def _publish(store: ObjectStore, blocks: BlockList, now_ns: int) -> None:
    """Write the checkpoint and point at it, over a pointer that may be damaged."""
    store.put(checkpoint_key(blocks.sequence), blocks.to_json(time_ns=now_ns))
    pointer = {"checkpoint": blocks.sequence, "format_version": FORMAT_VERSION}
    store.put(LATEST_KEY, json.dumps(pointer, sort_keys=True).encode())
