"""What a metrics query computes, decided before any source is looked at.

Equal parts of a query are computed once. Source: TraceQL reference, 2.6, 6.8, 6.10, 6.12.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from traceql import nodes
from traceql.attributes import Field
from traceql.values import Bool, Int
from traceql.walk import fields_of
from tracestore.errors import InvalidRequestError
from tracestore.query.intrinsics import needs_whole_trace
from tracestore.query.plan import SearchPlan, check_patterns, plan_search


class NotMetricsError(InvalidRequestError):
    """A search was sent where metrics are answered."""

    def __init__(self) -> None:
        super().__init__("not a metrics query")


@dataclass(frozen=True, slots=True, kw_only=True)
class SubQuery:
    """A pipeline and the function that its spans feed."""

    search: SearchPlan
    """``needs_whole_trace`` is true if labels or values are another thing of a part, too."""
    function: nodes.MetricsAggregate | nodes.Compare

    @property
    def fields(self) -> tuple[Field, ...]:
        """What the query mentions: the labels of its exemplars."""
        mentioned = (*self.search.fetch.fields, *_own_fields(self.function))
        return tuple(dict.fromkeys(mentioned))


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsPlan:
    """A metrics query that the engine can do."""

    body: nodes.MetricsQuery | nodes.MetricsMath
    queries: tuple[SubQuery, ...]
    """Distinct, in the order of the text."""
    places: dict[int, int]
    """By id of a node of ``body``, which of the queries it is."""
    exemplars: int | None
    """How many the query asks for by a hint; None: it says nothing."""
    extrapolate: bool
    """Whether spans count for those that were left out by chance; a hint, too."""

    @property
    def needs_whole_trace(self) -> bool:
        """Whether traces in parts must be put together before they are looked at."""
        return any(query.search.needs_whole_trace for query in self.queries)

    def query_of(self, node: nodes.MetricsQuery) -> int:
        """Find which of the queries a part of the body is."""
        return self.places[id(node)]


def plan_metrics(query: nodes.Query) -> MetricsPlan:
    """Decide how to answer a checked query.

    Raises: NotMetricsError; CheckError for a pattern that RE2 refuses.
    """
    body = query.body
    if isinstance(body, nodes.Pipeline):
        raise NotMetricsError
    distinct: dict[nodes.MetricsQuery, SubQuery] = {}
    places = {}
    for node in _queries(body):
        key = nodes.MetricsQuery(node.pipeline, node.function)
        if key not in distinct:
            distinct[key] = _plan(key)
        places[id(node)] = list(distinct).index(key)
    return MetricsPlan(
        body=body,
        queries=tuple(distinct.values()),
        places=places,
        exemplars=_exemplars(query),
        extrapolate=query.hint("extrapolate", Bool) == Bool(True),
    )


def _queries(node: nodes.MathOperand) -> Iterator[nodes.MetricsQuery]:
    if isinstance(node, nodes.MetricsMath):
        yield from _queries(node.left)
        yield from _queries(node.right)
    elif isinstance(node, nodes.MetricsQuery):
        yield node


def _plan(query: nodes.MetricsQuery) -> SubQuery:
    function = query.function
    search = plan_search(nodes.Query(query))
    if isinstance(function, nodes.Compare):
        check_patterns(function.selection)
    is_whole = isinstance(function, nodes.Compare) or any(
        map(needs_whole_trace, _own_fields(function))
    )
    if is_whole:
        search = replace(search, needs_whole_trace=True)
    return SubQuery(search=search, function=function)


def _own_fields(function: nodes.MetricsAggregate | nodes.Compare) -> tuple[Field, ...]:
    return tuple(fields_of(function))


def _exemplars(query: nodes.Query) -> int | None:
    """Read the hint: a number, or whether there should be any."""
    for hint in query.hints:
        if hint.name != "exemplars":
            continue
        if isinstance(hint.value, Bool):
            return None if hint.value.value else 0
        if isinstance(hint.value, Int):
            return max(0, hint.value.value)
    return None
