"""A graph of services as values: who calls whom, how often, how well; and what its shape says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tracestore.model.results import QueryStats


class NodeType(StrEnum):
    """What a node is."""

    SERVICE = "service"
    """Sends spans."""
    DATABASE = "database"
    VIRTUAL = "virtual_node"
    """Was never seen itself: named by who calls it, or ``user``, who calls from outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Quantiles in seconds; None: nothing was observed."""

    p50_s: float | None
    p95_s: float | None
    p99_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """How many, and how many of them failed."""

    total: float = 0.0
    failed: float = 0.0

    def __add__(self, other: Requests) -> Requests:
        return Requests(total=self.total + other.total, failed=self.failed + other.failed)

    @property
    def error_ratio(self) -> float:
        """Failed ones of all; 0 if there are none."""
        return self.failed / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphNode:
    """A service, or what services call."""

    name: str
    type: NodeType
    incoming: Requests
    outgoing: Requests
    server: Latency
    """Of what comes in, as measured by the node itself (by its callers if it is a database)."""
    fan_in: int
    """How many other nodes call it."""
    fan_out: int
    """How many other nodes it calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTrace:
    """A trace to look at."""

    trace_id: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphEdge:
    """Requests of one kind from one node to another."""

    client: str
    server: str
    connection_type: str
    """Empty, ``messaging_system``, ``database`` or ``virtual_node``."""
    virtual_node: str
    """Which side was never seen: ``client`` or ``server``; empty: none."""
    requests: Requests
    server_latency: Latency
    client_latency: Latency
    messaging_latency: Latency
    """From the end of the producer to the start of the consumer."""
    slowest: ShownTrace | None
    slowest_failed: ShownTrace | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A node that can be reached from another."""

    name: str
    type: NodeType
    depth: int
    """Calls between them, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbourhood:
    """What one node has to do with, directly or not."""

    name: str
    dependencies: tuple[Reached, ...]
    """What it depends on: all it calls, and what those call. Nearest first."""
    dependents: tuple[Reached, ...]
    """What depends on it, its blast radius: all that call it, and what calls those."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceGraph:
    """The answer."""

    start_ns: int
    end_ns: int
    nodes: tuple[GraphNode, ...]
    """By name."""
    edges: tuple[GraphEdge, ...]
    """By client, server and type."""
    cycles: tuple[tuple[str, ...], ...]
    """Nodes that call one another in a circle, however long; also each that calls itself."""
    neighbourhood: Neighbourhood | None = None
    """Of the service asked for: then only what it has to do with is in the graph."""
    stats: QueryStats
    message: str = ""
    """What the answer lacks; empty if it is complete."""
    missing: tuple[str, ...] = ()
    """IDs of sources that could not be read."""

    @property
    def seconds(self) -> float:
        """Length of the range."""
        return (self.end_ns - self.start_ns) / 1e9
