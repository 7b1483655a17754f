"""This process as a writer of the index: opened before it takes spans, closed once blocks hold all.

While it is open, every query of the cluster has to hear of its spans. If it is declared dead all
the same, because it was paused or cut off, a peer adopts its log, and nothing it does counts any
more: its log is sealed, its commits are refused. Then the process ends, to be started again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Callable
from pathlib import Path

from tracestore.clock import Clock
from tracestore.errors import ConflictError, FencedError, SettingsError, TracestoreError
from tracestore.model.ids import WriterId, new_block_id
from tracestore.services.blocking import BlockingPool
from tracestore.services.follower import IndexFollower
from tracestore.storage.disk import OS_DISK, prepare_directory
from tracestore.storage.index.writers import Fence, Writer, WriterChange
from tracestore.storage.wal.bucket_log import BucketLog

log = logging.getLogger(__name__)

WATCH_S = 0.5
"""How often the list is looked at for the own adoption."""
NAME = "writer.json"


class OwnWriter:
    """Starts before the ingester and drains after it."""

    name = "writer"

    def __init__(
        self,
        writer: Writer,
        index: IndexFollower,
        pool: BlockingPool,
        clock: Clock,
        *,
        holds_spans: Callable[[], bool],
        expects_others: bool,
        known_after_s: float,
    ) -> None:
        """Args:
        holds_spans: whether there are acknowledged spans that no block has.
        expects_others: whether there may be processes that the index does not tell of.
        known_after_s: oldest index that a query of any process relies on.
        """
        self.writer = writer
        self._index = index
        self._pool = pool
        self._clock = clock
        self._holds_spans = holds_spans
        self._expects_others = expects_others
        self._known_after_s = known_after_s
        self._log: BucketLog | None = None
        self._lost = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_lost = False

    @property
    def fence(self) -> Fence:
        """What the commits of this process's blocks depend on."""
        return Fence(writer=self.writer.id, epoch=self.writer.epoch)

    @property
    def is_lost(self) -> bool:
        """Whether a peer answers for the log of this process."""
        return self._is_lost

    def watch(self, bucket_log: BucketLog) -> None:
        """Take the log that has to be closed at the end."""
        self._log = bucket_log

    def is_ours(self) -> bool:
        """Ask the index whether nobody has adopted the log. Raises: UnavailableError."""
        known = self._index.refresh().writers.get(self.writer.id)
        return known is not None and known.epoch == self.writer.epoch

    def lose(self) -> None:
        """Note that a peer has taken over; called from any thread."""
        self._is_lost = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._lost.set)

    async def start(self) -> None:
        """Let the others know, before the first span is taken. Raises: UnavailableError."""
        self._loop = asyncio.get_running_loop()
        await self._pool.run(self._open)
        if self._expects_others or self._has_others():
            # from then on no query relies on an index that does not know of this writer
            await self._clock.sleep(self._known_after_s)

    def _has_others(self) -> bool:
        writers = self._index.current().writers.values()
        return any(writer.instance != self.writer.instance for writer in writers)

    def _open(self) -> None:
        change = self._index.new_change(writers=WriterChange(open=(self.writer,)))
        try:
            self._index.commit(change)
        except ConflictError as error:
            raise SettingsError(
                f"the write-ahead log here belongs to writer {self.writer.id}, which another "
                f"process uses or has adopted: {error}"
            ) from error
        log.info("writer is open", extra={"writer": self.writer.id, "wal": self.writer.wal.value})

    async def run(self) -> None:
        """Watch for the own adoption. Raises: FencedError, which ends the process."""
        while not self._is_lost:
            await self._clock.sleep(WATCH_S)
            known = self._index.current().writers.get(self.writer.id)
            if known is None or known.epoch != self.writer.epoch:
                self.lose()
        if self._log is not None:
            await self._pool.run(self._log.lose)
        raise FencedError(
            f"a peer has adopted the log of writer {self.writer.id}: this process was away for too "
            "long and has to be started again"
        )

    async def drain(self) -> None:
        """Close the log, and the writer if blocks hold all of its spans."""
        if self._log is not None:
            await self._pool.run(self._log.close)
        if self._is_lost:
            return
        if self._holds_spans():
            log.warning(
                "writer stays open: spans are in no block", extra={"writer": self.writer.id}
            )
            return
        try:
            await self._pool.run(self._close)
        except TracestoreError as error:
            log.warning("writer was not closed", extra={"error": str(error)})

    def _close(self) -> None:
        change = self._index.new_change(
            writers=WriterChange(close=(self.writer.id,)), fence=self.fence
        )
        self._index.commit(change)
        if self._log is not None:
            self._log.delete_all()


def new_writer_id(clock: Clock, rng: random.Random) -> WriterId:
    """Make the ID of one life."""
    return WriterId(new_block_id(clock.now_ns(), rng))


def read_writer_id(path: Path) -> WriterId | None:
    """Read the ID that lies beside a log on disk; None: there is none. Raises: SettingsError."""
    try:
        return WriterId(str(json.loads(path.read_text())["writer"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"cannot read {path}: {error}") from error


def writer_id_on_disk(directory: Path, clock: Clock, rng: random.Random) -> WriterId:
    """Get the ID of a log on disk: kept beside it, made at the first start.

    Raises: SettingsError if the file cannot be read or written.
    """
    path = directory / NAME
    if (known := read_writer_id(path)) is not None:
        return known
    prepare_directory(directory, OS_DISK, purpose="write-ahead log directory")
    writer = new_writer_id(clock, rng)
    temporary = path.with_suffix(".tmp")
    try:
        temporary.write_text(json.dumps({"writer": writer}))
        temporary.replace(path)
    except OSError as error:
        raise SettingsError(f"cannot write {path}: {error}") from error
    return writer
