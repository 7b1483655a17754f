"""A head becomes a block: tables and filters first, ``meta.json`` last, then the commit.

The commit is the birth of the block; it names the WAL segments that the block holds, so that a
crash after it replays nothing twice and a crash before it replays everything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tracestore.clock import Clock
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import BlockId, TenantId
from tracestore.storage.block.table_reader import TableReader
from tracestore.storage.block.writer import BlockIdentity
from tracestore.storage.index.writers import Fence
from tracestore.telemetry import Metrics


class BlockWriting(Protocol):
    """What ``BlockWriter`` offers."""

    def write(self, reader: TableReader, block: BlockIdentity) -> BlockMeta:
        """Write all objects of a block. Raises: UnavailableError; writing again is right."""


class Flusher:
    """Writes and commits blocks. Thread-safe."""

    def __init__(
        self,
        writer: BlockWriting,
        commit: Callable[[BlockMeta, Fence | None], None],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        """Args:
        commit: makes a written block part of the index and of this process's block list, in one
            step; committing a block twice is the same as once.
        """
        self._writer = writer
        self._commit = commit
        self._metrics = metrics
        self._clock = clock

    def write(
        self, tenant: TenantId, block_id: BlockId, reader: TableReader, segments: tuple[str, ...]
    ) -> BlockMeta:
        """Write the objects of a block; nobody sees it yet. Raises: UnavailableError."""
        identity = BlockIdentity(id=block_id, tenant=tenant, wal_segments=segments)
        started_ns = self._clock.monotonic_ns()
        meta = self._writer.write(reader, identity)
        self._metrics.flush_seconds.observe((self._clock.monotonic_ns() - started_ns) / 1e9)
        return meta

    def commit(self, meta: BlockMeta, fence: Fence | None) -> None:
        """Let the block be seen.

        Raises: FencedError if another process answers for its log by now; UnavailableError,
            committing again is right.
        """
        self._commit(meta, fence)
        self._metrics.blocks_completed.inc()
        self._metrics.flush_spans.inc(meta.spans)
        self._metrics.flush_bytes.inc(meta.stored_bytes)
