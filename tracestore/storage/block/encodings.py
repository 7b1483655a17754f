"""Which Parquet encoding each column gets: fixed for the fixed columns, by a sample for attributes.

Only encodings that the common readers know (DuckDB, Polars, Spark, Trino, pandas). What each costs
is measured in ``bench/block.py``: a dictionary for what repeats; differences for times and row
numbers, which lie close together; nothing at all for span IDs, which are chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tracestore.model.tables import FIXED_SCHEMA, Table
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.table_reader import TableReader

SAMPLE_ROWS = 16384
DICTIONARY_BYTES_MAX = 256 << 20
"""Past this a row group's dictionary is given up; reading it then costs a hash of each value."""
INT_DICTIONARY_SHARE_MAX = 1 / 8
"""Numbers with more distinct values than this share of the rows are written as differences."""

_DELTA = "DELTA_BINARY_PACKED"
_DELTA_COLUMNS = {
    (Table.SPANS, "trace"),
    (Table.SPANS, "start_time"),
    (Table.SPANS, "duration"),
    (Table.EVENTS, "span"),
    (Table.EVENTS, "time"),
    (Table.LINKS, "span"),
    (Table.TRACES, "first_span"),
    (Table.TRACES, "start_time"),
    (Table.TRACES, "end_time"),
    (Table.TRACES, "root_span"),
}
_UNCOMPRESSED = {(Table.SPANS, "span_id")}
_STATISTICS = {
    (Table.SPANS, "start_time"),
    (Table.SPANS, "duration"),
    (Table.EVENTS, "time"),
    (Table.TRACES, "trace_id"),
    (Table.TRACES, "start_time"),
    (Table.TRACES, "end_time"),
}
"""The fixed columns with bounds that can rule out a row group. No text has any: its bounds hardly
ever rule one out, and cost as much as the column."""


@dataclass(slots=True)
class _Plan:
    dictionary: list[str]
    encodings: dict[str, str]
    statistics: list[str]
    compression: dict[str, str]
    levels: dict[str, int]


def plan_encodings(reader: TableReader, table: Table, settings: BlockSettings) -> dict[str, Any]:
    """Choose the arguments of ``pq.ParquetWriter`` for one table.

    Cost: reads the first ``SAMPLE_ROWS`` rows of the int64 columns.
    """
    schema = reader.schema(table)
    sampled = [field.name for field in schema if pa.types.is_int64(field.type)]
    sample = reader.columns(table, sampled, 0, min(SAMPLE_ROWS, reader.rows(table)))
    plan = _Plan([], {}, [], {}, {})
    for field in schema:
        share = _distinct_share(sample.column(field.name)) if field.name in sampled else 0.0
        _plan_column(plan, table, field, share)
        for path in leaf_paths(field):
            if (table, field.name) not in _UNCOMPRESSED:
                plan.compression[path] = settings.compression
                plan.levels[path] = settings.compression_level
    # A key may be named like the path of a leaf; pyarrow refuses both for one path.
    encodings = {p: e for p, e in plan.encodings.items() if p not in plan.dictionary}
    sorted_by_trace = table in (Table.SPANS, Table.TRACES)
    return {
        "use_dictionary": plan.dictionary or False,
        "column_encoding": encodings or None,
        "write_statistics": plan.statistics or False,
        "compression": plan.compression,
        "compression_level": plan.levels if settings.compression in _LEVELLED else None,
        "dictionary_pagesize_limit": DICTIONARY_BYTES_MAX,
        "data_page_version": "2.0",
        "write_page_checksum": True,
        "sorting_columns": _sorting(schema) if sorted_by_trace else None,
    }


_LEVELLED = {"zstd", "gzip", "brotli"}


def leaf_paths(field: pa.Field) -> list[str]:
    """Name the Parquet columns of a top-level field, in their order in the file."""
    if not pa.types.is_list(field.type):
        return [field.name]
    element = f"{field.name}.list.element"
    if pa.types.is_struct(field.type.value_type):
        return [f"{element}.{child.name}" for child in field.type.value_type]
    return [element]


def _plan_column(plan: _Plan, table: Table, field: pa.Field, share: float) -> None:
    name, kind = field.name, field.type
    if pa.types.is_list(kind):
        plan.dictionary += [p for p in leaf_paths(field) if not p.endswith(".element.value")]
        return
    if (table, name) in _STATISTICS or (
        name not in FIXED_SCHEMA[table].names and not _is_text(kind)
    ):
        plan.statistics.append(name)
    if _is_text(kind):
        plan.dictionary.append(name)
    elif (table, name) in _DELTA_COLUMNS or (
        pa.types.is_int64(kind) and share > INT_DICTIONARY_SHARE_MAX
    ):
        plan.encodings[name] = _DELTA
    elif pa.types.is_integer(kind):
        plan.dictionary.append(name)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_dictionary(kind))


def _distinct_share(column: pa.ChunkedArray) -> float:
    if len(column) == column.null_count:
        return 0.0
    return float(pc.count_distinct(column).as_py() / (len(column) - column.null_count))


def _sorting(schema: pa.Schema) -> list[Any]:
    return [pq.SortingColumn(schema.get_field_index("trace_id"))]
