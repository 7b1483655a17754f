"""Where the row groups of a block end: at a trace, or within one that is larger than a row group.

A row group is bounded in spans, in cells and in texts, so that whoever reads it needs no more
memory than that. A trace that is larger gets row groups of its own, and is listed in the last.
Byte layout: docs/formats/block.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracestore.model.tables import Table
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.dictionaries import one_array
from tracestore.storage.block.table_reader import TableReader

ALIGNED = (Table.SPANS, Table.EVENTS, Table.LINKS, Table.TRACES)
"""Tables whose row groups belong together."""
OWNED = (Table.EVENTS, Table.LINKS)
"""Those whose rows belong to a span."""
WINDOW_ROWS = 4096
"""Rows among which a text counts once, at most."""

Bounds = npt.NDArray[np.int64]
Sizes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cost:
    """Something of which a row group may have so much."""

    upto: Sizes
    """(N + 1,) what the spans before each have together."""
    most: int

    def stop(self, begin: int) -> int:
        """Find how far a row group goes."""
        end = self.upto[begin] + self.most
        return int(np.searchsorted(self.upto, end, side="right")) - 1


def plan_row_groups(reader: TableReader, settings: BlockSettings) -> dict[Table, Bounds]:
    """Cut the tables into row groups.

    Args:
        reader: whole traces, or part of one; ``traces`` has those that end here.

    Returns: per table (G + 1,) rows where each row group begins, and the end; the aligned tables
        share G, resources and scopes have one row group.
    """
    spans = reader.rows(Table.SPANS)
    traces = reader.columns(Table.TRACES, ["first_span", "span_count"])
    ends = _int64(traces.column(0)) + _int64(traces.column(1))
    owners = {table: _int64(reader.columns(table, ["span"]).column(0)) for table in OWNED}
    costs = [Cost(np.arange(spans + 1), settings.row_group_spans)]
    costs += _memory(reader, owners, settings.row_group_bytes_max)
    cuts = cut_rows(ends, costs, spans)
    bounds = {Table.SPANS: cuts, Table.TRACES: _places(ends, cuts, side="right")}
    for table, owner in owners.items():
        bounds[table] = _places(owner, cuts, side="left")
        assert bounds[table][-1] == reader.rows(table), f"{table} beyond the last span"
    for table in (Table.RESOURCES, Table.SCOPES):
        bounds[table] = np.array([0, reader.rows(table)], np.int64)
    return bounds


def _places(values: Bounds, cuts: Bounds, *, side: str) -> Bounds:
    found: Bounds = np.searchsorted(values, cuts, side=side).astype(np.int64)  # type: ignore[call-overload] # a literal
    found[0] = 0
    return found


def cut_rows(ends: Bounds, costs: Sequence[Cost], spans: int) -> Bounds:
    """Find where row groups begin: whole traces, as many as fit, or a part of one."""
    cuts = [0]
    is_between = True
    while cuts[-1] < spans:
        begin = cuts[-1]
        stop = max(begin + 1, min(cost.stop(begin) for cost in costs))
        done = int(np.searchsorted(ends, begin, side="right"))
        fits = int(np.searchsorted(ends, stop, side="right"))
        trace_end = int(ends[done]) if done < len(ends) else spans
        if is_between and fits > done:
            stop = int(ends[fits - 1])
        stop = min(stop, trace_end) if not is_between or fits == done else stop
        is_between = stop >= trace_end
        cuts.append(stop)
    return np.array(cuts, np.int64)


def _memory(reader: TableReader, owners: dict[Table, Bounds], bytes_max: int) -> Iterator[Cost]:
    """Tell what spans take in memory, with their events and links: in cells, and in texts."""
    spans = reader.rows(Table.SPANS)
    cells = np.full(spans, row_width(reader.schema(Table.SPANS)), np.int64)
    for table, owner in owners.items():
        cells += row_width(reader.schema(table)) * np.bincount(owner, minlength=spans)
    yield Cost(_upto(cells), bytes_max)
    texts = sorted(_texts(reader), key=lambda each: text_bytes(each[1]))
    small, sizes = 0, np.zeros(spans, np.int64)
    for table, array in texts:
        size = text_bytes(array)
        if small + size <= bytes_max // 2:  # a row group has no more of it than this
            small += size
        elif table in owners:
            rows = text_sizes(array, bytes_max // 4)
            sizes += np.bincount(owners[table], rows, spans).astype(np.int64)
        else:
            sizes += text_sizes(array, bytes_max // 4)
    yield Cost(_upto(sizes), bytes_max - small)


def _texts(reader: TableReader) -> list[tuple[Table, pa.Array]]:
    """Read the columns whose values may be of any size."""
    found = []
    for table in (Table.SPANS, *OWNED):
        names = [field.name for field in reader.schema(table) if not _is_fixed(field.type)]
        if reader.rows(table):
            columns = reader.columns(table, names).columns
            found += [(table, one_array(column)) for column in columns]
    return found


def row_width(schema: pa.Schema) -> int:
    """Tell the bytes of a row in memory, beside its texts."""
    return sum(_width(field.type) for field in schema)


def _width(kind: pa.DataType) -> int:
    if pa.types.is_fixed_size_binary(kind):
        return int(kind.byte_width)
    return 8 if pa.types.is_int64(kind) or pa.types.is_floating(kind) else 4


def _is_fixed(kind: pa.DataType) -> bool:
    return bool(pa.types.is_primitive(kind) or pa.types.is_fixed_size_binary(kind))


def text_bytes(array: pa.Array) -> int:
    """Tell the bytes of the texts of a column, each once."""
    if pa.types.is_dictionary(array.type):
        return int(array.dictionary.nbytes)
    return 0 if _is_fixed(array.type) else int(array.nbytes)


def text_sizes(array: pa.Array, window_bytes: int) -> Sizes:
    """(N,) Share the bytes of texts among the rows that bring them.

    A text counts in its first row of a window, which is small enough that those of a window are no
    more than ``window_bytes``, or one.
    """
    if pa.types.is_list(array.type):
        lengths = _int64(array.value_lengths().fill_null(0))
        return np.asarray(lengths * (array.nbytes / max(1, int(lengths.sum())))).astype(np.int64)
    if not pa.types.is_dictionary(array.type):
        return _int64(pc.binary_length(array).fill_null(0))
    entries = len(array.dictionary)
    lengths = np.append(_int64(pc.binary_length(array.dictionary)), 0)
    codes = _int64(array.indices.fill_null(entries))
    window = min(WINDOW_ROWS, max(1, window_bytes // max(1, int(lengths.max()))))
    keys = codes + (entries + 1) * (np.arange(len(codes)) // window)
    _, first = np.unique(keys, return_index=True)
    sizes = np.zeros(len(codes), np.int64)
    sizes[first] = lengths[codes[first]]
    return sizes


def _upto(sizes: Sizes) -> Sizes:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])


def _int64(column: pa.Array | pa.ChunkedArray) -> Bounds:
    numbers: Bounds = column.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return numbers
