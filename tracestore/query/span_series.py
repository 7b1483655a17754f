"""What can be asked of the metrics that spans make, and the answer: series over a grid, as values.

They are what the metrics-generator counts as spans come in, counted of stored spans instead. How
many there are of what, in each interval: rates, ratios and quantiles are for who asks.

Source: wire contract, section 17; docs/service-graph.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from tracestore.errors import InvalidRequestError
from tracestore.model.results import QueryStats
from tracestore.model.series import Grid

Floats = npt.NDArray[np.float64]
Keys = npt.NDArray[np.int64]
LabelSet = tuple[tuple[str, str], ...]
"""Sorted by name; labels without a value are not in it."""


class Family(StrEnum):
    """Metrics that are counted together."""

    CALLS = "calls"
    """Spans: ``traces_spanmetrics_calls_total``."""
    LATENCY = "latency"
    """How long they took: ``traces_spanmetrics_latency``."""
    SIZE = "size"
    """``traces_spanmetrics_size_total``: how large they were as they came is not stored."""
    EDGES = "edges"
    """Requests between services: all of ``traces_service_graph_*``."""


SPAN_SIDE = "span"
SERVER_SIDE, CLIENT_SIDE, MESSAGING_SIDE = "server", "client", "messaging"
SIDES: Mapping[Family, tuple[str, ...]] = {
    Family.CALLS: (),
    Family.LATENCY: (SPAN_SIDE,),
    Family.SIZE: (),
    Family.EDGES: (SERVER_SIDE, CLIENT_SIDE, MESSAGING_SIDE),
}
"""Whose seconds a family has: of a request those of its server, its client, and on the way."""


class MatchOperator(StrEnum):
    """How a label is compared, as PromQL writes it."""

    EQUAL = "="
    NOT_EQUAL = "!="
    MATCH = "=~"
    NOT_MATCH = "!~"

    @property
    def is_negative(self) -> bool:
        """Whether it is the opposite of another."""
        return self in (MatchOperator.NOT_EQUAL, MatchOperator.NOT_MATCH)

    @property
    def is_regex(self) -> bool:
        """Whether the value is a pattern."""
        return self in (MatchOperator.MATCH, MatchOperator.NOT_MATCH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Matcher:
    """A condition on a label; patterns match the whole value, an absent label is empty."""

    label: str
    op: MatchOperator
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesQuestion:
    """Which series, and over what. Interval k has what ends in (start + k step, one step on].

    A span belongs to the time of its end, when it comes in; a request to the later end of its
    sides. So rates are those of a Prometheus that the generator writes to.
    """

    family: Family
    start_ns: int
    step_ns: int
    points: int
    matchers: tuple[Matcher, ...] = ()
    by: tuple[str, ...] | None = None
    """Labels that the series have; what they do not tell apart is added up. None: all labels."""
    filter: str = "{}"
    """TraceQL: only spans that match, of requests those of which one side matches."""
    has_buckets: bool = True
    """Whether the distribution of seconds is wanted."""
    bounds: tuple[float, ...] | None = None
    """Upper bounds of the buckets in seconds, ascending; None: those of the tenant's metrics."""
    exemplars: bool = False
    """Whether each series names the trace of its slowest and of a failed span or request."""
    is_graph: bool = False
    """Count requests as a graph needs it: one for each server span below a client span, whatever
    labels and histograms the tenant's settings have. Else, as the metric does, one for each client
    span."""

    @property
    def grid(self) -> Grid:
        """The intervals."""
        return Grid(origin_ns=self.start_ns, step_ns=self.step_ns, count=self.points)

    @property
    def sides(self) -> tuple[str, ...]:
        """Whose seconds are counted."""
        return SIDES[self.family]

    def check(self) -> None:
        """Raises: InvalidRequestError for what cannot be answered."""
        if self.family is Family.SIZE:
            raise InvalidRequestError(
                "traces_spanmetrics_size_total is not available from stored spans: how large a "
                "span was when it came in is not kept; the metrics-generator counts it"
            )
        if self.step_ns <= 0 or self.points <= 0:
            raise InvalidRequestError(
                f"the range of a metric needs steps, not {self.points} of {self.step_ns} ns"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTraces:
    """Traces that stand for a series."""

    slowest: str
    """Hexadecimal ID of the one with the slowest span or request."""
    slowest_s: float
    failed: str = ""
    """Of one with a failed one, the slowest of those; empty: none failed."""
    failed_s: float = -1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesCells:
    """The answer. Cells are kept sparse: C of S series and K intervals have spans.

    What is an array of (S, K) or (S, K, B + 1) is made when it is asked for.
    """

    family: Family
    points: int
    """K."""
    labels: tuple[LabelSet, ...]
    """(S,) in order."""
    bounds: tuple[float, ...]
    """(B,) upper bounds of the buckets in seconds; there is one more bucket beyond the last."""
    keys: Keys
    """(C,) series times K plus interval, ascending."""
    columns: tuple[Floats, ...]
    """(C,) of each: spans or requests, failed ones, and for each side the sum of its seconds."""
    bucket_keys: Keys
    """((series * sides + side) * (B + 1) + bucket) * K + interval, ascending."""
    bucket_counts: Floats
    shown: tuple[ShownTraces, ...] = ()
    """(S,) if asked for."""
    stats: QueryStats = field(default_factory=QueryStats)
    missing: tuple[str, ...] = ()
    """IDs of sources that could not be read; only where the caller takes a partial answer."""

    @property
    def is_partial(self) -> bool:
        """Whether something is missing."""
        return bool(self.missing)

    @property
    def why(self) -> str:
        """What is missing; empty: nothing."""
        names = ", ".join(self.missing)
        return f"blocks that could not be read are missing: {names}" if names else ""

    @property
    def sides(self) -> tuple[str, ...]:
        """Whose seconds there are."""
        return SIDES[self.family]

    @property
    def counts(self) -> Floats:
        """(S, K) spans or requests."""
        return self._dense(self.columns[0])

    @property
    def failed(self) -> Floats:
        """(S, K) those that failed."""
        return self._dense(self.columns[1])

    @property
    def sums(self) -> dict[str, Floats]:
        """(S, K) seconds, by side."""
        return {
            side: self._dense(column)
            for side, column in zip(self.sides, self.columns[2:], strict=True)
        }

    @property
    def buckets(self) -> dict[str, Floats]:
        """(S, K, B + 1) spans or requests by bucket, not cumulative, by side."""
        width, sides = len(self.bounds) + 1, len(self.sides)
        dense = np.zeros((len(self.labels), sides, width, self.points))
        dense.reshape(-1)[self.bucket_keys] = self.bucket_counts
        return {side: dense[:, place].transpose(0, 2, 1) for place, side in enumerate(self.sides)}

    def _dense(self, column: Floats) -> Floats:
        dense = np.zeros(len(self.labels) * self.points)
        dense[self.keys] = column
        return dense.reshape(len(self.labels), self.points)


def label_set(names: Sequence[str], texts: Sequence[str]) -> LabelSet:
    """Make a label set of names, in order, and texts."""
    return tuple((name, text) for name, text in zip(names, texts, strict=True) if text)
