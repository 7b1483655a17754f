"""The log of commits in an object store: following it, adding to it, folding it into checkpoints.

A commit is created conditionally under the next number. Who loses the race reads the winner, checks
that its own change still makes sense, and tries the number after. Readers ask for the next number
and nothing else.

Source: docs/formats/index.md.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tracestore.clock import Clock
from tracestore.errors import ConflictError, CorruptionError, NotFoundError, UnavailableError
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import new_block_id
from tracestore.storage.index.blocklist import (
    FORMAT_VERSION,
    BlockList,
    BlockRef,
    Commit,
    parse_object,
    ref_of,
)
from tracestore.storage.index.writers import NO_CHANGE, Fence, WriterChange, check_fence
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.layout import LATEST_KEY, checkpoint_key, commit_key

log = logging.getLogger("tracestore.index")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitSettings:
    """Bounds of the commit log."""

    checkpoint_commits: int = 64
    """Commits after which the log is folded. Fewer: faster starts, more writing."""
    attempts_max: int = 64
    """Numbers that a commit tries before it gives up; each lost one is somebody else's commit."""
    backoff_s_max: float = 0.25
    """Longest pause between two attempts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a caller wants of the index. To repeat it after an error, pass the same value again.

    Made twice it happens once, by its ID and by its blocks: a block's ID is born once, so adding a
    block that is, or was, in the list is done already.
    """

    id: str
    add: tuple[BlockMeta, ...] = ()
    remove: tuple[BlockRef, ...] = ()
    forget: tuple[BlockRef, ...] = ()
    writers: WriterChange = NO_CHANGE
    fence: Fence | None = None
    """The change is refused unless this writer is in the index with this epoch."""


