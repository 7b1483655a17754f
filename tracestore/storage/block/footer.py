"""What the footer of a table's Parquet file says: schema, row groups, bounds of columns."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from itertools import accumulate

import pyarrow as pa
import pyarrow.parquet as pq

from tracestore.errors import CorruptionError
from tracestore.storage.block.encodings import leaf_paths


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Bounds of a column in a row group; None where unknown.

    Times are int64 ns as stored. Bounds of floats do not count NaN.
    """

    minimum: object | None
    maximum: object | None
    null_count: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFooter:
    """The footer of one table."""

    key: str
    metadata: pq.FileMetaData
    schema: pa.Schema
    first_row: tuple[int, ...]
    """(G + 1,) where each row group begins, and the number of rows."""
    leaves: dict[str, range] = field(repr=False)
    """Parquet columns of each top-level column. Names with dots make a search by path ambiguous."""

    @property
    def rows(self) -> int:
        return self.first_row[-1]

    @property
    def row_groups(self) -> int:
        return len(self.first_row) - 1

    def row_group_of(self, row: int) -> int:
        """Find the row group that holds a row."""
        assert 0 <= row < self.rows
        return bisect.bisect_right(self.first_row, row) - 1

    def stored_bytes(self, row_group: int, column: str) -> int:
        """Size in the file of a column of a row group."""
        group = self.metadata.row_group(row_group)
        return sum(group.column(leaf).total_compressed_size for leaf in self.leaves[column])

    def bounds(self, row_group: int, column: str) -> Bounds | None:
        """Get the bounds of a flat column, if the file has them."""
        leaves = self.leaves[column]
        if pa.types.is_list(self.schema.field(column).type):
            return None
        statistics = self.metadata.row_group(row_group).column(leaves.start).statistics
        if statistics is None:
            return None
        minimum = maximum = None
        if statistics.has_min_max:
            if pa.types.is_timestamp(self.schema.field(column).type):
                minimum, maximum = statistics.min_raw, statistics.max_raw
            else:
                minimum, maximum = statistics.min, statistics.max
        nulls = statistics.null_count if statistics.has_null_count else None
        return Bounds(minimum=minimum, maximum=maximum, null_count=nulls)

    def is_null(self, row_group: int, column: str) -> bool:
        """Tell whether a column is known to have no value in a row group."""
        bounds = self.bounds(row_group, column)
        rows = self.first_row[row_group + 1] - self.first_row[row_group]
        return bounds is not None and bounds.null_count == rows

    @property
    def nbytes(self) -> int:
        """Bytes held in memory, about: decoded metadata is larger than the footer."""
        return 4 * int(self.metadata.serialized_size)


def read_footer(file: pa.NativeFile, key: str, required: pa.Schema) -> TableFooter:
    """Read and check the footer of a table.

    Args:
        required: the columns that every such table has.

    Raises: CorruptionError, also if a required column is missing or of another type.
    """
    try:
        parquet = pq.ParquetFile(file)
        metadata, schema = parquet.metadata, parquet.schema_arrow
    except (pa.ArrowException, OSError) as error:
        raise CorruptionError(f"Parquet footer cannot be read ({error})", key=key) from error
    for wanted in required:
        position = schema.get_field_index(wanted.name)
        if position < 0 or schema.field(position).type != wanted.type:
            raise CorruptionError(f"column {wanted.name} is missing or no {wanted.type}", key=key)
    ends = accumulate(
        (metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)), initial=0
    )
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
        first_row=tuple(ends),
        leaves=leaves,
    )
