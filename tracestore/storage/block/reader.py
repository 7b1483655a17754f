"""Columns, footers and filters of one block, each read once and then kept in the shared cache.

Reads the asked columns of the asked row group and nothing else. Thread-safe: what is cached is
immutable, and each read of the file has a file of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import google_crc32c
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tracestore.codec.filters import BlockFilters
from tracestore.errors import CorruptionError
from tracestore.model.block_meta import BlockMeta
from tracestore.model.results import QueryStats
from tracestore.model.tables import FIXED_SCHEMA, Table
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.dictionaries import one_array
from tracestore.storage.block.footer import TAIL_BYTES, TableFooter, read_footer
from tracestore.storage.block.object_file import open_object, read_end
from tracestore.storage.block.row_groups import ALIGNED
from tracestore.storage.block.writer import FILTERS_NAME, table_name
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.layout import block_key

_WHOLE = -1
"""In place of a row group: all of them, joined."""


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of a row group, or of all of them."""

    array: pa.Array
    stored_bytes: int


class BlockReader:
    """Reads one block. Cheap to make: it holds nothing but what it was given."""

    def __init__(self, store: ObjectStore, meta: BlockMeta, cache: BlockCache) -> None:
        self.meta = meta
        self._cached_as = (meta.tenant, meta.id)
        self._store = store
        self._cache = cache

    def footer(self, table: Table) -> TableFooter:
        """Get the footer of a table.

        Raises: NotFoundError; UnavailableError; CorruptionError.
        """
        cached: TableFooter | None = self._cache.get((self._cached_as, table, "footer"))
        if cached is not None:
            return cached
        name = table_name(table)
        tail = self._tail(table)
        with self._open(table, tail=tail) as file:
            checksum = self.meta.checksums.get(name)
            footer = read_footer(file, self._key(name), FIXED_SCHEMA[table], checksum)
        footer = self._checked(table, footer)
        self._cache.put((self._cached_as, table, "footer"), footer, footer.nbytes)
        return footer

    def filters(self, stats: QueryStats) -> BlockFilters:
        """Get the proofs of absence. Raises: as ``footer``."""
        size = self.meta.object_bytes.get(FILTERS_NAME, 0)
        stats.inspected_bytes += size
        cached: BlockFilters | None = self._cache.get((self._cached_as, FILTERS_NAME))
        if cached is not None:
            return cached
        key = self._key(FILTERS_NAME)
        content = self._store.get(key)
        checksum = self.meta.checksums.get(FILTERS_NAME)
        if checksum is not None and google_crc32c.value(content) != checksum:
            raise CorruptionError("filters have another checksum than the block's meta", key=key)
        filters = BlockFilters.decode(content, key=key)
        self._cache.put((self._cached_as, FILTERS_NAME), filters, filters.nbytes)
        return filters

    def columns(
        self, table: Table, names: Sequence[str], row_group: int | None, stats: QueryStats
    ) -> pa.Table:
        """Read columns of a row group, or of the whole table, as a table of one chunk.

        Raises: as ``footer``.
        """
        arrays = self.arrays(table, names, row_group, stats)
        return pa.Table.from_arrays(arrays, schema=self.footer(table).schema_of(tuple(names)))

    def arrays(
        self, table: Table, names: Sequence[str], row_group: int | None, stats: QueryStats
    ) -> list[pa.Array]:
        """Read columns of a row group, or of the whole table.

        Texts are dictionaries. ``stats.inspected_bytes`` grows by the columns' bytes in the file,
        cached or not.

        Raises: as ``footer``.
        """
        if row_group is None:
            return self._whole_table(table, names, stats)
        found = self._cached(table, names, row_group)
        missing = [name for name in dict.fromkeys(names) if name not in found]
        if missing:
            found |= self._read(table, missing, row_group)
        for column in found.values():
            stats.inspected_bytes += column.stored_bytes
        return [found[name].array for name in names]

    def _cached(self, table: Table, names: Sequence[str], row_group: int) -> dict[str, _Column]:
        found: dict[str, _Column] = {}
        for name in names:
            column = self._cache.get((self._cached_as, table, row_group, name))
            if column is not None:
                found[name] = column
        return found

    def null_columns(self, table: Table, row_group: int) -> frozenset[str]:
        """Name the columns known to have no value in a row group. Raises: as ``footer``."""
        key = (self._cached_as, table, row_group, ("null columns",))
        cached: frozenset[str] | None = self._cache.get(key)
        if cached is not None:
            return cached
        names = self.footer(table).null_columns(row_group)
        self._cache.put(key, names, 100 * (1 + len(names)))
        return names

    def _whole_table(self, table: Table, names: Sequence[str], stats: QueryStats) -> list[pa.Array]:
        """Read columns of all row groups; joined once, as every query asks for those of traces."""
        footer = self.footer(table)
        if footer.row_groups == 1:
            return self.arrays(table, names, 0, stats)
        found = self._cached(table, names, _WHOLE)
        for column in found.values():
            stats.inspected_bytes += column.stored_bytes
        missing = [name for name in dict.fromkeys(names) if name not in found]
        if missing:
            parts = [
                self.columns(table, missing, group, stats) for group in range(footer.row_groups)
            ]
            joined = pa.concat_tables([footer.schema_of(tuple(missing)).empty_table(), *parts])
            for name in missing:
                found[name] = self._keep_whole(table, name, one_array(joined.column(name)), footer)
        return [found[name].array for name in names]

    def _keep_whole(self, table: Table, name: str, array: pa.Array, footer: TableFooter) -> _Column:
        size = sum(footer.stored_bytes(group, name) for group in range(footer.row_groups))
        column = _Column(array, size)
        key = (self._cached_as, table, _WHOLE, name)
        self._cache.put(key, column, array.get_total_buffer_size())
        return column

    def _read(self, table: Table, names: list[str], row_group: int) -> dict[str, _Column]:
        footer = self.footer(table)
        tail: bytes | None = self._cache.get((self._cached_as, table, "tail"))
        columns = {}
        for name, array in self._arrays(table, names, footer.parts[row_group], tail).items():
            columns[name] = _Column(array, footer.stored_bytes(row_group, name))
            size = array.get_total_buffer_size()
            self._cache.put((self._cached_as, table, row_group, name), columns[name], size)
        return columns

    def _arrays(
        self, table: Table, names: Sequence[str], parts: range, tail: bytes | None = None
    ) -> dict[str, pa.Array]:
        """Read columns of row groups of the file that follow one another, each as one array."""
        footer = self.footer(table)
        leaves = [leaf for name in names for leaf in footer.leaves[name]]
        with self._open(table, footer.ranges(parts, leaves), tail) as file:
            try:
                parquet = pq.ParquetFile(
                    file,
                    metadata=footer.metadata,
                    page_checksum_verification=True,
                    pre_buffer=False,
                )
                rows = parquet.reader.read_row_groups(
                    list(parts), column_indices=sorted(leaves), use_threads=False
                )
                arrays = {name: one_array(rows.column(name)) for name in names}
            except (pa.ArrowException, OSError) as error:
                raise CorruptionError(
                    f"row group {parts.start} cannot be read ({error})", key=footer.key
                ) from error
        expected = footer.part_rows[parts.stop] - footer.part_rows[parts.start]
        for name, array in arrays.items():
            if len(array) != expected or not _is_sound(array, footer.schema.field(name)):
                raise CorruptionError(
                    f"column {name} of row group {parts.start} is not {expected} rows of its type",
                    key=footer.key,
                )
        return arrays

    def part(self, table: Table, part: int, names: Sequence[str] | None = None) -> pa.Table:
        """Read a row group of the file past the cache, as a table of one chunk.

        Args:
            names: None: as ``batches`` has it.

        Raises: as ``footer``.
        """
        names = self._with_values(table, part) if names is None else names
        arrays = self._arrays(table, names, range(part, part + 1))
        schema = self.footer(table).schema_of(tuple(names))
        return pa.Table.from_arrays([arrays[name] for name in names], schema=schema)

    def _with_values(self, table: Table, part: int) -> list[str]:
        """Name the columns that are fixed, or have a value in a row group of the file."""
        footer = self.footer(table)
        left_out = footer.null_columns_of(part).difference(FIXED_SCHEMA[table].names)
        return [name for name in footer.schema.names if name not in left_out]

    def batches(self, table: Table, part: int, rows: int) -> Iterator[pa.Table]:
        """Read a row group of the file in order, ``rows`` rows at a time, past the cache.

        Columns without a value in the row group are left out, unless they are fixed. In memory is
        a batch, the texts of the row group, and what is stored of it.

        Args:
            part: as in ``TableFooter.parts``.

        Raises: as ``footer``.
        """
        footer = self.footer(table)
        names = self._with_values(table, part)
        leaves = sorted(leaf for name in names for leaf in footer.leaves[name])
        schema = footer.schema_of(tuple(names))
        expected = footer.part_rows[part + 1] - footer.part_rows[part]
        with self._open(table, footer.ranges([part], leaves)) as file:
            try:
                parquet = pq.ParquetFile(
                    file,
                    metadata=footer.metadata,
                    page_checksum_verification=True,
                    pre_buffer=False,
                )
                for batch in parquet.reader.iter_batches(
                    rows, row_groups=[part], column_indices=leaves, use_threads=False
                ):
                    arrays = [batch.column(name) for name in names]
                    for array, field in zip(arrays, schema, strict=True):
                        if not _is_sound(array, field):
                            raise CorruptionError(
                                f"column {field.name} of row group {part} is not of its type",
                                key=footer.key,
                            )
                    expected -= len(batch)
                    yield pa.Table.from_arrays(arrays, schema=schema)
            except (pa.ArrowException, OSError) as error:
                raise CorruptionError(
                    f"row group {part} cannot be read ({error})", key=footer.key
                ) from error
        if expected:
            raise CorruptionError(f"row group {part} lacks {expected} rows", key=footer.key)

    def _checked(self, table: Table, footer: TableFooter) -> TableFooter:
        """Check the rows, and see the row groups of a large trace as one."""
        expected = getattr(self.meta, table.value)
        if footer.rows != expected:
            raise CorruptionError(f"{footer.rows} rows instead of {expected}", key=footer.key)
        if table not in ALIGNED:
            return footer
        if table is Table.TRACES:
            return footer.grouped_as(_whole_traces(footer))
        traces = self.footer(Table.TRACES)
        groups = len(traces.part_rows) - 1
        if footer.row_groups != groups:
            raise CorruptionError(
                f"{footer.row_groups} row groups instead of {groups}", key=footer.key
            )
        return footer.grouped_as(traces.parts)

    def _tail(self, table: Table) -> bytes | None:
        """Read the end of a table in a bucket; one that is a small table's whole is kept."""
        name = table_name(table)
        size = self.meta.object_bytes.get(name, 0)
        tail = read_end(self._store, self._key(name), size, TAIL_BYTES)
        if tail is not None and len(tail) == size:
            self._cache.put((self._cached_as, table, "tail"), tail, len(tail))
        return tail

    def _open(
        self, table: Table, ranges: Sequence[tuple[int, int]] = (), tail: bytes | None = None
    ) -> pa.NativeFile:
        name = table_name(table)
        size = self.meta.object_bytes.get(name, 0)
        return open_object(self._store, self._key(name), size, ranges, tail)

    def _key(self, name: str) -> str:
        return block_key(self.meta.tenant, self.meta.id, name)


def _whole_traces(traces: TableFooter) -> tuple[range, ...]:
    """Find the row groups of the file that belong together: a trace is listed where it ends."""
    found, start = [], 0
    for part in range(traces.row_groups):
        if traces.first_row[part + 1] > traces.first_row[part]:
            found.append(range(start, part + 1))
            start = part + 1
    if start < traces.row_groups:
        raise CorruptionError("the last row groups end no trace", key=traces.key)
    return tuple(found)


def _is_sound(array: pa.Array, field: pa.Field) -> bool:
    """Check what a damaged page header, which has no checksum, may have broken."""
    if array.type != field.type or (array.null_count and not field.nullable):
        return False
    if not pa.types.is_dictionary(array.type):
        return True
    highest = pc.max(array.indices).as_py()
    return highest is None or bool(highest < len(array.dictionary))
