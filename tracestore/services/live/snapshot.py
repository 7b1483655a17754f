"""What a query looks at: every live table, then the blocks, with neither a gap nor a double.

The order makes it so. Live tables are taken first, then the block list, which must be at least as
new as every process was that gave live tables; a live table whose block is in the list is left out.
A flush publishes the other way round: the list first, then the live table goes.

In a cluster every writer that the index knows must be accounted for: by a process that answers for
its log, or by its log itself, read out of the bucket. Who is not becomes a source that cannot be
read, so that an answer fails, or says what it lacks.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

import pyarrow as pa

from tracestore.clock import Clock
from tracestore.codec.filters import BlockFilters
from tracestore.codec.live_wire import OpenedSnapshot
from tracestore.errors import TracestoreError, UnavailableError
from tracestore.model.ids import TenantId, WriterId
from tracestore.model.results import QueryStats
from tracestore.model.tables import SpanTables, Table
from tracestore.query.candidates import TIME_MAX
from tracestore.query.source import Chunk, ColumnStatistics, SpanSource
from tracestore.services.live.remote import LiveClients, RemoteSource
from tracestore.settings.members_tree import LiveReadSettings
from tracestore.storage.index.blocklist import BlockList
from tracestore.storage.index.writers import WalHome, Writer
from tracestore.storage.wal.ranges import same_log

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Live tables and the list that fits them; those of the list are not among the live ones."""

    live: Sequence[SpanSource]
    blocks: BlockList


class Snapshots(Protocol):
    """Takes snapshots. Synchronous, thread-safe."""

    def take(self, tenants: Sequence[TenantId]) -> Any:
        """Enter a ``Snapshot`` of some tenants; what it pins is let go at the exit."""


class LiveTables(Protocol):
    """What is needed of an ingester in this process."""

    def sources(self, tenant: TenantId) -> Sequence[SpanSource]:
        """Get the live tables of a tenant. Synchronous, thread-safe."""


class Index(Protocol):
    """What is needed of the follower of the index."""

    def current(self) -> BlockList:
        """Get the list as it is now."""

    def at_least(self, sequence: int) -> BlockList:
        """Get the list once it has a commit. Raises: UnavailableError."""

    def refresh(self) -> BlockList:
        """Get the list as it is in the store now. Raises: UnavailableError."""

    def fresh(self, age_s: float) -> BlockList:
        """Get the list, not older than that. Raises: UnavailableError."""


class OrphanLogs(Protocol):
    """Reads the logs of writers that nobody answers for out of the bucket."""

    def sources(
        self, writer: Writer, tenants: Sequence[TenantId], blocks: BlockList
    ) -> Sequence[SpanSource]:
        """Get what a log holds and blocks of the list do not; some of those may be in it, too.

        Raises: UnavailableError.
        """


class LocalSnapshots:
    """Snapshots of a process that is alone."""

    def __init__(self, live: LiveTables, blocks: Callable[[], BlockList]) -> None:
        self._live = live
        self._blocks = blocks

    @contextmanager
    def take(self, tenants: Sequence[TenantId]) -> Iterator[Snapshot]:
        """See ``Snapshots``."""
        live = [source for tenant in tenants for source in self._live.sources(tenant)]
        blocks = self._blocks()
        yield Snapshot(live=_without_blocks(live, tenants, blocks), blocks=blocks)


@dataclass(slots=True)
class _Taken:
    """What has been gathered for one snapshot."""

    live: dict[str, Sequence[SpanSource]] = field(default_factory=dict)
    """What a process gave when it was last asked, by its address; of this one by the empty one."""
    answered: set[WriterId] = field(default_factory=set)
    sequence: int = 0
    pins: list[tuple[str, str]] = field(default_factory=list)
    """Address and token of what others hold for this query."""
    silent: dict[str, str] = field(default_factory=dict)
    """Why an address did not answer."""


