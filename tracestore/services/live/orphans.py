"""Logs in the bucket that nobody answers for, as sources of queries, until a peer has adopted them.

Objects of a log never change, so each is read and decoded once; a log whose writer still lives,
paused or cut off, may grow, and is looked at again by each query. What blocks hold of it by now is
in both for a moment: a span that is in two sources counts once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from tracestore.codec.wal_tombstone import is_tombstone
from tracestore.errors import MalformedError, UnavailableError
from tracestore.kernel import SpanBuilder
from tracestore.model.ids import TenantId, WriterId
from tracestore.query.source import SpanSource
from tracestore.services.ingester.live import LiveSource
from tracestore.storage.index.blocklist import BlockList
from tracestore.storage.index.writers import Writer
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.wal.bucket_reader import (
    LogDecoder,
    look_at_log,
    read_object,
    read_objects,
)
from tracestore.storage.wal.metrics import NO_WAL_METRICS, WalMetrics
from tracestore.storage.wal.ranges import HeldOfWriter, held_by_blocks

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Log:
    """What is known of one log."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    end: int = 0
    """The first object that is not read yet; 0: the log was never looked at."""
    is_sealed: bool = False
    tenants_of: dict[TenantId, int] = field(default_factory=dict)
    """The last object that holds a record of a tenant."""
    builders: dict[TenantId, SpanBuilder] = field(default_factory=dict)
    views: dict[TenantId, LiveSource] = field(default_factory=dict)
    wire_bytes: int = 0

    def reset(self) -> None:
        """Begin again."""
        self.end, self.is_sealed, self.wire_bytes = 0, False, 0
        self.tenants_of, self.builders, self.views = {}, {}, {}


class BucketOrphans:
    """Reads logs. Thread-safe."""

    def __init__(
        self,
        store: ObjectStore,
        *,
        attribute_columns_max: int,
        bytes_max: int,
        metrics: WalMetrics = NO_WAL_METRICS,
    ) -> None:
        """Args:
        bytes_max: wire bytes of all logs that may be decoded here at a time.
        """
        self._store = store
        self._columns_max = attribute_columns_max
        self._bytes_max = bytes_max
        self._metrics = metrics
        self._lock = threading.Lock()
        self._logs: dict[WriterId, _Log] = {}

    def sources(
        self, writer: Writer, tenants: Sequence[TenantId], blocks: BlockList
    ) -> Sequence[SpanSource]:
        """See ``snapshot.OrphanLogs``.

        Cost: at first a LIST and a GET for each object; then some GETs that find nothing.
        """
        known = self._log_of(writer.id, blocks)
        held = held_by_blocks(blocks, writer.id)
        with known.lock:
            try:
                self._read_on(writer.id, known, held)
            except BaseException:
                known.reset()  # half an object may be decoded
                raise
            views = (self._view(writer.id, known, tenant, held) for tenant in tenants)
            return [view for view in views if view is not None]

    def _log_of(self, writer: WriterId, blocks: BlockList) -> _Log:
        """Get what is known of a log; those of writers that are closed are let go."""
        with self._lock:
            self._logs = {id: one for id, one in self._logs.items() if id in blocks.writers}
            return self._logs.setdefault(writer, _Log())

    def _read_on(self, writer: WriterId, known: _Log, held: HeldOfWriter) -> None:
        decoder = LogDecoder(self._store, writer, self._metrics)
        if not known.end:
            extent = look_at_log(self._store, writer, held_last=held.last)
            for number, content in read_objects(self._store, writer, extent.numbers):
                self._take(known, decoder, number, content)
            known.end, known.is_sealed = extent.end, extent.is_sealed
        while not known.is_sealed:
            content = read_object(self._store, writer, known.end)
            if content is None and known.end > held.last:
                return  # not written yet, or not acknowledged
            if content is not None and is_tombstone(content):
                known.is_sealed = True
                return
            self._take(known, decoder, known.end, content)
            known.end += 1

    def _take(self, known: _Log, decoder: LogDecoder, number: int, content: bytes | None) -> None:
        if content is None or is_tombstone(content):
            return  # what is gone is in blocks: the caller looks whether they are in its list
        for record in decoder.records(number, content, keep_damage=False):
            tenant = TenantId(record.tenant)
            known.wire_bytes += len(record.payload)
            if sum(one.wire_bytes for one in list(self._logs.values())) > self._bytes_max:
                raise UnavailableError(
                    f"logs of processes that are gone hold more than {self._bytes_max} bytes "
                    "(ingester.wal.bucket.orphan_bytes_max): retry once a peer has written blocks"
                )
            builder = known.builders.setdefault(tenant, SpanBuilder())
            try:
                builder.append(record.payload)
            except MalformedError as error:
                # check() let it pass: a mistake of ours; whoever adopts the log keeps it aside
                extra = {"writer": decoder.writer, "number": number, "error": str(error)}
                log.error("acknowledged request cannot be decoded, it is left out", extra=extra)
            known.tenants_of[tenant] = number
            known.views.pop(tenant, None)

    def _view(
        self, writer: WriterId, known: _Log, tenant: TenantId, held: HeldOfWriter
    ) -> LiveSource | None:
        builder = known.builders.get(tenant)
        if builder is None or builder.spans == 0:
            return None
        if held.of(tenant).last >= known.tenants_of[tenant]:
            return None  # blocks have it all
        view = known.views.get(tenant)
        if view is None:
            frozen = builder.freeze(attribute_columns_max=self._columns_max)
            view = LiveSource(frozen, f"log-{writer}-{tenant}")
            known.views[tenant] = view
        return view
