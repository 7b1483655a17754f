"""Asks a question in parts, each part and the question itself sent as bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from support.query import control

from tracestore.query.jobs.operation import Operation, Share, Site
from tracestore.query.jobs.questions import operation_from_wire
from tracestore.query.source import SpanSource

R = TypeVar("R")


def site() -> Site:
    """Make a place that never stops a question."""
    return Site(control=control())


def parts_of(
    operation: Operation[R], sources: Sequence[SpanSource], owners: Sequence[int]
) -> list[bytes]:
    """Make the parts of an answer.

    Args:
        owners: of each source the number of the part in which it is primary.
    """
    sent = operation_from_wire(operation.to_wire())
    assert sent == operation
    shares = [
        frozenset(source.id for source, owner in zip(sources, owners, strict=True) if owner == job)
        for job in range(max(owners, default=0) + 2)  # the last one has nothing
    ]
    return [sent.part(sources, site(), Share(primary=primary)) for primary in shares]


def ask_in_parts(
    operation: Operation[R], sources: Sequence[SpanSource], owners: Sequence[int]
) -> R:
    """Make the parts of an answer, and of these the answer."""
    parts = parts_of(operation, sources, owners)
    return operation.combine(parts[::-1], site())
