"""Some blocks of a tenant -> new ones, in which each trace is whole and each span is there once.

All blocks are sorted by trace ID, so traces are taken in the order of their IDs, from all blocks at
once: a few thousand at a time go through the kernel, which leaves out repeated spans, arranges each
trace anew, and makes columns of what it gets as for a flush. When enough spans are together they
are written as a block, and the next one begins: outputs do not overlap in trace IDs, and memory is
that of one output and of one row group of each input.

Of equal spans that of the block with the lowest ID stays, as queries have it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracestore.clock import Clock
from tracestore.kernel import FrozenSpans, SpanBuilder, encode
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import new_block_id
from tracestore.model.results import QueryStats
from tracestore.model.tables import SpanTables, Table
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.lookup import find_traces
from tracestore.storage.block.reader import BlockReader
from tracestore.storage.block.writer import BlockIdentity, BlockWriter
from tracestore.storage.objects.interface import ObjectStore

Keep = Callable[[SpanTables], npt.NDArray[np.bool_]]
"""Tables -> (T,) which of their traces stay."""
Ids = npt.NDArray[np.bytes_]
Rows = npt.NDArray[np.int64]

CACHE_BYTES = 96 * 1024 * 1024
"""Memory for columns of the inputs."""
STEP_SPANS = 16384
"""Spans that are read and encoded at a time; at least a trace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeResult:
    """What a merge has written; nothing of it is committed."""

    metas: tuple[BlockMeta, ...]
    """In the order of their trace IDs; none if no trace stays."""
    spans_in: int
    spans_out: int
    traces_in: int
    """Over all blocks, parts of traces counted by themselves."""
    traces_out: int
    traces_dropped: int
    """Whole traces that did not stay."""
    spans_duplicate: int


def merge_blocks(
    store: ObjectStore,
    metas: Sequence[BlockMeta],
    *,
    settings: BlockSettings,
    clock: Clock,
    rng: random.Random,
    spans_max: int,
    keep: Keep | None = None,
    check: Callable[[], None] = lambda: None,
) -> MergeResult:
    """Merge blocks of one tenant; the outputs are written, and not committed.

    Args:
        spans_max: of one output; a larger trace makes a larger one.
        keep: which traces stay; None: all.
        check: called again and again; what it raises ends the merge.

    Raises: UnavailableError; NotFoundError or CorruptionError naming an object of an input.
    """
    assert metas
    assert len({meta.tenant for meta in metas}) == 1
    merge = _Merge(store, metas, settings, clock, rng)
    outputs: list[BlockMeta] = []
    spans_joined = traces_joined = traces_dropped = 0
    for builder in merge.outputs(spans_max, check):
        frozen = builder.freeze(attribute_columns_max=settings.attribute_columns_max)
        spans_joined += frozen.rows(Table.SPANS)
        traces_joined += frozen.rows(Table.TRACES)
        kept = frozen if keep is None else merge.without_dropped(frozen, keep, check)
        traces_dropped += frozen.rows(Table.TRACES) - (
            0 if kept is None else kept.rows(Table.TRACES)
        )
        if kept is not None:
            check()
            outputs.append(merge.write(kept))
    spans_in = sum(meta.spans for meta in metas)
    return MergeResult(
        metas=tuple(outputs),
        spans_in=spans_in,
        spans_out=sum(meta.spans for meta in outputs),
        traces_in=sum(meta.traces for meta in metas),
        traces_out=traces_joined - traces_dropped,
        traces_dropped=traces_dropped,
        spans_duplicate=spans_in - spans_joined,
    )