class CommitLog:
    """The index in one object store. Thread-safe.

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
        self._lock = threading.Lock()
        """One commit at a time in this process; guards the two below."""
        self._known: BlockList | None = None
        self._checkpoint = 0

    def load(self) -> BlockList:
        """Read the newest checkpoint and the commits after it.

        Raises: UnavailableError, CorruptionError naming the object (``tracestore index rebuild``
            makes a new log from the blocks).
        """
        checkpoint = read_latest(self._store)[0]
        blocks = BlockList()
        if checkpoint:
            key = checkpoint_key(checkpoint)
            try:
                blocks = BlockList.from_json(self._store.get(key), key=key)
            except NotFoundError as error:
                raise CorruptionError("the index has lost its checkpoint", key=key) from error
        return blocks.apply_all(self.read_after(blocks.sequence))

    def read_after(self, sequence: int) -> list[Commit]:
        """Return the commits after ``sequence``, in order.

        Cost: a read per commit, and one that finds nothing.
        """
        commits = []
        while (commit := read_commit(self._store, sequence + 1)) is not None:
            commits.append(commit)
            sequence += 1
        return commits

    def new_change(
        self,
        *,
        add: Sequence[BlockMeta] = (),
        remove: Sequence[BlockRef] = (),
        forget: Sequence[BlockRef] = (),
        writers: WriterChange | None = None,
        fence: Fence | None = None,
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
        )

    def commit(self, change: Change) -> int:
        """Make a change happen, once. Returns a sequence at which it has happened.

        Raises: FencedError if its fence does not hold; ConflictError if it contradicts what others
            committed (plan again), or if every attempt was lost; UnavailableError if the store does
            not answer: the outcome is open then, and committing the same change again is right.
        """
        with self._lock:
            if self._known is None:
                self._known = self.load()
                self._checkpoint = read_latest(self._store)[0]
            for attempt in range(self._settings.attempts_max):
                done = self._follow(change)
                if done is None:
                    done = self._attempt(change)
                if done is not None:
                    self._fold()
                    return done
                pause = min(self._settings.backoff_s_max, 0.001 * 2 ** min(attempt, 16))
                self._sleep(pause * self._rng.random())
        raise ConflictError(
            f"index commit {change.id} lost {self._settings.attempts_max} races: retry later"
        )

    def _follow(self, change: Change) -> int | None:
        """Catch up with the log. Returns where ``change`` has happened, if it has."""
        assert self._known is not None
        commits = self.read_after(self._known.sequence)
        self._known = self._known.apply_all(commits)
        for commit in commits:
            if commit.id == change.id:
                return commit.sequence
        return self._known.sequence if is_done(self._known, change) else None

    def _attempt(self, change: Change) -> int | None:
        """Write ``change`` under the next number. Returns None if somebody else took it."""
        assert self._known is not None
        add, remove = settle(self._known, change)
        commit = Commit(
            sequence=self._known.sequence + 1,
            id=change.id,
            time_ns=self._clock.now_ns(),
            writer=self._writer,
            add=add,
            remove=remove,
            forget=change.forget,
            writers=change.writers,
        )
        try:
            self._store.put_if_absent(commit_key(commit.sequence), commit.to_json())
        except ConflictError:
            return None
        except UnavailableError:
            # The write may have happened all the same, and then it must not be made again.
            if not self._is_written(commit):
                raise
        self._known = self._known.apply(commit)
        return commit.sequence

    def _is_written(self, commit: Commit) -> bool:
        written = read_commit(self._store, commit.sequence)
        return written is not None and written.id == commit.id

    def _fold(self) -> None:
        """Write a checkpoint if one is due. Only a shortcut: if it fails, the next commit tries."""
        assert self._known is not None
        if self._known.sequence - self._checkpoint < self._settings.checkpoint_commits:
            return
        try:
            self._checkpoint = write_checkpoint(self._store, self._known, self._clock.now_ns())
        except (UnavailableError, ConflictError) as error:
            log.warning(
                "index checkpoint was put off",
                extra={"sequence": self._known.sequence, "error": str(error)},
            )


def settle(blocks: BlockList, change: Change) -> tuple[tuple[BlockMeta, ...], tuple[BlockRef, ...]]:
    """Return what of a change is still to do, or refuse it.

    Raises: FencedError if the fence does not hold; ConflictError if a block to add is there with
        other content, or a block to remove is not there, or the writers are not as expected:
        whoever planned it did not know the list as it is.
    """
    check_fence(blocks.writers, change.fence)
    change.writers.check(blocks.writers)
    add = []
    for meta in change.add:
        known = _find_ever(blocks, ref_of(meta))
        if known is not None and known != meta:
            raise ConflictError(
                f"block {meta.id} of tenant {meta.tenant} is in the index with other content"
            )
        if known is None:
            add.append(meta)
    for ref in change.remove:
        if blocks.find(ref) is None:
            raise ConflictError(
                f"block {ref.id} of tenant {ref.tenant} is not in the index (any more)"
            )
    return tuple(add), change.remove


def is_done(blocks: BlockList, change: Change) -> bool:
    """Tell whether the list shows that a change has happened: nothing of it is left to do.

    Every block to add is or was there as it is now, and every block to remove was there and is not.
    """
    if any(_find_ever(blocks, ref_of(meta)) != meta for meta in change.add):
        return False
    if any(ref not in blocks.removed or blocks.find(ref) is not None for ref in change.remove):
        return False
    if any(ref in blocks.removed for ref in change.forget):
        return False
    return change.writers.is_done(blocks.writers)


def _find_ever(blocks: BlockList, ref: BlockRef) -> BlockMeta | None:
    """Return the meta of a block that is in the list or is remembered as removed."""
    removed = blocks.removed.get(ref)
    return blocks.find(ref) if removed is None else removed.meta


def read_commit(store: ObjectStore, sequence: int) -> Commit | None:
    """Read one commit; None if that number is not taken. Raises: CorruptionError."""
    key = commit_key(sequence)
    try:
        content = store.get(key)
    except NotFoundError:
        return None
    commit = Commit.from_json(content, key=key)
    if commit.sequence != sequence:
        raise CorruptionError(f"index commit says that it is {commit.sequence}", key=key)
    return commit


def read_latest(store: ObjectStore) -> tuple[int, str | None]:
    """Return the sequence of the newest checkpoint and the pointer's etag; 0 and None if none.

    Raises: CorruptionError.
    """
    try:
        content, etag = store.get_with_etag(LATEST_KEY)
    except NotFoundError:
        return 0, None
    sequence = parse_object(content, key=LATEST_KEY).get("checkpoint")
    if not isinstance(sequence, int) or sequence < 1:
        raise CorruptionError(f"index pointer holds {sequence!r}", key=LATEST_KEY)
    return sequence, etag


def write_checkpoint(store: ObjectStore, blocks: BlockList, now_ns: int) -> int:
    """Write a checkpoint and let the pointer name it, unless it names a newer one.

    Returns: the sequence that the pointer names now.
    Raises: ConflictError if somebody else moved the pointer meanwhile.
    """
    latest, etag = read_latest(store)
    if latest >= blocks.sequence:
        return latest
    store.put(checkpoint_key(blocks.sequence), blocks.to_json(time_ns=now_ns))
    pointer = json.dumps(
        {"checkpoint": blocks.sequence, "format_version": FORMAT_VERSION}, sort_keys=True
    ).encode()
    if etag is None:
        store.put_if_absent(LATEST_KEY, pointer)
    else:
        store.put_if_match(LATEST_KEY, pointer, etag)
    return blocks.sequence
