"""What a search does, decided before any source is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from traceql import nodes
from traceql.attributes import Field
from traceql.errors import CheckError
from traceql.nodes import Node
from traceql.operators import REGEX, STRUCTURE, Operator
from traceql.plan import FetchPlan, plan
from traceql.render import render
from traceql.values import String
from traceql.walk import children, fields_of, walk
from tracestore.errors import InvalidRequestError
from tracestore.query.intrinsics import needs_whole_trace
from tracestore.query.matching import pattern_matcher
from tracestore.query.mentions import Mention, mentions


class MetricsMathError(InvalidRequestError):
    """Arithmetic over metrics was to be searched; it has no spans. HTTP 500, as Tempo answers it.

    Source: wire contract, section 4.
    """

    def __init__(self) -> None:
        super().__init__("math expressions not supported")


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPlan:
    """A search that the engine can do."""

    fetch: FetchPlan
    """The pipeline, its filters and which of them a trace must match."""
    filter_texts: tuple[str, ...]
    """Canonical text of each filter: equal ones are evaluated once."""
    pipe_texts: tuple[str, ...]
    """Canonical text of each pipeline that is a number, as it was written: answers name it so."""
    shown: tuple[Mention, ...]
    """Fields whose values are shown with each matched span."""
    needs_whole_trace: bool
    """Whether a part of a trace may fail to match although the whole trace has a match in it."""
    may_fail: bool
    """Whether a trace may fail the query: a structural operator that meets several spansets."""

    @property
    def required(self) -> tuple[tuple[int, ...], ...]:
        """Groups of filters, of each of which one matches a span of a matching trace.

        None are known of a query that may fail: the traces that do need not match.
        """
        return () if self.may_fail else self.fetch.required

    @property
    def tells(self) -> bool:
        """Whether spansets have attributes, or a trace may have several."""
        return any(
            isinstance(node, nodes.GroupBy | nodes.ScalarFilter)
            for node in walk(self.fetch.pipeline)
        )


def plan_search(query: nodes.Query) -> SearchPlan:
    """Decide how to answer a checked query; of a metrics query its spans are searched.

    Raises: MetricsMathError; CheckError for a pattern that RE2 refuses.
    """
    body = query.body
    if isinstance(body, nodes.MetricsMath):
        raise MetricsMathError
    pipeline = body.pipeline if isinstance(body, nodes.MetricsQuery) else body
    check_patterns(pipeline)
    fetch = plan(query)
    filters = tuple(node.expression for node in walk(pipeline) if isinstance(node, nodes.Filter))
    return SearchPlan(
        fetch=fetch,
        filter_texts=tuple(render(planned.filter) for planned in fetch.filters),
        pipe_texts=tuple(render(pipe) for pipe in scalar_pipes(pipeline)),
        shown=mentions(list(_expressions(pipeline)), filters),
        needs_whole_trace=any(map(_is_of_whole_trace, walk(pipeline)))
        or any(map(needs_whole_trace, _deciding_fields(pipeline))),
        may_fail=any(map(_may_fail, walk(pipeline))),
    )


def scalar_pipes(pipeline: nodes.Pipeline) -> Iterator[nodes.ScalarPipe]:
    """Yield the pipelines that are numbers, in the order of the text."""
    return (node for node in walk(pipeline) if isinstance(node, nodes.ScalarPipe))


def _expressions(node: Node) -> Iterator[nodes.FieldExpression]:
    """Yield the field expressions of a pipeline in the order of the text."""
    if isinstance(node, nodes.FieldExpression):
        yield node
        return
    for child in children(node):
        yield from _expressions(child)


def _deciding_fields(pipeline: nodes.Pipeline) -> Iterator[Field]:
    """Yield what filters ask for; what ``by`` and ``select`` ask for decides no match."""
    for node in walk(pipeline):
        if isinstance(node, nodes.Filter):
            yield from fields_of(node)


def _is_of_whole_trace(node: Node) -> bool:
    """Tell whether what a stage keeps depends on several spans."""
    if isinstance(node, nodes.SpansetOperation):
        return node.operator is not Operator.OR
    return isinstance(node, nodes.ScalarFilter)


def _may_fail(node: Node) -> bool:
    """Tell whether a side of a structural operator may be several spansets."""
    if not isinstance(node, nodes.SpansetOperation) or node.operator not in STRUCTURE:
        return False
    return any(
        isinstance(side, nodes.Pipeline)
        and any(isinstance(stage, nodes.GroupBy) for stage in side.stages)
        for side in (node.left, node.right)
    )


def check_patterns(root: Node) -> None:
    """Let RE2 compile every pattern. Raises: CheckError at the place of one that it refuses."""
    for node in walk(root):
        _check_pattern(node)


def _check_pattern(node: Node) -> None:
    """Let RE2 compile a pattern. Raises: CheckError at the place of one that it refuses."""
    if not isinstance(node, nodes.Binary) or node.operator not in REGEX:
        return
    assert isinstance(node.right, nodes.Literal)
    assert isinstance(node.right.value, String)
    try:
        pattern_matcher(node.right.value.value)
    except ValueError as error:
        raise CheckError(str(error), at=node.at) from error
