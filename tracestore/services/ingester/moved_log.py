"""A process whose log was on its disk, and is in the bucket from now on.

What the disk holds is replayed as ever. But the writer that stands for it in the index would never
answer again, and queries would miss it for ever: it is closed once blocks hold what was replayed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from tracestore.errors import UnavailableError
from tracestore.model.ids import WriterId
from tracestore.services.blocking import BlockingPool
from tracestore.services.follower import IndexFollower
from tracestore.services.ingester.own_writer import NAME, OwnWriter, read_writer_id
from tracestore.storage.index.writers import WriterChange

log = logging.getLogger(__name__)


class MovedLog:
    """Starts after the ingester, which has replayed the disk by then."""

    name = "moved-log"

    def __init__(
        self,
        directory: Path,
        index: IndexFollower,
        own: OwnWriter,
        pool: BlockingPool,
        *,
        flush_all: Callable[[], Awaitable[None]],
    ) -> None:
        """Args:
        directory: where the log on disk was.
        flush_all: writes all that is live as blocks. Raises: UnavailableError.
        """
        self._path = directory / NAME
        self._index = index
        self._own = own
        self._pool = pool
        self._flush_all = flush_all

    async def start(self) -> None:
        """Close the writer of the disk, if there is one.

        Raises: UnavailableError, SettingsError if its file cannot be read.
        """
        writer = await self._pool.run(read_writer_id, self._path)
        if writer is None:
            return
        if writer in self._index.current().writers:
            await self._flush_all()
        await self._pool.run(self._close, writer)

    async def run(self) -> None:
        """Nothing more."""
        await asyncio.Event().wait()

    async def drain(self) -> None:
        """Nothing."""

    def _close(self, writer: WriterId) -> None:
        if writer in self._index.refresh().writers:
            change = self._index.new_change(
                writers=WriterChange(close=(writer,)), fence=self._own.fence
            )
            self._index.commit(change)
            log.info("writer of the log on disk is closed", extra={"writer": writer})
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise UnavailableError(f"cannot delete {self._path}: {error}") from error
