"""Reads all of a block and looks whether it is what it says. Only reads.

Every page is read, so checksums of pages are compared too; then the rows: order, what refers to
what between the tables, numbers of nested sets, roots and sums of traces, the bounds in the meta.

Source: docs/formats/block.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracestore.codec.filters import BlockFilters, hash_trace_ids
from tracestore.errors import CorruptionError, NotFoundError
from tracestore.kernel import arrange
from tracestore.model.block_meta import BlockMeta
from tracestore.model.results import QueryStats
from tracestore.model.tables import FIXED_SCHEMA, Table
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.reader import BlockReader
from tracestore.storage.block.trace_sums import ints, span_ids, times, wrong_sums
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.layout import META_NAME, block_prefix, meta_key

CACHE_BYTES = 16 << 20
"""Footers and filters; columns are read once, so they need not stay."""
SMALL = (Table.RESOURCES, Table.SCOPES)
COMPARED = {
    Table.SPANS: set(FIXED_SCHEMA[Table.SPANS].names) - {"status_message", "attribute_order"},
    Table.EVENTS: {"span"},
    Table.LINKS: {"span"},
    Table.TRACES: set(FIXED_SCHEMA[Table.TRACES].names),
    Table.RESOURCES: {"resource.service.name"},
    Table.SCOPES: set[str](),
}
"""Columns of which more is asked than that they can be read."""

Ints = npt.NDArray[np.int64]
Columns = dict[str, pa.Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockProblem:
    """Something about a block that is not as it has to be."""

    key: str
    """The object."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What came of one block."""

    meta: BlockMeta
    problems: tuple[BlockProblem, ...]


def verify_block(store: ObjectStore, meta: BlockMeta) -> Verified:
    """Check a block, all of it. Raises: UnavailableError.

    Args:
        meta: as the index has it.

    Cost: reads every object; memory for one row group.
    """
    check = _BlockCheck(store, meta)
    check.objects()
    for step in (check.filters, check.small_tables, check.row_groups, check.bounds):
        check.guarded(step)
    return Verified(meta=meta, problems=tuple(check.problems))


