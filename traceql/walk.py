"""Walks over the tree: the only code that knows which attributes of a node hold nodes.

Recursion is at most as deep as the tree, which the parser bounds (``nodes.DEPTH_MAX``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from traceql import nodes
from traceql.attributes import Field
from traceql.nodes import Node

N = TypeVar("N", bound=Node)

_CHILDREN: dict[type[Node], tuple[str, ...]] = {
    nodes.Literal: (),
    nodes.Reference: (),
    nodes.Unary: ("operand",),
    nodes.Binary: ("left", "right"),
    nodes.Logical: ("operands",),
    nodes.Exists: ("operand",),
    nodes.OneOf: ("operand",),
    nodes.MatchesAny: ("operand",),
    nodes.Filter: ("expression",),
    nodes.SpansetOperation: ("left", "right"),
    nodes.GroupBy: ("expression",),
    nodes.Coalesce: (),
    nodes.Select: ("fields",),
    nodes.Aggregate: ("operand",),
    nodes.ScalarArithmetic: ("left", "right"),
    nodes.ScalarPipe: ("pipeline", "aggregate"),
    nodes.ScalarFilter: ("left", "right"),
    nodes.Pipeline: ("stages",),
    nodes.MetricsAggregate: ("measured", "by"),
    nodes.Compare: ("selection",),
    nodes.TopK: (),
    nodes.Threshold: (),
    nodes.MetricsQuery: ("pipeline", "function", "second"),
    nodes.MetricsMath: ("left", "right", "second"),
    nodes.Hint: (),
    nodes.Query: ("body", "hints"),
}
"""Names of the attributes with children (a node, a tuple of nodes, or None), in text order."""


def children(node: Node) -> Iterator[Node]:
    """Yield the direct children in text order."""
    for name in _CHILDREN[type(node)]:
        child = getattr(node, name)
        if isinstance(child, tuple):
            yield from child
        elif child is not None:
            yield child


def walk(node: Node) -> Iterator[Node]:
    """Yield the node and all below it, parents first, in text order.

    Cost: O(nodes) time, without recursion.
    """
    waiting = [node]
    while waiting:
        current = waiting.pop()
        yield current
        waiting.extend(reversed(tuple(children(current))))


def fields_of(node: Node) -> tuple[Field, ...]:
    """List the attributes and intrinsics that a tree mentions, in text order, each once."""
    found = (below.field for below in walk(node) if isinstance(below, nodes.Reference))
    return tuple(dict.fromkeys(found))


def transform(node: N, change: Callable[[Node], Node]) -> N:
    """Rebuild a tree from the leaves up, passing each rebuilt node through ``change``.

    ``change`` gives a node that may stand in the same place, or the one it got. Parts without
    change are shared with the old tree.
    """
    changed: dict[str, Any] = {}
    for name in _CHILDREN[type(node)]:
        child = getattr(node, name)
        if isinstance(child, tuple):
            rebuilt = tuple(transform(one, change) for one in child)
            if any(new is not old for new, old in zip(rebuilt, child, strict=True)):
                changed[name] = rebuilt
        elif child is not None:
            new = transform(child, change)
            if new is not child:
                changed[name] = new
    return change(replace(node, **changed) if changed else node)  # type: ignore[return-value]  # by contract
