"""The log of commits in an object store: following it, adding to it, folding it into checkpoints.

A commit is created conditionally under the next number. Who loses the race reads the winner, checks
that its own change still makes sense, and tries the number after. Readers ask for the next number.

Source: docs/formats/index.md.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from tracestore.clock import Clock
from tracestore.errors import ConflictError, CorruptionError, UnavailableError
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import new_block_id
from tracestore.settings.index_tree import CommitSettings as CommitSettings
from tracestore.storage.index.blocklist import BlockList, BlockRef, Commit
from tracestore.storage.index.changes import Change as Change
from tracestore.storage.index.changes import fits, is_done, settle
from tracestore.storage.index.objects import (
    read_commit,
    read_latest,
    read_newest_checkpoint,
    write_checkpoint,
)
from tracestore.storage.index.writers import NO_CHANGE, Fence, WriterChange
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.layout import commit_key

log = logging.getLogger("tracestore.index")

RECENT_MAX = 1024
"""Changes whose IDs are remembered: more than one process has in the air."""
BACKOFF_DOUBLINGS = 2
"""Of the time that a write takes: who waits for longer than the others write does not get in."""
CONTENDED_NS = 1_000_000_000
GIVE_WAY_WRITES = 4
"""Writes that fit into the pause before a commit: who reads first needs three requests."""


class CommitLog:
    """The index in one object store, and what this process knows of it. Thread-safe.

    Args:
        writer: host and process, for whoever reads the log.
        rng: for IDs of changes and for the jitter between attempts.
    """

    def __init__(
        self,
        store: ObjectStore,
        clock: Clock,
        rng: random.Random,
        *,
        writer: str,
        settings: CommitSettings | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._clock = clock
        self._rng = rng
        self._writer = writer
        self._settings = settings or CommitSettings()
        self._sleep = sleep
        self._turn = threading.Lock()
        """One commit at a time in this process; guards the two below."""
        self._lost_ns: int | None = None
        """When a number was lost to somebody else."""
        self._write_s = 0.0
        """How long the last write took."""
        self._folding = threading.Lock()
        """One checkpoint at a time; guards the two below."""
        self._folded = 0
        self._owes_checkpoint = False
        self._lock = threading.Lock()
        """One change of what is known at a time; reading ``_known`` needs no lock."""
        self._known: BlockList | None = None
        self._recent: OrderedDict[str, int] = OrderedDict()
        """IDs of the changes read last, and where they happened."""
        self._looked_ns: int | None = None
        """When the pointer was looked at last."""
        self._read_ns = clock.monotonic_ns()

    def load(self) -> BlockList:
        """Read the newest checkpoint and the commits after it, whatever is known.

        Raises: UnavailableError, CorruptionError naming the object (``tracestore index rebuild``
            makes a new log from the blocks).
        """
        return self.advance(read_newest_checkpoint(self._store) or BlockList())

    def advance(self, blocks: BlockList) -> BlockList:
        """Return the list as it is now, from one that was read before.

        Cost: a read per commit since then and one that finds nothing; from far behind, those of
        the newest checkpoint.
        Raises: UnavailableError, CorruptionError naming the object.
        """
        return self._advance(blocks)[0]

    def read_after(self, sequence: int) -> list[Commit]:
        """Return the commits after ``sequence``, in order.

        Cost: a read per commit, and one that finds nothing.
        """
        commits = []
        while (commit := read_commit(self._store, sequence + 1)) is not None:
            commits.append(commit)
            sequence += 1
        return commits

    @property
    def read_ns(self) -> int:
        """When what is known was all there was, by the clock that never goes back."""
        return self._read_ns

    @property
    def current(self) -> BlockList:
        """What is known, without a request; empty before the first look."""
        return self._known or BlockList()

    def known(self) -> BlockList:
        """Get the list as it was when this process looked last; it is read if it never was.

        Raises: as ``catch_up``, the first time.
        """
        return self._known if self._known is not None else self.catch_up()

    def catch_up(self, at_least: int | None = None) -> BlockList:
        """Look for commits of others. Returns: the list.

        Args:
            at_least: that sequence is enough: no request if it is known.

        Raises: UnavailableError, CorruptionError naming the object.
        Cost: as ``advance``; now and then (``pointer_s``) a read of the pointer.
        """
        with self._lock:
            known = self._known
            if known is not None and at_least is not None and known.sequence >= at_least:
                return known
            started_ns = self._clock.monotonic_ns()
            if known is None:
                known = self.load()
                self._looked_ns = started_ns
            else:
                known, commits = self._advance(known)
                self._remember(commits)
                if self._has_to_look():
                    known = self._look(known)
            self._known, self._read_ns = known, started_ns
            return known

    def new_change(
        self,
        *,
        add: Sequence[BlockMeta] = (),
        remove: Sequence[BlockRef] = (),
        forget: Sequence[BlockRef] = (),
        writers: WriterChange | None = None,
        fence: Fence | None = None,
        floor_ns: int = 0,
    ) -> Change:
        """Make a change with an ID of its own, to be passed to ``commit`` until that succeeds."""
        name = new_block_id(self._clock.now_ns(), self._rng)
        return Change(
            id=name,
            add=tuple(add),
            remove=tuple(remove),
            forget=tuple(forget),
            writers=writers or NO_CHANGE,
            fence=fence,
            floor_ns=floor_ns,
        )

    def commit(self, change: Change) -> int:
        """Make a change happen, once. Returns a sequence at which it has happened.

        Cost: one request if nobody else commits; three for each number lost to somebody.
        Raises: FencedError if its fence does not hold; OutdatedBlockError if a block was written
            too long ago; ConflictError if it contradicts what others
            committed (plan again), or if every attempt was lost; UnavailableError if the store does
            not answer: the outcome is open then, and committing the same change again is right.
        """
        with self._turn:
            sequence = self._commit(change)
        self._fold_if_due(sequence)
        return sequence

    def _commit(self, change: Change) -> int:
        if self._has_to_look():
            # after a long pause: what is known is too old to build on
            self.catch_up()
        self._give_way()
        for attempt in range(self._settings.attempts_max):
            decided = self._decide(change)
            if isinstance(decided, int):
                return decided
            started_ns = self._clock.monotonic_ns()
            is_written = self._write(decided)
            self._write_s = (self._clock.monotonic_ns() - started_ns) / 1e9
            if is_written:
                self._take(decided, started_ns)
                return decided.sequence
            self._lost_ns = started_ns
            pause = max(0.001, self._write_s) * 2 ** min(attempt, BACKOFF_DOUBLINGS)
            self._sleep(min(self._settings.backoff_s_max, pause) * self._rng.random())
            self.catch_up()
        raise ConflictError(
            f"index commit {change.id} lost {self._settings.attempts_max} races: retry later"
        )

    def _give_way(self) -> None:
        """Wait as long as a write takes if others are committing too.

        Who has just committed knows the next number, and who has lost has to read first: without
        this, one process that commits on and on would keep the others out.
        """
        if self._lost_ns is None:
            return
        if self._clock.monotonic_ns() - self._lost_ns < CONTENDED_NS:
            self._sleep(min(self._settings.backoff_s_max, GIVE_WAY_WRITES * self._write_s))

    def _decide(self, change: Change) -> int | Commit:
        """Return where a change has happened, or the commit to try.

        A change that fits what is known is tried on it: should that be old, its number is taken.
        Whatever else comes of it is true of the newest list only.
        """
        known = self.known()
        if change.id not in self._recent and fits(known, change):
            return self._plan(known, change)
        newest = self.catch_up()
        with self._lock:
            sequence = self._recent.get(change.id)
        if sequence is not None:
            return sequence
        return newest.sequence if is_done(newest, change) else self._plan(newest, change)

    def _plan(self, blocks: BlockList, change: Change) -> Commit:
        add, remove = settle(blocks, change)
        return Commit(
            sequence=blocks.sequence + 1,
            id=change.id,
            time_ns=self._clock.now_ns(),
            writer=self._writer,
            add=add,
            remove=remove,
            forget=change.forget,
            writers=change.writers,
            floor_ns=change.floor_ns,
        )

    def _write(self, commit: Commit) -> bool:
        """Write a commit under its number. Returns: False if somebody else took it."""
        try:
            self._store.put_if_absent(commit_key(commit.sequence), commit.to_json())
        except ConflictError:
            return False
        except UnavailableError:
            # The write may have happened all the same, and then it must not be made again.
            written = read_commit(self._store, commit.sequence)
            if written is None or written.id != commit.id:
                raise
        return True

    def _take(self, commit: Commit, started_ns: int) -> None:
        """Add the own commit to what is known, unless a look at the log was faster."""
        with self._lock:
            assert self._known is not None
            if self._known.sequence == commit.sequence - 1:
                self._known = self._known.apply(commit)
                self._read_ns = max(self._read_ns, started_ns)
                self._remember([commit])

    def _remember(self, commits: Sequence[Commit]) -> None:
        for commit in commits:
            self._recent[commit.id] = commit.sequence
        while len(self._recent) > RECENT_MAX:
            self._recent.popitem(last=False)

    def _advance(self, blocks: BlockList) -> tuple[BlockList, list[Commit]]:
        """Return the list as it is now, and the commits that were read one by one at the end."""
        commits: list[Commit] = []
        sequence = blocks.sequence
        has_looked = False
        while True:
            try:
                commit = read_commit(self._store, sequence + 1)
            except CorruptionError:
                # a rebuild leaves the damage behind
                newer = self._newer(sequence)
                if newer is None:
                    raise
                blocks, commits, sequence = newer, [], newer.sequence
                continue
            if commit is None:
                return blocks.apply_all(commits), commits
            commits.append(commit)
            sequence += 1
            if len(commits) == self._settings.far_behind_commits and not has_looked:
                has_looked = True
                if (newer := self._newer(sequence)) is not None:
                    blocks, commits, sequence = newer, [], newer.sequence

    def _has_to_look(self) -> bool:
        if self._looked_ns is None:
            return False
        return self._clock.monotonic_ns() - self._looked_ns >= self._settings.pointer_s * 1e9

    def _look(self, blocks: BlockList) -> BlockList:
        """See whether a checkpoint is ahead of a list whose next commit is not there."""
        newer = self._newer(blocks.sequence)
        self._looked_ns = self._clock.monotonic_ns()
        return blocks if newer is None else self.advance(newer)

    def _newer(self, sequence: int) -> BlockList | None:
        """Read the newest checkpoint if it is after a commit; damage is told, and is none."""
        try:
            return read_newest_checkpoint(self._store, after=sequence)
        except CorruptionError as error:
            log.error("index checkpoint cannot be read", extra={"error": str(error)})
            return None

    def _fold_if_due(self, sequence: int) -> None:
        """Write a checkpoint if one is due. Only a shortcut: if it fails, the next commit tries.

        Due is who made a commit of a round number; if that process died, whoever is next to see it.
        """
        every = self._settings.checkpoint_commits
        known = self.known()
        is_late = known.sequence - self._folded >= 2 * every
        if not (sequence % every == 0 or is_late or self._owes_checkpoint):
            return
        if not self._folding.acquire(blocking=False):
            return
        try:
            self._fold(known)
        except (UnavailableError, ConflictError, CorruptionError) as error:
            self._owes_checkpoint = isinstance(error, UnavailableError)
            log.warning(
                "index checkpoint was put off",
                extra={"sequence": known.sequence, "error": str(error)},
            )
        finally:
            self._folding.release()

    def _fold(self, known: BlockList) -> None:
        self._folded = read_latest(self._store).checkpoint
        if known.sequence - self._folded >= self._settings.checkpoint_commits:
            kept = self._settings.checkpoints_kept
            now_ns = self._clock.now_ns()
            self._folded = write_checkpoint(self._store, known, now_ns, kept=kept)
        self._owes_checkpoint = False