class _BlockCheck:
    """The checks of one block, and what they found."""

    def __init__(self, store: ObjectStore, meta: BlockMeta) -> None:
        self._store = store
        self._meta = meta
        self._reader = BlockReader(store, meta, BlockCache(CACHE_BYTES))
        self._filters: BlockFilters | None = None
        self._services: list[str | None] = []
        self._times: list[tuple[int, int]] = []
        """Earliest start and latest end of each row group."""
        self._last_id = b""
        self.problems: list[BlockProblem] = []

    def guarded(self, step: Callable[[], None]) -> None:
        """Do a step; what cannot be read is a problem, not an end."""
        try:
            step()
        except CorruptionError as error:
            self._note(error.key, str(error).removesuffix(f": {error.key}"))
        except NotFoundError as error:
            self._note(block_prefix(self._meta.tenant, self._meta.id), str(error))

    def _note(self, key: str, text: str) -> None:
        problem = BlockProblem(key=key, text=text)
        if problem not in self.problems:
            self.problems.append(problem)

    def _require(self, is_so: bool, table: Table, text: str) -> None:
        if not is_so:
            self._note(self._reader.footer(table).key, text)

    def objects(self) -> None:
        """See that every object is there with its size, and the meta as in the index."""
        prefix = block_prefix(self._meta.tenant, self._meta.id)
        sizes = {info.key: info.bytes for info in self._store.list(prefix)}
        for name, size in self._meta.object_bytes.items():
            found = sizes.pop(prefix + name, None)
            if found is None:
                self._note(prefix + name, "the object is missing")
            elif found != size:
                self._note(prefix + name, f"{found} bytes instead of {size}")
        key = meta_key(self._meta.tenant, self._meta.id)
        if sizes.pop(prefix + META_NAME, None) is None:
            self._note(key, "the object is missing")
        else:
            self.guarded(lambda: self._meta_is_as_in_the_index(key))
        for left in sizes:
            self._note(left, "is no object of a block")

    def _meta_is_as_in_the_index(self, key: str) -> None:
        if BlockMeta.from_json(self._store.get(key), key=key) != self._meta:
            self._note(key, "says something else of the block than the index")

    def filters(self) -> None:
        """Read the filters."""
        self._filters = self._reader.filters(QueryStats())

    def small_tables(self) -> None:
        """Read resources and scopes whole."""
        for table in SMALL:
            columns = self._columns(table, 0)
            if table is Table.RESOURCES:
                named = columns.get("resource.service.name")
                rows = self._reader.footer(table).rows
                if named is not None and pa.types.is_dictionary(named.type):
                    self._services = named.to_pylist()
                else:
                    self._services = [None] * rows

    def row_groups(self) -> None:
        """Read the row groups of the other tables, one at a time."""
        for group in range(self._reader.footer(Table.SPANS).row_groups):
            self.guarded(partial(self._row_group, group))

    def _row_group(self, group: int) -> None:
        spans = self._columns(Table.SPANS, group)
        traces = self._columns(Table.TRACES, group)
        if not self._traces_fit(group, traces):
            return
        counts = ints(traces["span_count"])
        self._spans_fit(group, spans, traces, counts)
        for table in (Table.EVENTS, Table.LINKS):
            self._owned_fit(table, group)
        for text in wrong_sums(
            spans, traces, self._services, self._reader.footer(Table.SPANS).first_row[group]
        ):
            self._require(False, Table.TRACES, f"row group {group}: {text}")
        if len(counts):
            start, end = (times(traces[name]) for name in ("start_time", "end_time"))
            self._times.append((int(start.min()), int(end.max())))

    def _traces_fit(self, group: int, traces: Columns) -> bool:
        """See that the traces ascend, share out the spans, and are in the filter."""
        footer = self._reader.footer(Table.SPANS)
        begin, end = footer.first_row[group], footer.first_row[group + 1]
        first, counts = ints(traces["first_span"]), ints(traces["span_count"])
        ids = _trace_ids(traces["trace_id"])
        ascend = bool(np.all(ids[:-1] < ids[1:])) and (
            len(ids) == 0 or self._last_id == b"" or np.bytes_(self._last_id) < ids[0]
        )
        self._require(ascend, Table.TRACES, f"row group {group}: trace IDs do not ascend")
        if len(ids):
            self._last_id = bytes(ids[-1]).ljust(16, b"\0")
        if len(footer.parts[group]) > 1:
            self._require(
                len(ids) == 1, Table.TRACES, f"row group {group}: {len(ids)} traces, not one large"
            )
        expected = begin + np.cumsum(counts) - counts
        is_whole = bool(np.array_equal(first, expected)) and begin + int(counts.sum()) == end
        text = f"row group {group}: traces do not share out the spans {begin} to {end}"
        self._require(is_whole and bool(np.all(counts > 0)), Table.TRACES, text)
        if self._filters is not None and len(ids):
            missing = ~self._filters.may_contain_traces(hash_trace_ids(ids))
            if missing.any():
                key = block_prefix(self._meta.tenant, self._meta.id) + "filters"
                self._note(key, f"{int(missing.sum())} traces of row group {group} are not in it")
        return is_whole

    def _spans_fit(self, group: int, spans: Columns, traces: Columns, counts: Ints) -> None:
        """See that spans are in order, of their trace, with the right numbers, and point right."""
        places = np.repeat(np.arange(len(counts)), counts)
        first_trace = self._reader.footer(Table.TRACES).first_row[group]
        ids = _trace_ids(traces["trace_id"])
        of_trace = np.array_equal(ints(spans["trace"]), places + first_trace)
        same_id = np.array_equal(_trace_ids(spans["trace_id"]), ids[places])
        self._require(
            of_trace and same_id, Table.SPANS, f"row group {group}: spans of other traces"
        )
        for name, table in (("resource", Table.RESOURCES), ("scope", Table.SCOPES)):
            rows = self._reader.footer(table).rows
            numbers = ints(spans[name])
            is_inside = bool(np.all((numbers >= 0) & (numbers < rows)))
            text = f"row group {group}: {name} outside of the {rows} rows of {table}"
            self._require(is_inside, Table.SPANS, text)
        arranged = arrange(
            np.frombuffer(ids.tobytes(), np.uint8).reshape(-1, 16),
            places.astype(np.int32),
            span_ids(spans["span_id"]),
            span_ids(spans["parent_span_id"]),
            ints(spans["kind"]).astype(np.int32),
            ints(spans["start_time"]),
        )
        is_sorted = np.array_equal(arranged.order, np.arange(len(places)))
        self._require(
            is_sorted, Table.SPANS, f"row group {group}: spans are not in order, or repeated"
        )
        if is_sorted:
            for name in ("nested_left", "nested_right", "nested_parent", "child_count"):
                is_right = np.array_equal(ints(spans[name]), getattr(arranged, name))
                self._require(is_right, Table.SPANS, f"row group {group}: {name} is wrong")

    def _owned_fit(self, table: Table, group: int) -> None:
        """See that events or links ascend by their span, which is in the same row group."""
        columns = self._columns(table, group)
        footer = self._reader.footer(Table.SPANS)
        owner = ints(columns["span"])
        begin, end = footer.first_row[group], footer.first_row[group + 1]
        is_right = bool(np.all(owner[:-1] <= owner[1:])) and bool(
            np.all((owner >= begin) & (owner < end))
        )
        self._require(is_right, table, f"row group {group}: of spans {begin} to {end} in no order")
        own = self._reader.footer(table)
        parts = own.parts[group]
        ends = own.part_rows[parts.start : parts.stop + 1]
        expected = np.searchsorted(owner, footer.part_rows[parts.start : parts.stop + 1])
        is_aligned = not is_right or np.array_equal(expected, np.array(ends) - ends[0])
        text = f"row group {group}: not cut at the spans at which the spans are cut"
        self._require(is_aligned, table, text)

    def bounds(self) -> None:
        """See that the times in the meta are those of the traces."""
        if not self._times or self.problems:
            return
        starts, ends = zip(*self._times, strict=True)
        if (min(starts), max(ends)) != (self._meta.start_ns, self._meta.end_ns):
            key = meta_key(self._meta.tenant, self._meta.id)
            self._note(key, f"times are not those of the traces, {min(starts)} to {max(ends)}")

    def _columns(self, table: Table, group: int) -> Columns:
        """Read all columns of a row group, check every value, and keep those that are compared."""
        found = {}
        for name in self._reader.footer(table).schema.names:
            (array,) = self._reader.arrays(table, [name], group, QueryStats())
            try:
                array.validate(full=True)
            except pa.ArrowException as error:
                key = self._reader.footer(table).key
                raise CorruptionError(f"column {name}: {error}", key=key) from error
            if name in COMPARED[table]:
                found[name] = array
        return found


def _trace_ids(array: pa.Array) -> npt.NDArray[np.bytes_]:
    content = array.buffers()[1]
    return np.frombuffer(content, "S16")[array.offset : array.offset + len(array)]