class _Merge:
    """The inputs, and how outputs come of them."""

    def __init__(
        self,
        store: ObjectStore,
        metas: Sequence[BlockMeta],
        settings: BlockSettings,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        cache = BlockCache(CACHE_BYTES)
        self._metas = sorted(metas, key=lambda meta: meta.id)
        self._readers = [BlockReader(store, meta, cache) for meta in self._metas]
        self._writer = BlockWriter(store, settings, clock)
        self._settings = settings
        self._clock = clock
        self._rng = rng
        self._stats = QueryStats()

    def outputs(self, spans_max: int, check: Callable[[], None]) -> Iterator[SpanBuilder]:
        """Fill builders with whole traces, one after another, in the order of trace IDs."""
        builder = SpanBuilder()
        for ids in self._steps(STEP_SPANS):
            check()
            self._load(builder, ids)
            if builder.spans >= spans_max:
                yield builder
                builder = SpanBuilder()
        if builder.spans:
            yield builder

    def _steps(self, spans: int) -> Iterator[Ids]:
        """Cut all trace IDs, ascending, into pieces that have some spans together."""
        every, counts = [], []
        for reader in self._readers:
            ids, sizes = _traces_of(reader, self._stats)
            every.append(ids)
            counts.append(sizes)
        distinct, places = np.unique(np.concatenate(every), return_inverse=True)
        sizes = np.bincount(places, weights=np.concatenate(counts)).astype(np.int64)
        ends = np.cumsum(sizes)
        first = 0
        while first < len(distinct):
            base = int(ends[first] - sizes[first])
            stop = max(first + 1, int(np.searchsorted(ends, base + spans, side="right")))
            yield distinct[first:stop]
            first = stop

    def _load(self, builder: SpanBuilder, ids: Ids) -> None:
        """Read some traces from every block that has parts of them."""
        wanted = [bytes(one).ljust(16, b"\0") for one in ids.tolist()]
        for reader in self._readers:
            for tables in find_traces(reader, wanted, self._stats):
                builder.append(encode(tables))

    def without_dropped(
        self, frozen: FrozenSpans, keep: Keep, check: Callable[[], None]
    ) -> FrozenSpans | None:
        """Leave traces out. Returns: the view itself if all stay, None if none does."""
        tables = frozen.tables()
        kept = keep(tables)
        if kept.all():
            return frozen
        check()
        spans = tables.spans
        stays = np.repeat(kept, tables.traces["span_count"].to_numpy())
        builder = SpanBuilder()
        for tables_of_run in _runs(tables, stays, spans.num_rows):
            builder.append(encode(tables_of_run))
        if not builder.spans:
            return None
        return builder.freeze(attribute_columns_max=self._settings.attribute_columns_max)

    def write(self, frozen: FrozenSpans) -> BlockMeta:
        """Write an output."""
        segments = dict.fromkeys(name for meta in self._metas for name in meta.wal_segments)
        identity = BlockIdentity(
            id=new_block_id(self._clock.now_ns(), self._rng),
            tenant=self._metas[0].tenant,
            level=max(meta.level for meta in self._metas) + 1,
            wal_segments=tuple(segments),
        )
        return self._writer.write(frozen, identity)


def _traces_of(reader: BlockReader, stats: QueryStats) -> tuple[Ids, Rows]:
    """Read (T,) trace IDs and span counts of a block."""
    columns = reader.columns(Table.TRACES, ["trace_id", "span_count"], None, stats)
    column = columns.column("trace_id").combine_chunks()
    ids = np.frombuffer(column.buffers()[1], "S16")[column.offset :][: len(column)]
    return ids, columns.column("span_count").to_numpy().astype(np.int64)


def _runs(tables: SpanTables, stays: npt.NDArray[np.bool_], spans: int) -> Iterator[SpanTables]:
    """Cut the spans that stay out of tables, as tables that are good for encoding."""
    rows = np.flatnonzero(stays)
    moved = np.full(spans, -1, np.int64)
    moved[rows] = np.arange(len(rows))
    owned = {}
    for table in (Table.EVENTS, Table.LINKS):
        content = tables.table(table)
        owners = content["span"].to_numpy()
        mine = np.flatnonzero(stays[owners]) if len(owners) else np.empty(0, np.int64)
        taken = content.take(mine)
        place = taken.schema.get_field_index("span")
        field = taken.schema.field(place)
        pointers = moved[owners[mine]] if len(mine) else np.empty(0, np.int64)
        owned[table] = taken.set_column(place, field, pa.array(pointers, field.type))
    if len(rows):
        yield SpanTables(
            spans=tables.spans.take(rows),
            events=owned[Table.EVENTS],
            links=owned[Table.LINKS],
            traces=tables.traces,
            resources=tables.resources,
            scopes=tables.scopes,
        )
