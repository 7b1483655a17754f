"""What parts of a query looked at, added up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from tracestore.model.results import ColumnReads, Explanation, QueryStats

_TABLES = ("columns", "stage_ns")


def sum_stats(parts: Sequence[QueryStats]) -> QueryStats:
    """Add numbers up; what two parts both read counts twice, as it was read twice."""
    if len(parts) == 1:
        return parts[0]
    names = [field.name for field in fields(QueryStats)]
    return QueryStats(**{name: sum(getattr(part, name) for part in parts) for name in names})


def sum_explanations(parts: Sequence[Explanation]) -> Explanation | None:
    """Add explanations up; None if there are none. Times are those of all parts together."""
    if len(parts) < 2:
        return parts[0] if parts else None
    names = [field.name for field in fields(Explanation) if field.name not in _TABLES]
    total = Explanation(**{name: sum(getattr(part, name) for part in parts) for name in names})
    for part in parts:
        for stage, spent in part.stage_ns.items():
            total.stage_ns[stage] = total.stage_ns.get(stage, 0) + spent
        for column, reads in part.columns.items():
            own = total.columns.setdefault(column, ColumnReads())
            own.reads += reads.reads
            own.bytes += reads.bytes
    return total
