"""Series of requests and of spans -> the graph of services. Pure; Python per edge and node.

Quantiles are read from exponential buckets, whose bounds are 4.4 % apart, so that is what they may
be off. Source: docs/service-graph.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracestore.errors import NotFoundError
from tracestore.model import span_metrics as names
from tracestore.model.service_graph import (
    GraphEdge,
    GraphNode,
    Latency,
    Neighbourhood,
    NodeType,
    Reached,
    Requests,
    ServiceGraph,
    ShownTrace,
)
from tracestore.query.graph_shape import circles, reached, reversed_successors
from tracestore.query.span_series import (
    CLIENT_SIDE,
    MESSAGING_SIDE,
    SERVER_SIDE,
    Family,
    SeriesCells,
    SeriesQuestion,
    ShownTraces,
)
from tracestore.query.totals import sum_stats

Counts = npt.NDArray[np.float64]
QUANTILES = (0.5, 0.95, 0.99)
BOUNDS_PER_OCTAVE = 16
_OCTAVES = 34
BOUNDS_S = tuple(
    1e-6 * 2 ** (place / BOUNDS_PER_OCTAVE) for place in range(_OCTAVES * BOUNDS_PER_OCTAVE + 1)
)
"""From a microsecond to nearly five hours; what is less is somewhere below the first."""


def graph_questions(start_ns: int, end_ns: int, filter: str) -> tuple[SeriesQuestion, ...]:
    """Ask for all that a graph is made of: requests, and the services there are.

    Args:
        filter: TraceQL; requests of which one side matches, services with a span that does.
    """
    step_ns = end_ns - start_ns
    requests = SeriesQuestion(
        family=Family.EDGES,
        start_ns=start_ns,
        step_ns=step_ns,
        points=1,
        filter=filter,
        bounds=BOUNDS_S,
        exemplars=True,
        is_graph=True,
    )
    services = SeriesQuestion(
        family=Family.CALLS,
        start_ns=start_ns,
        step_ns=step_ns,
        points=1,
        by=(names.SERVICE,),
        filter=filter,
        has_buckets=False,
        is_graph=True,
    )
    return requests, services


def make_graph(
    requests: SeriesCells,
    services: SeriesCells,
    *,
    start_ns: int,
    end_ns: int,
    service: str = "",
    depth_max: int = 0,
) -> ServiceGraph:
    """Make the graph of the answers to ``graph_questions``.

    Args:
        service: keep what this node has to do with; empty: everything.
        depth_max: how many calls from it; 0: any number.

    Raises: NotFoundError if there is no such node.
    """
    edges = _edges(requests)
    types = _types(edges, services)
    shape = _Shape.of(types, edges)
    around = None
    if service:
        around = shape.around(service, depth_max)
        near = (*around.dependencies, *around.dependents)
        kept = {service, *(one.name for one in near)}
        edges = [one for one in edges if one.edge.client in kept and one.edge.server in kept]
        shape = _Shape.of({name: kind for name, kind in types.items() if name in kept}, edges)
    missing = tuple(sorted({*requests.missing, *services.missing}))
    unread = f"blocks that could not be read are missing: {', '.join(missing)}" if missing else ""
    return ServiceGraph(
        start_ns=start_ns,
        end_ns=end_ns,
        nodes=tuple(shape.nodes()),
        edges=tuple(one.edge for one in edges),
        cycles=shape.cycles(),
        neighbourhood=around,
        stats=sum_stats([requests.stats, services.stats]),
        message=unread,
        missing=missing,
    )


@dataclass(frozen=True, slots=True)
class _MeasuredEdge:
    """An edge, and the distribution of what its server took."""

    edge: GraphEdge
    server: Counts


def _edges(cells: SeriesCells) -> list[_MeasuredEdge]:
    histograms = _histograms(cells)
    counts, failed = cells.counts, cells.failed
    nothing = np.zeros(len(cells.bounds) + 1)
    found = []
    for place, labels in enumerate(cells.labels):
        texts = dict(labels)
        server, client, waited = (
            histograms.get((place, side), nothing)
            for side in (SERVER_SIDE, CLIENT_SIDE, MESSAGING_SIDE)
        )
        slowest, slowest_failed = _shown(cells.shown[place]) if cells.shown else (None, None)
        edge = GraphEdge(
            client=texts.get(names.CLIENT, ""),
            server=texts.get(names.SERVER, ""),
            connection_type=texts.get(names.CONNECTION_TYPE, ""),
            virtual_node=texts.get(names.VIRTUAL_NODE, ""),
            requests=Requests(total=float(counts[place, 0]), failed=float(failed[place, 0])),
            server_latency=latency(server, cells.bounds),
            client_latency=latency(client, cells.bounds),
            messaging_latency=latency(waited, cells.bounds),
            slowest=slowest,
            slowest_failed=slowest_failed,
        )
        found.append(_MeasuredEdge(edge, server))
    found.sort(key=lambda one: (one.edge.client, one.edge.server, one.edge.connection_type))
    return found


def _shown(shown: ShownTraces) -> tuple[ShownTrace, ShownTrace | None]:
    slowest = ShownTrace(trace_id=shown.slowest, seconds=shown.slowest_s)
    if not shown.failed:
        return slowest, None
    return slowest, ShownTrace(trace_id=shown.failed, seconds=shown.failed_s)


def _histograms(cells: SeriesCells) -> dict[tuple[int, str], Counts]:
    """Get the counts by bucket of each series and side that has any."""
    width, sides = len(cells.bounds) + 1, cells.sides
    found: dict[tuple[int, str], Counts] = {}
    numbers, buckets = np.divmod(cells.bucket_keys, width)
    begins = np.flatnonzero(np.diff(numbers, prepend=-1) != 0)
    for begin, end in zip(begins, np.append(begins, len(numbers))[1:], strict=True):
        series, side = divmod(int(numbers[begin]), len(sides))
        histogram = np.zeros(width)
        histogram[buckets[begin:end]] = cells.bucket_counts[begin:end]
        found[series, sides[side]] = histogram
    return found


def latency(histogram: Counts, bounds: Sequence[float]) -> Latency:
    """Read the quantiles of a distribution.

    Args:
        histogram: (B + 1,) how many lie up to each bound, and beyond the last.
    """
    total = float(histogram.sum())
    if not total:
        return Latency(p50_s=None, p95_s=None, p99_s=None)
    cumulative = np.cumsum(histogram)
    p50, p95, p99 = (_quantile(cumulative, rank * total, bounds) for rank in QUANTILES)
    return Latency(p50_s=p50, p95_s=p95, p99_s=p99)


def _quantile(cumulative: Counts, rank: float, bounds: Sequence[float]) -> float:
    """Find the value of a rank: between the bounds of its bucket, geometrically."""
    bucket = int(np.searchsorted(cumulative, rank, side="left"))
    if bucket >= len(bounds):
        return float(bounds[-1])
    upper = bounds[bucket]
    before = float(cumulative[bucket - 1]) if bucket else 0.0
    inside = (rank - before) / (float(cumulative[bucket]) - before)
    if bucket == 0:
        return float(upper * inside)
    lower = bounds[bucket - 1]
    return float(lower * (upper / lower) ** inside)


def _types(edges: Sequence[_MeasuredEdge], services: SeriesCells) -> dict[str, NodeType]:
    """Tell what each node is: what sends spans is a service, whatever else it is called."""
    found: dict[str, NodeType] = {}
    for measured in edges:
        edge = measured.edge
        is_database = edge.connection_type == names.DATABASE
        called = NodeType.DATABASE if is_database else NodeType.SERVICE
        if edge.virtual_node == names.SERVER:
            called = NodeType.VIRTUAL
        caller = NodeType.VIRTUAL if edge.virtual_node == names.CLIENT else NodeType.SERVICE
        for name, kind in ((edge.client, caller), (edge.server, called)):
            found[name] = min(found.get(name, kind), kind, key=_RANKS.index)
    for labels in services.labels:
        if name := dict(labels).get(names.SERVICE, ""):
            found[name] = NodeType.SERVICE
    return {name: found[name] for name in sorted(found)}


_RANKS = (NodeType.SERVICE, NodeType.DATABASE, NodeType.VIRTUAL)


class _Shape:
    """The nodes by number, and who calls whom."""

    def __init__(
        self,
        types: Mapping[str, NodeType],
        edges: Sequence[_MeasuredEdge],
        successors: list[list[int]],
    ) -> None:
        self._names = list(types)
        self._types = types
        self._edges = edges
        self._successors = successors
        self._predecessors = reversed_successors(successors)

    @classmethod
    def of(cls, types: Mapping[str, NodeType], edges: Sequence[_MeasuredEdge]) -> _Shape:
        """Number the nodes."""
        numbers = {name: number for number, name in enumerate(types)}
        called: list[set[int]] = [set() for _ in types]
        for one in edges:
            called[numbers[one.edge.client]].add(numbers[one.edge.server])
        return cls(types, edges, [sorted(others) for others in called])

    def nodes(self) -> list[GraphNode]:
        """Make the nodes."""
        incoming = dict.fromkeys(self._names, Requests())
        outgoing = dict.fromkeys(self._names, Requests())
        taken: dict[str, Counts] = {}
        for one in self._edges:
            edge = one.edge
            incoming[edge.server] += edge.requests
            outgoing[edge.client] += edge.requests
            known = taken.get(edge.server)
            taken[edge.server] = one.server if known is None else known + one.server
        return [
            GraphNode(
                name=name,
                type=self._types[name],
                incoming=incoming[name],
                outgoing=outgoing[name],
                server=latency(taken.get(name, np.zeros(1)), BOUNDS_S),
                fan_in=len([one for one in self._predecessors[number] if one != number]),
                fan_out=len([one for one in self._successors[number] if one != number]),
            )
            for number, name in enumerate(self._names)
        ]

    def cycles(self) -> tuple[tuple[str, ...], ...]:
        """Find the circles."""
        found = circles(self._successors)
        return tuple(tuple(self._names[number] for number in one) for one in found)

    def around(self, name: str, depth_max: int) -> Neighbourhood:
        """Find what a node has to do with. Raises: NotFoundError."""
        if name not in self._types:
            raise NotFoundError(f"service {name!r} has no spans in the range")
        number = self._names.index(name)
        return Neighbourhood(
            name=name,
            dependencies=self._reached(self._successors, number, depth_max),
            dependents=self._reached(self._predecessors, number, depth_max),
        )

    def _reached(
        self, successors: list[list[int]], start: int, depth_max: int
    ) -> tuple[Reached, ...]:
        found = [
            Reached(name=self._names[number], type=self._types[self._names[number]], depth=depth)
            for number, depth in reached(successors, start).items()
            if not depth_max or depth <= depth_max
        ]
        return tuple(sorted(found, key=lambda one: (one.depth, one.name)))
