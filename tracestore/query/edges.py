"""Requests between services, out of the spans of a chunk: pairs, databases, and sides never seen.

Stored spans are complete, so a side that is not in the trace is one that never came. Traces must be
whole here. Everything is arrays over the spans that take part.

Source: wire contract, section 17.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from tracestore import kernel
from tracestore.model import span_metrics as names
from tracestore.query.chunk_spans import ChunkSpans
from tracestore.query.label_texts import Codes, LabelTexts
from tracestore.query.masks import BoolArray, Mask, to_array
from tracestore.query.scan import ChunkScan
from tracestore.settings.generator_tree import ServiceGraphsSettings

Rows = npt.NDArray[np.int64]
Times = npt.NDArray[np.uint64]
SERVICE_NAME = "service.name"
_NOBODY, _CLIENT, _PRODUCER, _SERVER = 0, 1, 2, 3
_SIDE_OF_KIND = np.array(
    [_NOBODY, _NOBODY, _SERVER, _CLIENT, _PRODUCER, _SERVER, _NOBODY], np.uint8
)
"""The last one stands for kinds that are not known."""
_KIND_PRODUCER, _KIND_CONSUMER = 4, 5
NO_SPAN = -1


class Connection(IntEnum):
    """What kind of request it is; the place in ``CONNECTION_TEXTS``."""

    PLAIN = 0
    MESSAGING = 1
    DATABASE = 2
    VIRTUAL = 3


CONNECTION_TEXTS = ("", names.MESSAGING_SYSTEM, names.DATABASE, names.VIRTUAL_NODE)


class VirtualSide(IntEnum):
    """Which side was never seen; the place in ``VIRTUAL_TEXTS``."""

    NONE = 0
    CLIENT = 1
    SERVER = 2


VIRTUAL_TEXTS = ("", names.CLIENT, names.SERVER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """E requests of a chunk, by the rows of their spans there."""

    client: Rows
    """(E,) -1: there is no client span."""
    server: Rows
    """(E,) -1: there is no server span."""
    client_name: Codes
    server_name: Codes
    connection: npt.NDArray[np.uint8]
    virtual: npt.NDArray[np.uint8]
    also_failed: npt.NDArray[np.bool_]
    """Whether a server span failed whose place another one took."""

    def __len__(self) -> int:
        return len(self.client)

    def take(self, rows: Rows | npt.NDArray[np.bool_]) -> Edges:
        """Take some of them."""
        return Edges(
            client=self.client[rows],
            server=self.server[rows],
            client_name=self.client_name[rows],
            server_name=self.server_name[rows],
            connection=self.connection[rows],
            virtual=self.virtual[rows],
            also_failed=self.also_failed[rows],
        )

    @property
    def spans(self) -> Rows:
        """(E,) a span of each."""
        return np.where(self.client >= 0, self.client, self.server)

    def later(self, end_ns: Times) -> Rows:
        """Find the span of each that ends last. Args: end_ns: (N,) of the spans of the chunk."""
        has_both = (self.client >= 0) & (self.server >= 0)
        is_server_last = end_ns[self.server] > end_ns[self.client]
        return np.where(has_both & is_server_last, self.server, self.spans)


class EdgeFinder:
    """Finds the requests in the chunks of one source."""

    def __init__(
        self, texts: LabelTexts, settings: ServiceGraphsSettings, *, is_every_server: bool
    ) -> None:
        """Take the rules.

        Args:
            is_every_server: each server span below a client span is a request; else a client span
                makes one, as with the generator that takes spans in the order of their ends.
        """
        self._texts = texts
        self._settings = settings
        self._is_every_server = is_every_server

    def find(self, spans: ChunkSpans, allowed: Mask) -> Edges:
        """Find the requests between spans of which some may take part."""
        scan = spans.scan
        services = self._texts.of_resource(scan, SERVICE_NAME)
        sides = self._sides(spans, services, allowed)
        parents = spans.ids("parent_span_id")
        callers = kernel.pair_calls(scan.span_counts, spans.ids("span_id"), parents, sides)
        calls = self._calls(spans, callers)
        clients = np.flatnonzero((sides == _CLIENT) | (sides == _PRODUCER))
        plain = np.flatnonzero(sides == _CLIENT)
        databases = self._databases(scan, plain)
        asking, databases = plain[databases != 0], databases[databases != 0]
        is_settled = np.zeros(scan.chunk.spans, np.bool_)
        is_settled[asking] = True
        pairs = calls.take(~is_settled[calls.client])
        also_failed = np.zeros(scan.chunk.spans, np.bool_)
        also_failed[calls.client] = calls.also_failed
        is_settled[pairs.client] = True
        roots = np.flatnonzero((sides == _SERVER) & (parents == 0))
        parts = [
            self._pairs(spans, services, pairs),
            self._to_databases(scan, services, asking, databases, also_failed[asking]),
            self._to_nowhere(scan, services, clients[~is_settled[clients]]),
            self._from_nowhere(scan, services, roots),
        ]
        return _joined(parts)

    def _calls(self, spans: ChunkSpans, callers: npt.NDArray[np.int32]) -> _Calls:
        servers = np.flatnonzero(callers >= 0)
        clients = callers[servers].astype(np.int64)
        if not self._is_every_server:
            return _one_of_each(spans, clients, servers)
        return _Calls(clients, servers, np.zeros(len(servers), np.bool_))

    def _sides(self, spans: ChunkSpans, services: Codes, allowed: Mask) -> npt.NDArray[np.uint8]:
        """Tell what each span is of a request, if it takes part in one."""
        kinds = spans.kinds
        known = np.clip(kinds, 0, len(_SIDE_OF_KIND))
        sides = _SIDE_OF_KIND.take(known)
        sides *= services != 0
        return sides if allowed is True else sides * to_array(allowed, len(kinds))

    def _pairs(self, spans: ChunkSpans, services: Codes, calls: _Calls) -> Edges:
        kinds, clients, servers = spans.kinds, calls.client, calls.server
        is_message = (kinds[clients] == _KIND_PRODUCER) | (kinds[servers] == _KIND_CONSUMER)
        connection = np.where(is_message, Connection.MESSAGING, Connection.PLAIN)
        return Edges(
            client=clients,
            server=servers,
            client_name=services[clients],
            server_name=services[servers],
            connection=connection.astype(np.uint8),
            virtual=np.zeros(len(clients), np.uint8),
            also_failed=calls.also_failed,
        )

    # --- databases -----------------------------------------------------------------------------

    def _databases(self, scan: ChunkScan, clients: Rows) -> Codes:
        """Number the name of the database that each client asks; 0: it asks none."""
        keys = self._settings.database_name_attributes
        return self._texts.first_of(scan, keys, clients, of_resource=True)

    def _to_databases(
        self,
        scan: ChunkScan,
        services: Codes,
        rows: Rows,
        said: Codes,
        also_failed: BoolArray,
    ) -> Edges:
        keys = ("peer.service", "server.address")
        found = self._texts.first_of(scan, keys, rows, of_resource=True)
        missing = np.flatnonzero(found == 0)
        found[missing] = self._peer_address(scan, rows[missing])
        found = np.where(found == 0, said, found)
        made = _lone(rows, services[rows], found, connection=Connection.DATABASE)
        return replace(made, also_failed=also_failed)

    def _peer_address(self, scan: ChunkScan, rows: Rows) -> Codes:
        address = self._texts.of_either(scan, "network.peer.address", rows)
        port = self._texts.of_either(scan, "network.peer.port", rows)
        joined = self._texts.texts.of_pairs(address, port, ":")
        return np.where(address == 0, address, joined)

    # --- sides that were never seen --------------------------------------------------------------

    def _to_nowhere(self, scan: ChunkScan, services: Codes, rows: Rows) -> Edges:
        """Make requests of clients without a server that name whom they call."""
        peers = self._peers(scan, rows)
        rows, peers = rows[peers != 0], peers[peers != 0]
        return _lone(rows, services[rows], peers, connection=Connection.VIRTUAL)

    def _from_nowhere(self, scan: ChunkScan, services: Codes, rows: Rows) -> Edges:
        """Make requests of root servers without a client."""
        peers = self._peers(scan, rows)
        callers = np.where(peers == 0, np.int32(self._texts.texts.number(names.USER)), peers)
        return Edges(
            client=np.full(len(rows), NO_SPAN),
            server=rows,
            client_name=callers,
            server_name=services[rows],
            connection=np.full(len(rows), Connection.VIRTUAL, np.uint8),
            virtual=np.full(len(rows), VirtualSide.CLIENT, np.uint8),
            also_failed=np.zeros(len(rows), np.bool_),
        )

    def _peers(self, scan: ChunkScan, rows: Rows) -> Codes:
        keys = self._settings.peer_attributes
        return self._texts.first_of(scan, keys, rows, of_resource=False)


def _lone(rows: Rows, services: Codes, called: Codes, *, connection: Connection) -> Edges:
    """Make requests of client spans alone."""
    virtual = VirtualSide.SERVER if connection is Connection.VIRTUAL else VirtualSide.NONE
    return Edges(
        client=rows,
        server=np.full(len(rows), NO_SPAN),
        client_name=services,
        server_name=called,
        connection=np.full(len(rows), connection, np.uint8),
        virtual=np.full(len(rows), virtual, np.uint8),
        also_failed=np.zeros(len(rows), np.bool_),
    )


def _joined(parts: Sequence[Edges]) -> Edges:
    return Edges(
        client=np.concatenate([part.client for part in parts]),
        server=np.concatenate([part.server for part in parts]),
        client_name=np.concatenate([part.client_name for part in parts]),
        server_name=np.concatenate([part.server_name for part in parts]),
        connection=np.concatenate([part.connection for part in parts]),
        virtual=np.concatenate([part.virtual for part in parts]),
        also_failed=np.concatenate([part.also_failed for part in parts]),
    )


@dataclass(frozen=True, slots=True)
class _Calls:
    """Pairs of a client span and a server span, and what is known beside."""

    client: Rows
    server: Rows
    also_failed: BoolArray

    def take(self, rows: BoolArray) -> _Calls:
        return _Calls(self.client[rows], self.server[rows], self.also_failed[rows])


def _one_of_each(spans: ChunkSpans, clients: Rows, servers: Rows) -> _Calls:
    """Keep one server span of each client span.

    The generator takes spans as they come: a server span waits for its client and is replaced by
    the next one, which keeps what failed; once both are there the request is over. So it is the
    last of those that ended before the client did, else the first behind it.
    """
    if len(servers) == 0:
        return _Calls(clients, servers, np.zeros(0, np.bool_))
    ids = spans.ids("span_id").byteswap()  # in memory the first byte comes first
    if np.bincount(clients).max() == 1:
        is_before = _ends_before(spans, ids, servers, clients)
        return _Calls(clients, servers, is_before & spans.is_failed[servers])
    order = np.lexsort((spans.kinds[servers], ids[servers], spans.end_ns[servers], clients))
    clients, servers = clients[order], servers[order]
    is_before = _ends_before(spans, ids, servers, clients)
    begins = np.flatnonzero(np.diff(clients, prepend=-1) != 0)
    before = np.add.reduceat(is_before.astype(np.int64), begins)
    failed = np.add.reduceat(is_before & spans.is_failed[servers], begins, dtype=np.int64)
    kept = begins + np.maximum(before - 1, 0)
    return _Calls(clients[kept], servers[kept], failed > 0)


def _ends_before(spans: ChunkSpans, ids: Times, first: Rows, second: Rows) -> BoolArray:
    """Tell which spans come before others: by their ends, then by ID, then by kind."""
    before = spans.kinds[first] < spans.kinds[second]
    for values in (ids, spans.end_ns):
        own, other = values[first], values[second]
        before = (own < other) | ((own == other) & before)
    return before
