"""Runs one filter, or reads one value, over a source: what the engine does below a search."""

from __future__ import annotations

from typing import Any

from support.query import control

import traceql
from traceql import nodes
from tracestore.model.results import QueryStats
from tracestore.model.tables import Table
from tracestore.query.bind import Binder
from tracestore.query.masks import to_array
from tracestore.query.parts import Domain
from tracestore.query.scan import SourceScan
from tracestore.query.source import SpanSource
from tracestore.query.spansets import value_at


def expression_of(text: str) -> nodes.FieldExpression:
    """Parse the expression of ``{ … }`` as the engine gets it."""
    query = traceql.parse("{ " + text + " }")
    traceql.check(query)
    (stage,) = traceql.rewrite(query).body.stages  # type: ignore[union-attr]  # a filter
    assert isinstance(stage, nodes.Filter)
    return stage.expression


def field_of(text: str) -> traceql.attributes.Field:
    """Parse the name of a field."""
    exists = expression_of(f"{text} != nil")
    assert isinstance(exists, nodes.Exists)
    assert isinstance(exists.operand, nodes.Reference)
    return exists.operand.field


def matched_names(source: SpanSource, text: str) -> list[str]:
    """Name the spans that a filter keeps, in the order of their rows."""
    scan = SourceScan(source, QueryStats(), control())
    condition = Binder(scan).condition(expression_of(text))
    found: list[str] = []
    for chunk in scan.chunks:
        mask = to_array(scan.chunk(chunk).mask(condition, Domain.SPAN), chunk.spans)
        names = source.read(Table.SPANS, ["name"], chunk, QueryStats())[0].to_pylist()
        found += [name for name, kept in zip(names, mask.tolist(), strict=True) if kept]
    return found


def shown_values(source: SpanSource, field: str, *filters: str) -> list[Any]:
    """Read a field of each span as an answer shows it; without filters, of the first event."""
    scan = SourceScan(source, QueryStats(), control())
    binder = Binder(scan)
    asked = [expression_of(text) for text in filters]
    bound = (
        binder.field_of_match(field_of(field), asked) if asked else binder.field(field_of(field))
    )
    found: list[Any] = []
    for chunk in scan.chunks:
        operand = scan.chunk(chunk).operand(bound, Domain.SPAN)
        found += [value_at(operand, row) for row in range(chunk.spans)]
    return found
