"""Which attributes of a merged block have columns of their own, before a span of it is read.

The filters of a block count the rows of every key and type, in columns of their own and among the
rest, so the rule of a flush (``kernel/choose``) is applied to their sums. Spans that are then found
to be there twice, or that are left out, count here and nowhere else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from tracestore.codec.filters import BlockFilters
from tracestore.model.tables import SCOPE_OF_TABLE, AttributeScope, AttributeType, Table

ROWS_PER_VALUE_MAX = 256
CELLS_PER_VALUE_MAX = 32
CELLS_PER_ROW = 16
"""As in ``kernel/choose``."""
CHOSEN_AHEAD = (Table.SPANS, Table.EVENTS, Table.LINKS)
"""Tables that are written as they come; resources and scopes are few, and known at the end."""

Pair = tuple[str, AttributeType]
Columns = tuple[list[Pair], bool]
"""The pairs that have a column, in order, and whether there is one for the rest."""
_TYPES = {kind: place for place, kind in enumerate(AttributeType)}


def choose_columns(
    filters: Iterable[BlockFilters], rows: Mapping[Table, int], columns_max: int
) -> dict[Table, Columns]:
    """Choose the columns of spans, events and links.

    Args:
        filters: of all inputs, looked at one after the other: they may be large.
        rows: of each table, over all inputs.
    """
    counts: dict[Table, Counter[Pair]] = {table: Counter() for table in CHOSEN_AHEAD}
    with_rest = set()
    for one in filters:
        for table, found in counts.items():
            found.update(_counts(one, SCOPE_OF_TABLE[table]))
            if one.overflow(SCOPE_OF_TABLE[table]):
                with_rest.add(table)
    chosen = {}
    for table, found in counts.items():
        pairs = _choose(found, rows[table], columns_max)
        chosen[table] = pairs, table in with_rest or len(pairs) < len(found)
    return chosen


def _counts(filters: BlockFilters, scope: AttributeScope) -> Counter[Pair]:
    """Count the rows of each key and type of a block."""
    counts: Counter[Pair] = Counter()
    overflow = filters.overflow(scope)
    for key in {*filters.keys(scope), *overflow}:
        for kind in AttributeType:
            column = filters.column(scope, key, kind)
            found = 0 if column is None else column.rows
            found += overflow.get(key, {}).get(kind.value, 0)
            if found:
                counts[key, kind] = found
    return counts


def _choose(counts: Counter[Pair], rows: int, columns_max: int) -> list[Pair]:
    if rows:
        most = CELLS_PER_ROW + CELLS_PER_VALUE_MAX * counts.total() // rows
        columns_max = min(columns_max, most)
    often = [pair for pair, count in counts.items() if count * ROWS_PER_VALUE_MAX >= rows]
    often.sort(key=lambda pair: (-counts[pair], pair[0].encode(), _TYPES[pair[1]]))
    kept = often[:columns_max]
    return sorted(kept, key=lambda pair: (pair[0].encode(), -counts[pair], _TYPES[pair[1]]))