class ClusterSnapshots:
    """Snapshots over all processes that write to the bucket."""

    def __init__(
        self,
        settings: LiveReadSettings,
        index: Index,
        clients: LiveClients,
        clock: Clock,
        *,
        own: LiveTables | None,
        own_writers: Callable[[], Sequence[WriterId]],
        orphans: OrphanLogs | None,
    ) -> None:
        """Args:
        own: live tables of this process; None: it has none.
        own_writers: for whose logs they stand.
        orphans: None if logs cannot be read by others.
        """
        self._settings = settings
        self._index = index
        self._clients = clients
        self._clock = clock
        self._own = own
        self._own_writers = own_writers
        self._orphans = orphans
        self._lock = threading.Lock()
        self._silent_until_ns: dict[str, int] = {}

    @contextmanager
    def take(self, tenants: Sequence[TenantId]) -> Iterator[Snapshot]:
        """See ``Snapshots``. Raises: UnavailableError if the index cannot be followed."""
        taken = _Taken()
        try:
            yield self._take(tenants, taken)
        finally:
            for address, token in taken.pins:
                self._clients.release(address, token)

    def _take(self, tenants: Sequence[TenantId], taken: _Taken) -> Snapshot:
        asked: set[WriterId] = set()
        blocks = self._index.fresh(self._settings.index_age_max_s)
        self._take_own(tenants, taken)
        while True:
            # a process that is new in the list is asked, too, before its log is read
            unasked = [w for w in blocks.writers.values() if w.id not in asked | taken.answered]
            asked.update(writer.id for writer in unasked)
            addresses = {address for w in unasked if (address := _address_of(w, blocks))}
            addresses -= self._own_addresses(blocks)  # it would give what is taken already
            self._ask(sorted(addresses), tenants, taken)
            blocks = self._index.at_least(taken.sequence)
            if all(id in asked | taken.answered for id in blocks.writers):
                break
        live = [source for sources in taken.live.values() for source in sources]
        lost = [w for id, w in sorted(blocks.writers.items()) if id not in taken.answered]
        if lost:
            blocks, orphans = self._read_logs(lost, tenants, blocks, taken)
            live += orphans
        return Snapshot(live=_without_blocks(live, tenants, blocks), blocks=blocks)

    def _take_own(self, tenants: Sequence[TenantId], taken: _Taken) -> None:
        writers = self._own_writers()
        if self._own is None or not writers:
            return  # without a writer of its own, a peer answers for what is here
        taken.answered.update(writers)
        taken.live[""] = [source for tenant in tenants for source in self._own.sources(tenant)]
        taken.sequence = self._index.current().sequence

    def _own_addresses(self, blocks: BlockList) -> set[str]:
        own = (blocks.writers.get(id) for id in self._own_writers())
        return {writer.address for writer in own if writer is not None}

    def _ask(self, addresses: Sequence[str], tenants: Sequence[TenantId], taken: _Taken) -> None:
        """Ask processes for their live tables, all at once."""
        calls = []
        for address in addresses:
            if self._is_silent(address):
                taken.silent[address] = "it did not answer a moment ago"
            else:
                calls.append((address, self._clients.open(address, tenants)))
        for address, call in calls:
            try:
                opened = self._clients.opened(address, call)
            except TracestoreError as error:
                taken.silent[address] = str(error)
                self._note_silence(address, str(error))
                continue
            self._add(address, opened, taken)

    def _add(self, address: str, opened: OpenedSnapshot, taken: _Taken) -> None:
        if opened.token:
            taken.pins.append((address, opened.token))
        taken.answered.update(WriterId(writer) for writer in opened.writers)
        taken.sequence = max(taken.sequence, opened.index_sequence)
        taken.live[address] = [
            RemoteSource(self._clients, address, opened.token, head) for head in opened.sources
        ]

    def _read_logs(
        self,
        writers: Sequence[Writer],
        tenants: Sequence[TenantId],
        blocks: BlockList,
        taken: _Taken,
    ) -> tuple[BlockList, list[SpanSource]]:
        """Read the logs of writers that nobody answered for.

        What is deleted of a log was committed before: if the list says the same of it after the
        reading as before, nothing was overlooked.
        """
        for _ in range(self._settings.attempts_max):
            live: list[SpanSource] = []
            for writer in writers:
                if writer.id in blocks.writers:  # else it was closed: blocks have it all
                    live += self._read_log(writer, tenants, blocks, taken)
            before, blocks = blocks, self._index.refresh()
            if before is blocks or all(same_log(w.id, before, blocks) for w in writers):
                return blocks, live
        raise UnavailableError("logs of processes that went away change too fast to be read")

    def _read_log(
        self, writer: Writer, tenants: Sequence[TenantId], blocks: BlockList, taken: _Taken
    ) -> Sequence[SpanSource]:
        if writer.wal is WalHome.BUCKET and self._orphans is not None:
            return self._orphans.sources(writer, tenants, blocks)
        reason = taken.silent.get(_address_of(writer, blocks), "nobody answers for it")
        return [LostSource(f"writer:{writer.id}", f"{writer.instance}: {reason}")]

    def _is_silent(self, address: str) -> bool:
        with self._lock:
            return self._silent_until_ns.get(address, 0) > self._clock.monotonic_ns()

    def _note_silence(self, address: str, reason: str) -> None:
        until_ns = self._clock.monotonic_ns() + int(self._settings.silent_s * 1e9)
        with self._lock:
            known = self._silent_until_ns
            self._silent_until_ns = {
                address: until_ns,
                **{a: t for a, t in known.items() if a != address and t > until_ns - 60 * 10**9},
            }
        log.info(
            "live tables of a process cannot be read", extra={"address": address, "reason": reason}
        )


def _address_of(writer: Writer, blocks: BlockList) -> str:
    """Find where its owner answers; empty: nowhere that is known."""
    owner = blocks.writers.get(writer.owner, writer)
    return owner.address


def _without_blocks(
    live: Sequence[SpanSource], tenants: Sequence[TenantId], blocks: BlockList
) -> list[SpanSource]:
    in_list = {meta.id for tenant in tenants for meta in blocks.blocks(tenant)}
    in_list |= {ref.id for ref in blocks.removed if ref.tenant in tenants}
    return [source for source in live if source.id not in in_list]


class LostSource:
    """``SpanSource`` of spans that are known to be somewhere, and cannot be read now."""

    is_live = True
    stored_bytes = 0
    start_ns = 0
    end_ns = TIME_MAX

    def __init__(self, id: str, reason: str) -> None:
        self.id = id
        self.reason = reason

    def rows(self, table: Table) -> int:
        return 1

    def schema(self, table: Table) -> pa.Schema:
        self._fail()

    def chunks(self) -> Sequence[Chunk]:
        self._fail()

    def read(
        self, table: Table, columns: Sequence[str], chunk: Chunk | None, stats: QueryStats
    ) -> Sequence[pa.Array]:
        self._fail()

    def statistics(self, chunk: Chunk, column: str) -> ColumnStatistics | None:
        self._fail()

    def filters(self, stats: QueryStats) -> BlockFilters | None:
        self._fail()

    def find_trace(self, trace_id: bytes, stats: QueryStats) -> SpanTables | None:
        self._fail()

    def find_traces(self, trace_ids: Sequence[bytes], stats: QueryStats) -> list[SpanTables]:
        self._fail()

    def _fail(self) -> NoReturn:
        raise UnavailableError(f"spans that are in no block yet cannot be read: {self.reason}")
