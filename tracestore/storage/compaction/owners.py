"""Resources and scopes of a block that is being merged: each once, numbered as they come.

They go through the kernel as the owners of made-up spans, one for each pair of a resource and a
scope, so that what is equal is what the kernel holds equal, in a merge as in a flush.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracestore.kernel import SpanBuilder, encode
from tracestore.model.tables import FIXED_SCHEMA, SpanTables, Table

Rows = npt.NDArray[np.int64]


class Owners:
    """The resources and scopes so far. Not thread-safe."""

    def __init__(self, attribute_columns_max: int) -> None:
        self._builder = SpanBuilder()
        self._columns_max = attribute_columns_max
        self._known = 0

    @property
    def memory_bytes(self) -> int:
        """Bytes held."""
        return self._builder.memory_bytes

    def adopt(self, tables: SpanTables) -> SpanTables:
        """Renumber the resources and scopes of spans as those of the block.

        Returns: the tables; resources and scopes in them are as they were.
        Cost: O(spans), and O(distinct pairs so far).
        """
        resource, scope = (
            tables.spans.column(name).to_numpy().astype(np.int64) for name in ("resource", "scope")
        )
        pairs, places = np.unique(resource * len(tables.scopes) + scope, return_inverse=True)
        self._append(tables, pairs // len(tables.scopes), pairs % len(tables.scopes))
        frozen = self._builder.freeze(attribute_columns_max=self._columns_max)
        rows = frozen.columns(Table.SPANS, ["resource", "scope"], self._known - len(pairs))
        spans = tables.spans
        for name in ("resource", "scope"):
            place = spans.schema.get_field_index(name)
            numbers = rows.column(name).to_numpy()[places]
            spans = spans.set_column(place, spans.schema.field(place), pa.array(numbers))
        return SpanTables(
            spans=spans,
            events=tables.events,
            links=tables.links,
            traces=tables.traces,
            resources=tables.resources,
            scopes=tables.scopes,
        )

    def tables(self) -> tuple[pa.Table, pa.Table]:
        """Get resources and scopes, in the order of their numbers."""
        frozen = self._builder.freeze(attribute_columns_max=self._columns_max)
        resources, scopes = (
            frozen.columns(table, frozen.schema(table).names)
            for table in (Table.RESOURCES, Table.SCOPES)
        )
        return resources, scopes

    def _append(self, tables: SpanTables, resource: Rows, scope: Rows) -> None:
        """Add a span for each pair; the order of their IDs is the order of the rows."""
        count = len(resource)
        made = {
            "trace_id": pa.array([b"\1" * 16] * count, pa.binary(16)),
            "span_id": _span_ids(self._known + 1, count),
            "parent_span_id": pa.nulls(count, pa.binary(8)),
            "resource": pa.array(resource.astype(np.int32)),
            "scope": pa.array(scope.astype(np.int32)),
        }
        schema = FIXED_SCHEMA[Table.SPANS]
        spans = pa.table([made.get(f.name, _nothing(f, count)) for f in schema], schema=schema)
        self._builder.append(
            encode(
                SpanTables(
                    spans=spans,
                    events=FIXED_SCHEMA[Table.EVENTS].empty_table(),
                    links=FIXED_SCHEMA[Table.LINKS].empty_table(),
                    traces=FIXED_SCHEMA[Table.TRACES].empty_table(),
                    resources=tables.resources,
                    scopes=tables.scopes,
                )
            )
        )
        self._known += count


def _span_ids(first: int, count: int) -> pa.Array:
    numbers = np.arange(first, first + count, dtype=">u8")
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(8), count, [None, pa.py_buffer(numbers)])


def _nothing(field: pa.Field, count: int) -> pa.Array:
    """Make a column that says nothing: null, empty or 0."""
    if field.nullable:
        return pa.nulls(count, field.type)
    if pa.types.is_dictionary(field.type):
        codes = pa.array(np.zeros(count, np.int32))
        return pa.DictionaryArray.from_arrays(codes, pa.array([""]))
    zeros: Any = np.zeros(count, np.int64)
    if pa.types.is_fixed_size_binary(field.type):
        return pa.array([b"\0" * field.type.byte_width] * count, field.type)
    return pa.array(zeros).cast(field.type)
