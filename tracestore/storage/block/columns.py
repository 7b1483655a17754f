"""Where the bytes of a block are, by column: from the footers, without reading a column.

Sizes are those of the compressed columns in the bucket. What is left of a table (its footer) and
the filters are named as such, so that all together is the size of the block.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracestore.codec.filters import INTRINSICS, BlockFilters, ColumnFilter, intrinsic_key
from tracestore.model.results import QueryStats
from tracestore.model.tables import AttributeColumn, Table, attribute_columns
from tracestore.storage.block.footer import TableFooter
from tracestore.storage.block.reader import BlockReader
from tracestore.storage.block.writer import FILTERS_NAME, table_name

SERVICE_COLUMN = "resource.service.name"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSize:
    """A column of a table of a block."""

    table: str
    name: str
    scope: str
    """Of an attribute; empty: what every table has, or ``<scope>.*`` for rare keys."""
    key: str
    """Of an attribute, else the name."""
    type: str
    stored_bytes: int
    raw_bytes: int
    """Before compression, encoded."""
    values: int | None
    """Rows that are not null, where the footer or the filters say so."""
    distinct: int | None
    """Different values; None: not known without reading the column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSize:
    """A table of a block."""

    table: str
    rows: int
    row_groups: tuple[int, ...]
    """Rows of each."""
    stored_bytes: int
    footer_bytes: int
    """What is no column: the footer and the magic."""
    columns: tuple[ColumnSize, ...]


def table_sizes(reader: BlockReader, *, exact: bool = False) -> list[TableSize]:
    """Describe the tables of a block.

    Args:
        exact: read the columns and count their values and different values; else only those are
            known that the filters list.

    Raises: as ``BlockReader.footer``.
    Cost: six footers; with ``exact`` every column of flat values, one at a time.
    """
    return [_table_size(reader, table, exact) for table in Table]


def filters_bytes(reader: BlockReader) -> int:
    """Tell the size of the filters."""
    return reader.meta.object_bytes.get(FILTERS_NAME, 0)


def spans_by_service(reader: BlockReader) -> Mapping[str | None, int]:
    """Count the spans of each ``service.name``; None: it has none, or it is no text.

    Raises: as ``BlockReader.footer``.
    Cost: reads two columns, some bits a span.
    """
    footer = reader.footer(Table.RESOURCES)
    stats = QueryStats()
    services: list[str | None] = [None] * footer.rows
    if SERVICE_COLUMN in footer.leaves:
        (named,) = reader.arrays(Table.RESOURCES, [SERVICE_COLUMN], 0, stats)
        if pa.types.is_dictionary(named.type):
            services = named.to_pylist()
    counts = np.zeros(footer.rows, np.int64)
    for group in range(reader.footer(Table.SPANS).row_groups):
        (resource,) = reader.arrays(Table.SPANS, ["resource"], group, stats)
        counts += np.bincount(resource.to_numpy(), minlength=footer.rows)[: footer.rows]
    found: dict[str | None, int] = {}
    for service, count in zip(services, counts.tolist(), strict=True):
        if count:
            found[service] = found.get(service, 0) + count
    return found


def _table_size(reader: BlockReader, table: Table, exact: bool) -> TableSize:
    footer = reader.footer(table)
    filters = reader.filters(QueryStats())
    attributes = {column.name: column for column in attribute_columns(footer.schema)}
    columns = []
    for name in footer.schema.names:
        attribute = attributes.get(name)
        known = _filter_of(filters, table, name, attribute)
        values, distinct = _counted(reader, table, name) if exact else _listed(known)
        columns.append(
            ColumnSize(
                table=table.value,
                name=name,
                scope="" if attribute is None else attribute.scope.value,
                key=name if attribute is None else attribute.key,
                type=_type_words(footer.schema.field(name).type)
                if attribute is None
                else attribute.type.value,
                stored_bytes=_sum(footer, name, "total_compressed_size"),
                raw_bytes=_sum(footer, name, "total_uncompressed_size"),
                values=values,
                distinct=distinct,
            )
        )
    stored = reader.meta.object_bytes.get(table_name(table), 0)
    return TableSize(
        table=table.value,
        rows=footer.rows,
        row_groups=tuple(stop - start for start, stop in pairwise(footer.part_rows)),
        stored_bytes=stored,
        footer_bytes=stored - sum(column.stored_bytes for column in columns),
        columns=tuple(columns),
    )


def _filter_of(
    filters: BlockFilters, table: Table, name: str, attribute: AttributeColumn | None
) -> ColumnFilter | None:
    if attribute is not None:
        return filters.column(attribute.scope, attribute.key, attribute.type)
    return filters.intrinsic(table, name) if intrinsic_key(table, name) in INTRINSICS else None


def _listed(known: ColumnFilter | None) -> tuple[int | None, int | None]:
    if known is None:
        return None, None
    return known.rows, None if known.listed is None else len(known.listed)


def _counted(reader: BlockReader, table: Table, name: str) -> tuple[int, int | None]:
    """Read a column, and count its values and the different ones; lists have no count of those."""
    values, distinct = 0, None
    for group in range(reader.footer(table).row_groups):
        (array,) = reader.arrays(table, [name], group, QueryStats())
        values += len(array) - array.null_count
        if pa.types.is_list(array.type):
            continue
        if pa.types.is_dictionary(array.type):
            array = array.dictionary.take(pc.unique(array.indices.drop_null()))
        found = pc.unique(array.drop_null())
        distinct = found if distinct is None else pc.unique(pa.chunked_array([distinct, found]))
    return values, None if distinct is None else len(distinct)


def _sum(footer: TableFooter, name: str, what: str) -> int:
    total = 0
    for number in range(footer.metadata.num_row_groups):
        group = footer.metadata.row_group(number)
        total += sum(getattr(group.column(leaf), what) for leaf in footer.leaves[name])
    return total


def _type_words(kind: pa.DataType) -> str:
    if pa.types.is_dictionary(kind):
        return "string"
    if pa.types.is_list(kind):
        return "rare keys"
    return "timestamp" if pa.types.is_timestamp(kind) else str(kind)
