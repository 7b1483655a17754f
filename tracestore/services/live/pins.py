"""The live tables of this process as other processes read them, by gRPC.

A query of another process opens a snapshot: the views of that moment are pinned under a token until
it lets go, or its time is over. Reads run in a pool of their own, which never waits for others.

Source: ``codec/proto/cluster.proto``.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from tracestore.clock import Clock
from tracestore.codec.live_wire import (
    FindRequest,
    OpenedSnapshot,
    ReadRequest,
    SourceHead,
    encode_arrays,
    encode_tables,
)
from tracestore.errors import InvalidRequestError, UnavailableError, UnreachableError
from tracestore.model.ids import TenantId, WriterId, parse_tenant_id
from tracestore.model.results import QueryStats
from tracestore.model.tables import Table
from tracestore.query.source import Chunk, SpanSource
from tracestore.services.blocking import BlockingPool
from tracestore.services.rpc import Metadata, Stream, Unary
from tracestore.settings.members_tree import LiveReadSettings
from tracestore.storage.block.dictionaries import compact_texts

SERVICE = "tracestore.cluster.v1.Live"
PIECE_BYTES = 1 << 20
"""Columns travel in pieces of this size."""

Sources = Callable[[TenantId], Sequence[SpanSource]]


@dataclass(frozen=True, slots=True)
class _Pin:
    sources: Mapping[str, SpanSource]
    until_ns: int


class LivePins:
    """Serves ``Live``. Thread-safe."""

    def __init__(
        self,
        settings: LiveReadSettings,
        sources: Sources,
        pool: BlockingPool,
        clock: Clock,
        rng: random.Random,
        *,
        is_ready: Callable[[], bool],
        writers: Callable[[], Sequence[WriterId]],
        index_sequence: Callable[[], int],
    ) -> None:
        """Args:
        sources: the live tables of a tenant.
        writers: for whose logs these live tables stand, adopted ones too.
        index_sequence: the last commit that this process knows, asked after the live tables.
        """
        self._settings = settings
        self._sources = sources
        self._pool = pool
        self._clock = clock
        self._rng = rng
        self._is_ready = is_ready
        self._writers = writers
        self._index_sequence = index_sequence
        self._lock = threading.Lock()
        self._pins: dict[str, _Pin] = {}

    @property
    def methods(self) -> dict[str, Unary]:
        """What is answered at once."""
        return {"Open": self.open, "Release": self.release}

    @property
    def streams(self) -> dict[str, Stream]:
        """What is answered in pieces."""
        return {"Read": self.read, "FindTraces": self.find_traces}

    async def open(self, request: bytes, _metadata: Metadata) -> bytes:
        """Pin the live tables of some tenants: a JSON array of their names.

        Raises: UnreachableError while the log is being replayed; UnavailableError if too much is
            pinned; InvalidRequestError.
        """
        if not self._is_ready():
            raise UnreachableError("the ingester is starting")
        try:
            names = json.loads(request)
        except ValueError as error:
            raise InvalidRequestError(f"tenants are not JSON: {error}") from error
        tenants = [parse_tenant_id(str(name)) for name in names]
        return await self._pool.run(self._open, tenants)

    def _open(self, tenants: Sequence[TenantId]) -> bytes:
        # In this order: what is adopted or flushed meanwhile is in the sources or in the index.
        writers = tuple(self._writers())
        found = (source for tenant in tenants for source in self._sources(tenant))
        # without a writer of its own, a peer answers for what is here
        sources = {source.id: source for source in found} if writers else {}
        sequence = self._index_sequence()
        token = self.pin(sources) if sources else ""
        return OpenedSnapshot(
            token=token,
            index_sequence=sequence,
            writers=writers,
            sources=tuple(head_of(source) for source in sources.values()),
        ).encode()

    def pin(self, sources: Mapping[str, SpanSource]) -> str:
        """Hold sources for a query, by their IDs; get the token under which they are read.

        Raises: UnavailableError if too much is pinned.
        """
        now_ns = self._clock.monotonic_ns()
        with self._lock:
            for token, pin in list(self._pins.items()):
                if pin.until_ns < now_ns:
                    del self._pins[token]
            if len(self._pins) >= self._settings.pins_max:
                raise UnavailableError(
                    f"{len(self._pins)} queries of other processes read the live tables here"
                )
            token = f"{self._rng.getrandbits(128):032x}"
            self._pins[token] = _Pin(sources, now_ns + int(self._settings.pin_s * 1e9))
        return token

    async def release(self, request: bytes, _metadata: Metadata) -> bytes:
        """Let go of a snapshot: its token. Harmless if it is gone."""
        self.let_go(request.decode("ascii", "replace"))
        return b""

    def let_go(self, token: str) -> None:
        """Hold what is under a token no longer."""
        with self._lock:
            self._pins.pop(token, None)

    @property
    def held(self) -> int:
        """Count the snapshots that are held."""
        with self._lock:
            return len(self._pins)

    def find(self, token: str, source: str) -> SpanSource | None:
        """Get what is held here; None if it is not, any more."""
        with self._lock:
            pin = self._pins.get(token)
        return None if pin is None else pin.sources.get(source)

    async def read(self, request: bytes, _metadata: Metadata) -> AsyncIterator[bytes]:
        """Send columns of a source. Raises: UnreachableError if the snapshot is gone."""
        content = await self._pool.run(self._read, ReadRequest.decode(request))
        for place in range(0, content.size, PIECE_BYTES):
            yield content.slice(place, min(PIECE_BYTES, content.size - place)).to_pybytes()

    def _read(self, request: ReadRequest) -> pa.Buffer:
        source = self._pinned(request.token, request.source)
        known = source.schema(request.table).names
        if unknown := [name for name in request.columns if name not in known]:
            raise InvalidRequestError(f"live tables have no column {unknown[0]!r}")
        chunk = None if request.chunk is None else _chunk_of(source, request.chunk)
        arrays = source.read(request.table, request.columns, chunk, QueryStats())
        return encode_arrays([_lean(array) for array in arrays])

    async def find_traces(self, request: bytes, _metadata: Metadata) -> AsyncIterator[bytes]:
        """Send traces of a source. Raises: UnreachableError if the snapshot is gone."""
        content = await self._pool.run(self._find, FindRequest.decode(request))
        for place in range(0, len(content), PIECE_BYTES):
            yield content[place : place + PIECE_BYTES]

    def _find(self, request: FindRequest) -> bytes:
        source = self._pinned(request.token, request.source)
        return encode_tables(source.find_traces(request.trace_ids, QueryStats()))

    def _pinned(self, token: str, source: str) -> SpanSource:
        found = self.find(token, source)
        if found is None:
            raise UnreachableError(f"snapshot of live tables {source} is not held any more")
        return found


def head_of(source: SpanSource) -> SourceHead:
    """Describe a source, all but its columns."""
    return SourceHead(
        id=source.id,
        start_ns=source.start_ns,
        end_ns=source.end_ns,
        rows={table.value: source.rows(table) for table in Table},
        schemas={table.value: source.schema(table) for table in Table},
        chunks=tuple(source.chunks()),
    )


def _chunk_of(source: SpanSource, chunk: Chunk) -> Chunk:
    """Find the chunk. Raises: InvalidRequestError if the source has no such one."""
    if chunk not in source.chunks():
        raise InvalidRequestError(f"live tables {source.id} have no chunk {chunk.index}")
    return chunk


def _lean(array: pa.Array) -> pa.Array:
    """Leave the entries of a dictionary behind that no row uses, if they are many."""
    if not pa.types.is_dictionary(array.type) or len(array.dictionary) <= len(array) // 4:
        return array
    return compact_texts(array).array
