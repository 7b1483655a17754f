"""Logs in the bucket whose writers the index does not know (any more).

A log that was adopted leaves its tombstone, which has to stay as long as its writer, paused, might
still wake up and put an object: a day. A log without one is of a writer that was closed and did not
delete everything, or of one that the index has lost, as after a rebuild from nothing; it is put
into the index again, so that queries read it and somebody adopts it. What blocks hold of it already
is not written twice.
"""

from __future__ import annotations

import logging

from tracestore.clock import Clock
from tracestore.errors import ConflictError, UnavailableError
from tracestore.model.ids import WriterId
from tracestore.services.blocking import BlockingPool
from tracestore.services.follower import IndexFollower
from tracestore.storage.index.writers import WalHome, Writer, WriterChange
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.layout import WAL_PREFIX, parse_wal_key, wal_key
from tracestore.storage.wal.bucket_reader import list_numbers, look_at_log
from tracestore.storage.wal.ranges import held_by_blocks

LOOK_S = 600.0
"""How often the logs are listed: one LIST per thousand objects."""
TOMBSTONE_LIFE_S = 86400.0
"""See ``bucket_put``: a writer that slept longer than a minute asks the index before it writes."""
DELETED_AT_ONCE = 500

log = logging.getLogger(__name__)


class LeftLogs:
    """Looks for such logs. A service of processes whose log is in the bucket."""

    name = "left-logs"

    def __init__(
        self, store: ObjectStore, index: IndexFollower, pool: BlockingPool, clock: Clock
    ) -> None:
        self._store = store
        self._index = index
        self._pool = pool
        self._clock = clock
        self._suspects: dict[WriterId, int] = {}
        """Unknown logs without a tombstone at the last look, with their last object."""

    async def start(self) -> None:
        """Nothing."""

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                await self._pool.run(self.look)
            except UnavailableError as error:
                log.warning("logs without writers were not looked for", extra={"error": str(error)})
            await self._clock.sleep(LOOK_S)

    async def drain(self) -> None:
        """Nothing."""

    def look(self) -> None:
        """Look once. Synchronous. Raises: UnavailableError."""
        newest: dict[WriterId, int] = {}
        for info in self._store.list(WAL_PREFIX):
            if (found := parse_wal_key(info.key)) is not None:
                newest[found[0]] = max(newest.get(found[0], 0), info.modified_ns)
        known = self._index.refresh().writers  # after the listing: a writer is known before it puts
        suspects: dict[WriterId, int] = {}
        for writer, modified_ns in newest.items():
            if writer not in known:
                self._look_at(writer, modified_ns, suspects)
        self._suspects = suspects

    def _look_at(self, writer: WriterId, modified_ns: int, suspects: dict[WriterId, int]) -> None:
        held = held_by_blocks(self._index.current(), writer)
        extent = look_at_log(self._store, writer, held_last=held.last)
        if extent.is_sealed:
            if self._clock.now_ns() - modified_ns > TOMBSTONE_LIFE_S * 1e9:
                self._delete(writer)
        elif self._suspects.get(writer) == extent.end:
            self._open_again(writer)
        else:
            suspects[writer] = extent.end  # its writer may be deleting it just now

    def _delete(self, writer: WriterId) -> None:
        numbers = list_numbers(self._store, writer)
        for first in range(0, len(numbers), DELETED_AT_ONCE):
            part = numbers[first : first + DELETED_AT_ONCE]
            self._store.delete_many([wal_key(writer, number) for number in part])
        log.info("objects of a closed log are deleted", extra={"writer": writer})

    def _open_again(self, writer: WriterId) -> None:
        found = Writer(
            id=writer,
            instance="",
            address="",
            wal=WalHome.BUCKET,
            owner=writer,
            opened_ns=self._clock.now_ns(),
        )
        try:
            self._index.commit(self._index.new_change(writers=WriterChange(open=(found,))))
        except ConflictError:
            return  # another process was first, and somebody has adopted it by now
        log.warning("a log that the index did not know is in it again", extra={"writer": writer})
