"""Live tables of another process as a source; its columns come by gRPC when they are asked for."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any

import grpc
import pyarrow as pa

from tracestore.codec.filters import BlockFilters
from tracestore.codec.job_wire import PinnedTables
from tracestore.codec.live_wire import (
    FindRequest,
    OpenedSnapshot,
    ReadRequest,
    SourceHead,
    decode_arrays,
    decode_tables,
)
from tracestore.errors import InvalidRequestError, UnavailableError
from tracestore.model.ids import TenantId
from tracestore.model.results import QueryStats
from tracestore.model.tables import SpanTables, Table
from tracestore.query.source import Chunk, ColumnStatistics
from tracestore.services.live.pins import SERVICE
from tracestore.services.rpc import channel_options, error_of_call
from tracestore.settings.members_tree import LiveReadSettings

MESSAGE_BYTES_MAX = 64 << 20
"""Of one message: the heads of all sources of a process, or a piece of a column."""


class LiveClients:
    """Blocking channels to other processes, by address. Thread-safe."""

    def __init__(self, settings: LiveReadSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._channels: dict[str, grpc.Channel] = {}

    def open(self, address: str, tenants: Sequence[TenantId]) -> Any:
        """Ask for the live tables of some tenants, without waiting for the answer.

        Returns: a future of bytes; ``result`` is to be given to ``opened``.
        """
        method = self._channel(address).unary_unary(f"/{SERVICE}/Open")
        return method.future(
            json.dumps(list(tenants)).encode(), timeout=self._settings.open_timeout_s
        )

    def opened(self, address: str, future: Any) -> OpenedSnapshot:
        """Wait for the answer. Raises: UnreachableError and what else the process says."""
        try:
            return OpenedSnapshot.decode(future.result())
        except grpc.FutureCancelledError as error:
            raise UnavailableError(f"{address}: the call was cancelled") from error
        except grpc.RpcError as error:
            raise error_of_call(error, address) from None

    def release(self, address: str, token: str) -> Any:
        """Let go of a snapshot, without waiting; if that fails its time ends by itself.

        Returns: a future.
        """
        method = self._channel(address).unary_unary(f"/{SERVICE}/Release")
        return method.future(token.encode(), timeout=self._settings.open_timeout_s)

    def stream(self, address: str, method: str, request: bytes) -> bytes:
        """Collect an answer that comes in pieces. Raises: as ``opened``."""
        call = self._channel(address).unary_stream(f"/{SERVICE}/{method}")
        try:
            return b"".join(call(request, timeout=self._settings.read_timeout_s))
        except grpc.RpcError as error:
            raise error_of_call(error, address) from None

    def _channel(self, address: str) -> grpc.Channel:
        with self._lock:
            if (channel := self._channels.get(address)) is None:
                options = channel_options(MESSAGE_BYTES_MAX)
                channel = self._channels[address] = grpc.insecure_channel(address, options)
            return channel

    def close(self) -> None:
        """Close all channels."""
        with self._lock:
            channels, self._channels = self._channels, {}
        for channel in channels.values():
            channel.close()


class RemoteSource:
    """``SpanSource`` over a pinned source of another process. Immutable, thread-safe.

    What was read is kept for as long as the query lives. Raises of all that reads: UnreachableError
    if the process is gone or holds the snapshot no more.
    """

    is_live = True
    stored_bytes = 0

    def __init__(self, clients: LiveClients, address: str, token: str, head: SourceHead) -> None:
        self._clients = clients
        self._address = address
        self._token = token
        self._head = head
        self._chunks = head.chunks
        self._lock = threading.Lock()
        self._columns: dict[tuple[Table, int | None, str], pa.Array] = {}
        self.id = head.id
        self.start_ns = head.start_ns
        self.end_ns = head.end_ns

    @property
    def pinned(self) -> PinnedTables:
        """Where others find the same."""
        return PinnedTables(address=self._address, token=self._token, head=self._head)

    def rows(self, table: Table) -> int:
        return self._head.rows[table.value]

    def schema(self, table: Table) -> pa.Schema:
        return self._head.schemas[table.value]

    def chunks(self) -> Sequence[Chunk]:
        return self._chunks

    def read(
        self, table: Table, columns: Sequence[str], chunk: Chunk | None, stats: QueryStats
    ) -> Sequence[pa.Array]:
        place = None if chunk is None else chunk.index
        with self._lock:
            missing = [name for name in dict.fromkeys(columns) if self._key(table, place, name)]
        if missing:
            self._fetch(table, missing, chunk)
        with self._lock:
            found = [self._columns[table, place, name] for name in columns]
        stats.inspected_bytes += sum(array.nbytes for array in found)
        return found

    def _key(self, table: Table, place: int | None, name: str) -> bool:
        return (table, place, name) not in self._columns

    def _fetch(self, table: Table, names: Sequence[str], chunk: Chunk | None) -> None:
        request = ReadRequest(
            token=self._token,
            source=self.id,
            table=table,
            columns=tuple(names),
            chunk=chunk,
        )
        arrays = decode_arrays(self._clients.stream(self._address, "Read", request.encode()))
        schema = self.schema(table)
        fits = len(arrays) == len(names) and all(
            array.type == schema.field(name).type for name, array in zip(names, arrays, strict=True)
        )
        if not fits:
            raise InvalidRequestError(f"{self._address} sent other columns than {list(names)}")
        place = None if chunk is None else chunk.index
        with self._lock:
            for name, array in zip(names, arrays, strict=True):
                self._columns[table, place, name] = array

    def statistics(self, chunk: Chunk, column: str) -> ColumnStatistics | None:
        return None

    def filters(self, stats: QueryStats) -> BlockFilters | None:
        return None

    def find_trace(self, trace_id: bytes, stats: QueryStats) -> SpanTables | None:
        found = self.find_traces([trace_id], stats)
        return found[0] if found else None

    def find_traces(self, trace_ids: Sequence[bytes], stats: QueryStats) -> list[SpanTables]:
        request = FindRequest(token=self._token, source=self.id, trace_ids=tuple(trace_ids))
        content = self._clients.stream(self._address, "FindTraces", request.encode())
        found = decode_tables(content)
        stats.inspected_bytes += sum(tables.nbytes for tables in found)
        return found
