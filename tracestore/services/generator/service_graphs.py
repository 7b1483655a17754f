"""The service graph: requests from one service to another, paired from their two spans.

A client span waits for the server span that it is the parent of, or the other way round. What is
left alone after a while becomes an edge to a virtual node if the span says of whom, else nothing.

Source: wire contract, 17.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracestore.kernel import EdgeStore, TextTable
from tracestore.model import span_metrics as names
from tracestore.services.generator.histograms import Observations
from tracestore.services.generator.instruments import Counter, Gauge
from tracestore.services.generator.latency import Latencies, LatencyKinds
from tracestore.services.generator.policies import Policies
from tracestore.services.generator.reading import SpanBatch
from tracestore.services.generator.series import Context, Group, SeriesInstrument
from tracestore.services.generator.vocabulary import ABSENT, EMPTY, Numbers, Vocabulary
from tracestore.services.generator.weights import SpanWeights
from tracestore.settings.generator_tree import ServiceGraphsSettings

REQUEST: Final = "service-graphs-request"
LATENCY: Final = "service-graphs-latency"
CONNECTION_INFO: Final = "service-graphs-connection-info"
PARTS: Final = frozenset({REQUEST, LATENCY, CONNECTION_INFO})

PLAIN, MESSAGING, DATABASE, VIRTUAL = range(4)
_CONNECTIONS: Final = ("", names.MESSAGING_SYSTEM, names.DATABASE, names.VIRTUAL_NODE)
_BOTH_SIDES: Final = 3
_CLIENT_SIDE: Final = 1
Mask = npt.NDArray[np.bool_]
Edges = npt.NDArray[np.void]


@dataclass(slots=True)
class PairingCounts:
    """What became of spans that make no edge."""

    filtered: int = 0
    """Left out by a filter, or because their other side was."""
    dropped: int = 0
    """Refused, for too many wait."""
    edges: int = 0
    """Edges that came about."""
    expired: dict[str, int] | None = None
    """Edges that nobody completed, by the kind of the span that came."""


class ServiceGraphs:
    """Pairs spans and counts requests. Used by one thread at a time."""

    name = "service-graphs"

    def __init__(
        self, settings: ServiceGraphsSettings, parts: frozenset[str], kinds: LatencyKinds
    ) -> None:
        """Args:
        parts: which of ``PARTS`` are made.
        kinds: which histograms, and how.
        """
        self._settings = settings
        self._policies = Policies(settings.filter_policies)
        self._weights = SpanWeights(
            ratio_key=settings.span_multiplier_key,
            use_trace_state=settings.enable_tracestate_span_multiplier,
        )
        self._store = EdgeStore(len(settings.dimensions))
        self._addresses = _PeerAddresses()
        self._families = _Families(settings, parts, kinds)
        self.group = Group(self._labels(), self._families.instruments)
        self.groups = (self.group,)

    def _labels(self) -> list[str]:
        virtual = [names.VIRTUAL_NODE] if self._settings.enable_virtual_node_label else []
        dimensions = [names.label_name(key) for key in self._settings.dimensions]
        if self._settings.enable_client_server_prefix:
            dimensions = [
                f"{side}_{name}" for side in (names.CLIENT, names.SERVER) for name in dimensions
            ]
        return [names.CLIENT, names.SERVER, names.CONNECTION_TYPE, *virtual, *dimensions]

    @property
    def waiting(self) -> int:
        """Requests that wait for their other side."""
        return len(self._store)

    def consume(self, batch: SpanBatch, context: Context) -> PairingCounts:
        """Pair spans with those that wait and with one another."""
        labels = np.empty((len(batch), len(self._settings.dimensions)), np.int32)
        for column, key in enumerate(self._settings.dimensions):
            labels[:, column] = batch.attribute(key)
        kept = self._policies.kept(batch)
        edges, edge_labels, dropped, filtered = self._store.add(
            batch.rows,
            batch.trace_ids,
            batch.services,
            self._peers(batch),
            self._databases(batch),
            labels,
            self._weights.of(batch),
            None if kept is None else (~kept).view(np.uint8),
            int(context.now_s * 1e9),
            self._settings.max_items,
            MESSAGING,
            DATABASE,
        )
        self._count(edges, edge_labels, context)
        return PairingCounts(filtered=filtered, dropped=dropped, edges=len(edges))

    def _peers(self, batch: SpanBatch) -> Numbers:
        """Get the name of the peer of each span, ``ABSENT`` without."""
        peers = np.full(len(batch), ABSENT, np.int32)
        for key in reversed(self._settings.peer_attributes):
            values = batch.find_own(key)
            if values is not None:
                peers = np.where(values > EMPTY, values, peers)
        return peers

    def _databases(self, batch: SpanBatch) -> Numbers:
        """Get what a database that a span calls is called; 0: it calls none."""
        found = np.zeros(len(batch), np.int32)
        is_any = False
        for key in reversed(self._settings.database_name_attributes):
            values = batch.find(key)
            if values is not None:
                found, is_any = np.where(values > EMPTY, values, found), True
        if not is_any:
            return found
        is_database = found > EMPTY
        for values in (self._addresses.find(batch), *map(batch.find, _SERVER_NAMES)):
            if values is not None:
                found = np.where(is_database & (values > EMPTY), values, found)
        return found

    def expire(self, context: Context) -> PairingCounts:
        """End the waiting of what has waited long enough."""
        before = int((context.now_s - self._settings.wait_s) * 1e9)
        edges, labels = self._store.expire(before)
        if len(edges) == 0:
            return PairingCounts()
        edges["connection"] = VIRTUAL
        from_nowhere = (edges["client"] <= EMPTY) & (edges["is_root"] > 0)
        to_peer = (edges["server"] <= EMPTY) & (edges["client"] > EMPTY) & (edges["peer"] > EMPTY)
        user = np.int32(context.vocabulary.number(names.USER))
        peer = edges["peer"]
        edges["client"] = np.where(
            from_nowhere, np.where(peer > EMPTY, peer, user), edges["client"]
        )
        edges["server"] = np.where(to_peer, peer, edges["server"])
        whole = from_nowhere | to_peer
        self._count(edges[whole], labels[whole], context, is_client_virtual=from_nowhere[whole])
        kinds, counts = np.unique(edges["kind"][~whole], return_counts=True)
        expired = {
            names.KIND_NAMES[kind]: int(count) for kind, count in zip(kinds, counts, strict=True)
        }
        return PairingCounts(edges=int(whole.sum()), expired=expired)

    def _count(
        self, edges: Edges, labels: Numbers, context: Context, is_client_virtual: Mask | None = None
    ) -> None:
        """Count edges that are whole."""
        if len(edges) == 0:
            return
        vocabulary = context.vocabulary
        columns = [edges["client"], edges["server"]]
        connections = np.array([vocabulary.number(text) for text in _CONNECTIONS], np.int32)
        columns.append(connections[edges["connection"]])
        if self._settings.enable_virtual_node_label:
            client, server = (vocabulary.number(text) for text in (names.CLIENT, names.SERVER))
            virtual = np.zeros(len(edges), np.int32)
            if is_client_virtual is not None:
                virtual = np.where(is_client_virtual, client, server).astype(np.int32)
            columns.append(virtual)
        columns += self._dimensions(edges, labels)
        rows = np.ascontiguousarray(np.stack(columns, axis=1))
        self._families.count(self.group.places(rows, context), edges, context.now_s)

    def _dimensions(self, edges: Edges, labels: Numbers) -> list[Numbers]:
        width = len(self._settings.dimensions)
        if not self._settings.enable_client_server_prefix:
            of_client, of_server = labels[:, :width], labels[:, width:]
            is_client_later = (edges["last_side"] == _CLIENT_SIDE)[:, None]
            later = np.where(is_client_later, of_client, of_server)
            earlier = np.where(is_client_later, of_server, of_client)
            labels = np.where(later == ABSENT, earlier, later)
        return [np.where(column == ABSENT, np.int32(EMPTY), column) for column in labels.T]

    def forget(self) -> None:
        """Forget what numbers of texts meant, for the vocabulary is another one."""
        self._policies.forget()
        self._addresses = _PeerAddresses()

    def used(self) -> list[Numbers]:
        """Name the numbers of texts that are in use."""
        waiting = self._store.texts()
        return [self.group.entities.rows[1:].reshape(-1), waiting[waiting >= 0]]

    def renumber(self, numbers: Numbers) -> None:
        """Put new numbers of texts for the old ones."""
        self.group.entities.renumber(numbers)
        self._store.renumber(numbers)
        self.forget()


_SERVER_NAMES: Final = ("server.address", "peer.service")
"""Attributes that name a database better than its own name does, the best last."""


class _PeerAddresses:
    """``network.peer.address`` with its port, as one text."""

    def __init__(self) -> None:
        self._pairs = TextTable()
        self._joined = np.empty(0, np.int32)

    def find(self, batch: SpanBatch) -> Numbers | None:
        """Get the address of each span: (n,), 0 without; None if no span has one."""
        address = batch.find("network.peer.address")
        if address is None:
            return None
        port = batch.attribute("network.peer.port")
        pairs = np.maximum(np.stack([address, port], axis=1), EMPTY)
        numbers = self._pairs.intern_rows(np.ascontiguousarray(pairs))
        known = len(self._joined)
        if known < len(self._pairs):
            new = self._pairs.rows(2, known)
            texts = _with_port(batch.vocabulary, new)
            self._joined = np.concatenate([self._joined, batch.vocabulary.numbers(texts)])
        found: Numbers = self._joined[numbers]
        return found


def _with_port(vocabulary: Vocabulary, pairs: Numbers) -> pa.StringArray:
    address, port = (vocabulary.take(np.ascontiguousarray(pairs[:, i])) for i in (0, 1))
    whole = pc.if_else(pc.equal(port, ""), address, pc.binary_join_element_wise(address, port, ":"))
    return pc.if_else(pc.equal(address, ""), "", whole)


class _Families:
    """The metrics of edges."""

    def __init__(
        self, settings: ServiceGraphsSettings, parts: frozenset[str], kinds: LatencyKinds
    ) -> None:
        has_requests, has_latency = REQUEST in parts, LATENCY in parts
        self._requests = Counter(names.REQUESTS, "Requests.") if has_requests else None
        self._failed = (
            Counter(names.FAILED_REQUESTS, "Requests that failed on either side.")
            if has_requests
            else None
        )
        self._info = (
            Gauge(names.CONNECTION_INFO, "1 for each connection.")
            if CONNECTION_INFO in parts
            else None
        )
        buckets = settings.histogram_buckets
        has_messaging = has_latency and settings.enable_messaging_system_latency_histogram
        self._server, self._client, self._messaging = (
            Latencies(name, help_text, buckets, kinds) if wanted else None
            for name, help_text, wanted in (
                (names.SERVER_SECONDS, "Duration seen by the server.", has_latency),
                (names.CLIENT_SECONDS, "Duration seen by the client.", has_latency),
                (names.MESSAGING_SECONDS, "Time from producer to consumer.", has_messaging),
            )
        )

    @property
    def instruments(self) -> Sequence[SeriesInstrument]:
        """All that there is."""
        found: list[Any] = [
            one for one in (self._requests, self._failed, self._info) if one is not None
        ]
        for latency in (self._server, self._client, self._messaging):
            found += [] if latency is None else latency.instruments
        return found

    def count(self, places: Numbers, edges: Edges, now_s: float) -> None:
        """Count edges at their places."""
        weights = np.ascontiguousarray(edges["multiplier"])
        if self._requests is not None:
            self._requests.add(places, weights)
        if self._failed is not None:
            failed = edges["failed"] != 0
            self._failed.add(places[failed], weights[failed])
        if self._info is not None:
            self._info.show(places)
        trace_ids = np.stack([edges["trace_high"], edges["trace_low"]], axis=1)
        every = np.ones(len(edges), np.bool_)
        if self._messaging is not None:
            between = (edges["server_start"] - edges["client_end"]).view(np.int64) / 1e9
            is_message = (edges["connection"] == MESSAGING) & (edges["sides"] == _BOTH_SIDES)
        for latency, seconds, chosen in (
            (self._server, edges["server_seconds"], every),
            (self._client, edges["client_seconds"], every),
            *(
                ((self._messaging, between, is_message & (between > 0)),)
                if self._messaging is not None
                else ()
            ),
        ):
            if latency is not None:
                seen = Observations(
                    places=places[chosen],
                    seconds=np.ascontiguousarray(seconds[chosen]),
                    weights=weights[chosen],
                    trace_ids=trace_ids[chosen],
                )
                latency.observe(seen, now_s)
