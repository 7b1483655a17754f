"""What the footer of a table's Parquet file says: schema, row groups, bounds of columns.

A trace that is larger than a row group has several of its own. What reads a block sees them as one,
so that a row group is whole traces for everyone; ``parts`` says which of the file it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

import google_crc32c
import pyarrow as pa
import pyarrow.parquet as pq

from tracestore.errors import CorruptionError
from tracestore.storage.block.encodings import leaf_paths

_MAGIC = b"PAR1"
TAIL_BYTES = 64 * 1024
"""Read at first: nearly always the whole footer, and all there is of a small table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Bounds of a column in a row group; None where unknown, also where there is no value.

    Times are int64 ns as stored. Bounds of floats do not count NaN.
    """

    minimum: Any | None
    maximum: Any | None
    null_count: int | None
    has_values: bool = True
    """Whether any row may have a value."""


_NOTHING = Bounds(minimum=None, maximum=None, null_count=0, has_values=False)


def _join(one: Bounds, other: Bounds) -> Bounds:
    """Get the bounds of the rows of both."""
    nulls = None
    if one.null_count is not None and other.null_count is not None:
        nulls = one.null_count + other.null_count
    if not (one.has_values and other.has_values):
        return replace(one if one.has_values else other, null_count=nulls)
    lows: list[Any] = [one.minimum, other.minimum]
    highs: list[Any] = [one.maximum, other.maximum]
    return Bounds(
        minimum=None if None in lows else min(lows),
        maximum=None if None in highs else max(highs),
        null_count=nulls,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFooter:
    """The footer of one table. Its row groups hold whole traces, whatever the file has."""

    key: str
    metadata: pq.FileMetaData
    schema: pa.Schema
    first_row: tuple[int, ...]
    """(G + 1,) where each row group begins, and the number of rows."""
    part_rows: tuple[int, ...]
    """(P + 1,) where each row group of the file begins, and the number of rows."""
    parts: tuple[range, ...]
    """(G,) the row groups of the file that each row group is made of."""
    leaves: dict[str, range] = field(repr=False)
    """Parquet columns of each top-level column. Names with dots make a search by path ambiguous."""

    _schemas: dict[tuple[str, ...], pa.Schema] = field(default_factory=dict, repr=False)
    """Those asked for before: few different ones are."""

    def schema_of(self, columns: tuple[str, ...]) -> pa.Schema:
        """Get the schema of some columns, in the order given."""
        known = self._schemas.get(columns)
        if known is None:
            known = pa.schema([self.schema.field(name) for name in columns])
            self._schemas[columns] = known
        return known

    @property
    def rows(self) -> int:
        return self.first_row[-1]

    @property
    def row_groups(self) -> int:
        return len(self.first_row) - 1

    def stored_bytes(self, row_group: int, column: str) -> int:
        """Size in the file of a column of a row group."""
        return sum(
            self.metadata.row_group(part).column(leaf).total_compressed_size
            for part in self.parts[row_group]
            for leaf in self.leaves[column]
        )

    def ranges(self, parts: Iterable[int], leaves: Sequence[int]) -> list[tuple[int, int]]:
        """Where Parquet columns of row groups of the file are: offset and length of each."""
        found = []
        for part in parts:
            group = self.metadata.row_group(part)
            for leaf in leaves:
                chunk = group.column(leaf)
                start = chunk.data_page_offset
                if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
                    start = min(start, chunk.dictionary_page_offset)
                found.append((start, chunk.total_compressed_size))
        return found

    def bounds(self, row_group: int, column: str) -> Bounds | None:
        """Get the bounds of a flat column, if the file has them."""
        found = None
        for part in self.parts[row_group]:
            bounds = self._bounds_of(part, column)
            if bounds is None:
                return None
            found = bounds if found is None else _join(found, bounds)
        return found

    def _bounds_of(self, part: int, column: str) -> Bounds | None:
        leaves = self.leaves[column]
        if pa.types.is_list(self.schema.field(column).type):
            return None
        chunk = self.metadata.row_group(part)
        if chunk.num_rows == 0:
            return _NOTHING
        statistics = chunk.column(leaves.start).statistics
        if statistics is None:
            return None
        minimum = maximum = None
        if statistics.has_min_max:
            if pa.types.is_timestamp(self.schema.field(column).type):
                minimum, maximum = statistics.min_raw, statistics.max_raw
            else:
                minimum, maximum = statistics.min, statistics.max
        nulls = statistics.null_count if statistics.has_null_count else None
        return Bounds(
            minimum=minimum, maximum=maximum, null_count=nulls, has_values=nulls != chunk.num_rows
        )

    def null_columns(self, row_group: int) -> frozenset[str]:
        """Name the columns that are known to have no value in a row group."""
        return frozenset.intersection(*(self.null_columns_of(p) for p in self.parts[row_group]))

    def null_columns_of(self, part: int) -> frozenset[str]:
        """Name the columns that are known to have no value in a row group of the file."""
        bounds = ((name, self._bounds_of(part, name)) for name in self.leaves)
        return frozenset(name for name, one in bounds if one and not one.has_values)

    def grouped_as(self, parts: tuple[range, ...]) -> TableFooter:
        """See row groups of the file as one."""
        first_row = (*(self.part_rows[each.start] for each in parts), self.rows)
        return replace(self, parts=parts, first_row=first_row)

    @property
    def nbytes(self) -> int:
        """Bytes held in memory, about: decoded metadata is larger than the footer."""
        return 4 * int(self.metadata.serialized_size)


def read_tail(file: pa.NativeFile, key: str) -> bytes:
    """Read the footer of a Parquet file as bytes, with its length and the closing magic.

    Raises: CorruptionError if there is none.
    """
    size = file.size()
    near = min(size, TAIL_BYTES)
    file.seek(size - near)
    tail: bytes = file.read(near)
    if len(tail) < 12 or tail[-4:] != _MAGIC:
        raise CorruptionError("object does not end as a Parquet file", key=key)
    length = int.from_bytes(tail[-8:-4], "little") + 8
    if length > size:
        raise CorruptionError(f"Parquet footer of {length} bytes in {size} bytes", key=key)
    if length > near:
        file.seek(size - length)
        tail = file.read(length)
    return tail[-length:]


def read_footer(
    file: pa.NativeFile, key: str, required: pa.Schema, checksum: int | None
) -> TableFooter:
    """Read and check the footer of a table.

    Args:
        required: the columns that every such table has.
        checksum: CRC-32C of the tail, if it is known. Parquet itself has one for pages only.

    Raises: CorruptionError, also if a required column is missing or of another type.
    """
    tail = read_tail(file, key)
    if checksum is not None and google_crc32c.value(tail) != checksum:
        raise CorruptionError("Parquet footer has another checksum than the block's meta", key=key)
    try:
        parquet = pq.ParquetFile(pa.BufferReader(tail))
        metadata, schema = parquet.metadata, parquet.schema_arrow
    except (pa.ArrowException, OSError) as error:
        raise CorruptionError(f"Parquet footer cannot be read ({error})", key=key) from error
    for wanted in required:
        position = schema.get_field_index(wanted.name)
        if position < 0 or schema.field(position).type != wanted.type:
            raise CorruptionError(f"column {wanted.name} is missing or no {wanted.type}", key=key)
    groups = range(metadata.num_row_groups)
    part_rows = tuple(accumulate((metadata.row_group(i).num_rows for i in groups), initial=0))
    leaves, first_leaf = {}, 0
    for column in schema:
        leaves[column.name] = range(first_leaf, first_leaf + len(leaf_paths(column)))
        first_leaf = leaves[column.name].stop
    if first_leaf != metadata.num_columns or len(leaves) != len(schema):
        raise CorruptionError("Parquet columns do not fit the Arrow schema", key=key)
    return TableFooter(
        key=key,
        metadata=metadata,
        schema=schema.remove_metadata(),
        first_row=part_rows,
        part_rows=part_rows,
        parts=tuple(range(i, i + 1) for i in groups),
        leaves=leaves,
    )
