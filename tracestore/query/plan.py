"""What a search does, decided before any source is looked at."""

from __future__ import annotations

from dataclasses import dataclass

from traceql import nodes
from traceql.errors import CheckError, UnsupportedError
from traceql.operators import REGEX
from traceql.rewrite import rewrite
from traceql.values import String
from traceql.walk import walk
from tracestore.query.bind import references, require_supported
from tracestore.query.intrinsics import NEEDS_WHOLE_TRACE
from tracestore.query.matching import pattern_matcher
from tracestore.query.spansets import Mention, mentions


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPlan:
    """A search that the engine can do."""

    filter: nodes.FieldExpression
    shown: tuple[Mention, ...]
    """Fields whose values are shown with each matched span."""
    needs_whole_trace: bool
    """Whether a part of a trace may fail to match although the whole trace has a match in it."""


def plan_search(query: nodes.Query) -> SearchPlan:
    """Decide how to answer a checked query.

    Raises: UnsupportedError for what is not evaluated yet: anything but one ``{ … }``, and fields
    of events, links and the parent span.
    """
    body = query.body
    if not isinstance(body, nodes.Pipeline):
        raise UnsupportedError("metrics queries are not yet supported", at=body.at)
    stage = body.stages[0]
    if len(body.stages) > 1:
        raise UnsupportedError("pipelines are not yet supported", at=body.stages[1].at)
    if not isinstance(stage, nodes.Filter):
        raise UnsupportedError("operators between spansets are not yet supported", at=stage.at)
    require_supported(stage.expression)
    _check_patterns(stage.expression)
    fields = {reference.field for reference in references(stage.expression)}
    return SearchPlan(
        filter=rewrite(stage).expression,
        shown=mentions([stage.expression]),
        needs_whole_trace=not fields.isdisjoint(NEEDS_WHOLE_TRACE),
    )


def _check_patterns(expression: nodes.FieldExpression) -> None:
    """Let RE2 compile the patterns. Raises: CheckError at the place of one that it refuses."""
    for node in walk(expression):
        patterns: tuple[str, ...] = ()
        if isinstance(node, nodes.MatchesAny):
            patterns = node.patterns
        elif isinstance(node, nodes.Binary) and node.operator in REGEX:
            assert isinstance(node.right, nodes.Literal)
            assert isinstance(node.right.value, String)
            patterns = (node.right.value.value,)
        for pattern in patterns:
            try:
                pattern_matcher(pattern)
            except ValueError as error:
                raise CheckError(str(error), at=node.at) from error
