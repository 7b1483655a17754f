"""All that can still be read of a log, damaged or not: what a rebuild goes by.

Source: docs/formats/index.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tracestore.errors import CorruptionError, NotFoundError
from tracestore.storage.index.blocklist import BlockList, BlockRef, Commit, RemovedBlock
from tracestore.storage.index.objects import read_checkpoint, read_commit
from tracestore.storage.index.writers import NO_WRITERS, Writers
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.layout import INDEX_PREFIX, parse_checkpoint_key, parse_commit_key


@dataclass(frozen=True, slots=True, kw_only=True)
class OldLog:
    """The readable objects of a log."""

    last: int
    """The highest number in use."""
    commits: Mapping[int, Commit]
    checkpoints: Mapping[int, BlockList]
    unreadable: tuple[str, ...]

    @property
    def folded(self) -> BlockList | None:
        """The list, if nothing is missing that makes it; else None, also if there is no log."""
        newest = max(self.checkpoints, default=0)
        blocks = self.checkpoints.get(newest, BlockList())
        for sequence in sorted(self.commits):
            commit = self.commits[sequence]
            if sequence > blocks.sequence and (commit.reset or sequence == blocks.sequence + 1):
                blocks = blocks.apply(commit)
        return blocks if self.last and blocks.sequence == self.last else None

    @property
    def time_ns(self) -> int:
        """When the last commit was made; 0 if it is not there."""
        last = self.commits.get(self.last)
        return 0 if last is None else last.time_ns

    @property
    def floor_ns(self) -> int:
        """From when on blocks must have been written to be added, as far as can be known."""
        folded = (blocks.floor_ns for blocks in self.checkpoints.values())
        return max((*folded, *(commit.floor_ns for commit in self.commits.values())), default=0)

    def removed_refs(self) -> set[BlockRef]:
        """Return every block that was removed as far as can be known."""
        refs = {ref for blocks in self.checkpoints.values() for ref in blocks.removed}
        return refs.union(*(commit.remove for commit in self.commits.values()))

    def removed_blocks(self) -> list[RemovedBlock]:
        """Return the removed blocks that nobody has forgotten, if the log is whole."""
        folded = self.folded
        return [] if folded is None else list(folded.removed.values())

    def writers(self) -> Writers:
        """Return the writers that are open as far as can be known."""
        newest = max(self.checkpoints, default=0)
        writers = self.checkpoints[newest].writers if newest else NO_WRITERS
        for sequence in sorted(self.commits):
            commit = self.commits[sequence]
            if sequence > newest:
                writers = commit.writers.apply(NO_WRITERS if commit.reset else writers)
        return writers


def read_old_log(store: ObjectStore) -> OldLog:
    """Read every object of the index. Raises: UnavailableError."""
    last = 0
    commits: dict[int, Commit] = {}
    checkpoints: dict[int, BlockList] = {}
    unreadable = []
    for info in store.list(INDEX_PREFIX):
        number, checkpoint = parse_commit_key(info.key), parse_checkpoint_key(info.key)
        last = max(last, number or checkpoint or 0)
        try:
            if number is not None and (commit := read_commit(store, number)) is not None:
                commits[number] = commit
            elif checkpoint is not None:
                checkpoints[checkpoint] = read_checkpoint(store, checkpoint)
        except NotFoundError:
            continue  # an old checkpoint that was deleted meanwhile
        except CorruptionError:
            unreadable.append(info.key)
    return OldLog(last=last, commits=commits, checkpoints=checkpoints, unreadable=tuple(unreadable))
