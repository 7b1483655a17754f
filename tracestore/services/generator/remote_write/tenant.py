"""What is queued for a tenant: the files, and what is known of its series.

Everything here blocks and is for threads of a pool; safe to use from several.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tracestore.codec.remote_write.columns import columns_of, decode_columns, encode_columns
from tracestore.codec.remote_write.fields import Pieces
from tracestore.codec.remote_write.outgoing import Counts, Outgoing, plan_requests
from tracestore.codec.remote_write.relabel import Relabel
from tracestore.codec.remote_write.series import SentSeries, SeriesTable
from tracestore.codec.remote_write.symbols import SymbolRows
from tracestore.errors import MalformedError
from tracestore.model.collection import Collection, Family
from tracestore.model.ids import TenantId
from tracestore.services.generator.remote_write.remote import RemoteSeries
from tracestore.storage.metrics_queue.queue import MetricsQueue, QueueBounds, Taken

QUEUE_DIRECTORY = "remote_write"
"""Below the directory of the tenant."""
_IDLE_MIN = 10_000
"""Series that nobody needs are kept until there are so many of them, and more than of others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """Requests of a record, and the labels that they name by row."""

    outgoing: Outgoing
    labels_v1: Callable[[], Pieces]
    symbols_v2: Callable[[], SymbolRows]


class TenantQueue:
    """See the module."""

    def __init__(
        self,
        tenant: TenantId,
        path: Path,
        receivers: Mapping[str, RemoteSeries],
        relabel: Mapping[str, Relabel | None],
        bounds: QueueBounds,
        damaged: Callable[[bool], None],
    ) -> None:
        """Args:
        path: of the queues of all tenants.
        receivers: by name.
        relabel: by name of the receiver.
        damaged: told of each part of a file that is lost; whether it was a cut-off write.
        """
        self.tenant = tenant
        self._receivers = receivers
        self._relabel = relabel
        self._damaged = damaged
        self.queue = MetricsQueue(
            path / tenant / QUEUE_DIRECTORY, list(receivers), bounds, metrics=self
        )
        self._lock = threading.RLock()
        self._generation: int | None = None
        """Of the registry."""
        self._epoch = 0
        """What stands for it in the files: unlike that of any other process."""
        self._tables: dict[int, SeriesTable] = {}
        self._sent: dict[tuple[int, str], SentSeries] = {}

    def open(self) -> None:
        """Take up what another process left. Raises: OSError."""
        self.queue.open()
        for generation, payload in self.queue.left_series():
            try:
                self._learn(generation, payload)
            except MalformedError:
                self._damaged(False)

    def offer(self, collection: Collection) -> Counts:
        """Queue a collection. Returns: what it holds. Raises: OSError; then nothing is queued."""
        columns = columns_of(collection)
        counts = Counts(
            samples=len(columns.series),
            exemplars=len(columns.exemplar_series),
            histograms=len(columns.histogram_series),
        )
        payload = encode_columns(columns)
        with self._lock:
            table = self._table_of(collection.generation)
            unknown = table.unknown(columns.numbers)
            if len(unknown):
                table.add(unknown, collection.labels, collection.families)
            table.touch(table.rows_of(columns.numbers), columns.time_ms)
            self.queue.append(
                self._epoch,
                columns.numbers,
                columns.time_ms,
                counts,
                payload,
                table.encode,
            )
            self._forget_idle(columns.time_ms)
            if len(self._tables) > 1:
                self._forget_generations()
        return counts

    def learn(self, taken: Taken) -> None:
        """Take the labels of a record. Raises: MalformedError."""
        self._learn(taken.generation, taken.payload)

    def _learn(self, generation: int, payload: bytes) -> None:
        with self._lock:
            self._tables.setdefault(generation, SeriesTable()).add_encoded(payload)

    def plan(self, receiver: str, taken: Taken, *, not_before_ms: int, samples_max: int) -> Planned:
        """Read a record and cut it into requests. Raises: MalformedError."""
        columns = decode_columns(taken.payload)
        with self._lock:
            sent = self._sent_of(receiver, taken.generation)
            outgoing = plan_requests(
                columns, sent, not_before_ms=not_before_ms, samples_max=samples_max
            )

        def labels_v1() -> Pieces:
            with self._lock:
                return sent.labels_v1()

        def symbols_v2() -> SymbolRows:
            with self._lock:
                return sent.symbols_v2()

        return Planned(outgoing=outgoing, labels_v1=labels_v1, symbols_v2=symbols_v2)

    def families(self) -> list[Family]:
        """Get the metrics that are written at present, each name once."""
        with self._lock:
            table = self._tables.get(self._epoch)
            if table is None:
                return []
            return list({family.name: family for family in table.families if family.name}.values())

    def lost(self, receiver: str, reason: str, counts: Counts) -> None:
        """Count what the queue let go."""
        self._receivers[receiver].dropped(reason, counts)

    def damaged(self, torn: bool) -> None:
        """Count a damaged part of the queue."""
        self._damaged(torn)

    def _table_of(self, generation: int) -> SeriesTable:
        if self._generation != generation or self._epoch not in self._tables:
            self._generation = generation
            self._epoch = secrets.randbits(64)
            self._forget_generations()
            self._tables[self._epoch] = SeriesTable()
        return self._tables[self._epoch]

    def _forget_generations(self) -> None:
        kept = self.queue.generations()
        self._tables = {epoch: t for epoch, t in self._tables.items() if epoch in kept}
        self._sent = {key: s for key, s in self._sent.items() if key[0] in kept}

    def _forget_idle(self, time_ms: int) -> None:
        """Let series go that are not written any more, once all have got their last samples."""
        needed = self.queue.needed_since_ms()
        since = time_ms if needed is None else min(time_ms, needed)
        table = self._tables[self._epoch]
        idle = table.idle_since(since)
        if idle > _IDLE_MIN and 2 * idle > len(table):
            self._tables[self._epoch] = table.without_idle(since)
            self._forget_generations()

    def _sent_of(self, receiver: str, epoch: int) -> SentSeries:
        table = self._tables.setdefault(epoch, SeriesTable())
        sent = self._sent.get((epoch, receiver))
        if sent is None or sent.table is not table:
            sent = SentSeries(table, self._relabel[receiver])
            self._sent[epoch, receiver] = sent
        return sent


def queue_tenants(path: Path) -> list[str]:
    """Name the tenants that have a queue on disk."""
    if not path.is_dir():
        return []
    return sorted(p.parent.name for p in path.glob(f"*/{QUEUE_DIRECTORY}") if p.is_dir())
