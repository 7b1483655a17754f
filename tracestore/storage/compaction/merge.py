"""Some blocks of a tenant -> new ones, in which each trace is whole and each span is there once.

Traces are taken in the order of their IDs from all blocks at once (``inputs``), as many at a time
as a row group has. They go through the kernel, which leaves out repeated spans, arranges each trace
anew and makes columns of what it gets as for a flush, and are appended to the block that is being
written (``storage/block/stream``). A trace that is larger takes the way of ``large``. Memory holds
a batch of each input with the texts of a row group, and a row group of the output, so more inputs
than fit are merged in rounds, the first ones into a spool directory.

Of equal spans that of the block with the lowest ID stays, as queries have it.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pyarrow as pa

from tracestore.clock import Clock
from tracestore.errors import UnavailableError
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import new_block_id
from tracestore.model.results import QueryStats
from tracestore.model.tables import FIXED_SCHEMA, SpanTables, Table
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.reader import BlockReader
from tracestore.storage.block.row_groups import row_width
from tracestore.storage.block.stream import BlockStream
from tracestore.storage.block.weights import has_weights
from tracestore.storage.block.writer import BlockIdentity
from tracestore.storage.compaction.assemble import Assembly, Dropped, Keep
from tracestore.storage.compaction.columns import choose_columns
from tracestore.storage.compaction.feed import memory_of
from tracestore.storage.compaction.inputs import Room
from tracestore.storage.compaction.owners import Owners
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.local import LocalObjectStore

CELL_BYTES = 5
"""Memory of a cell of an attribute on average: most are codes."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeBounds:
    """What a merge may take."""

    spans_max: int
    """Of one output, up to a row group more; a larger trace makes a larger one."""
    input_bytes_max: int
    """Memory for reading; inputs that take more are merged in rounds, two at least in one."""
    output_bytes_max: int
    """Memory for what is remembered of an output while it grows; past it another one begins."""
    spool_dir: str | None = None
    """Where files may grow; None: where temporary files go."""


def merge_blocks(
    store: ObjectStore,
    metas: Sequence[BlockMeta],
    *,
    settings: BlockSettings,
    clock: Clock,
    rng: random.Random,
    bounds: MergeBounds,
    keep: Keep | None = None,
    check: Callable[[], None] = lambda: None,
) -> MergeResult:
    """Merge blocks of one tenant; the outputs are written, and not committed.

    Args:
        keep: which traces stay; None: all.
        check: called again and again; what it raises ends the merge.

    Raises: UnavailableError; NotFoundError or CorruptionError naming an object of an input.
    Cost: about 3 µs of CPU a span with 12 attributes; again for each further round.
    """
    assert metas
    assert len({meta.tenant for meta in metas}) == 1
    ordered = sorted(metas, key=lambda meta: meta.id)
    merge = _Merge(ordered, settings, clock, rng, bounds, check)
    inputs: _Inputs = [[(store, meta)] for meta in ordered]
    with ExitStack() as stack:
        while len(rounds := merge.rounds(inputs)) > 1:
            inputs = [merge.spool(part, stack) for part in rounds]
        last = merge.run(store, inputs, keep)
    spans_in = sum(meta.spans for meta in metas)
    spans_out = sum(meta.spans for meta in last.metas)
    return MergeResult(
        metas=tuple(last.metas),
        spans_in=spans_in,
        spans_out=spans_out,
        traces_in=sum(meta.traces for meta in metas),
        traces_out=sum(meta.traces for meta in last.metas),
        traces_dropped=last.dropped.traces,
        spans_duplicate=spans_in - spans_out - last.dropped.spans,
    )


_Input = Sequence[tuple[ObjectStore, BlockMeta]]
"""A block, or some whose trace IDs ascend from one to the next."""
_Inputs = Sequence[_Input]


@dataclass(frozen=True, slots=True)
class _Outcome:
    metas: list[BlockMeta]
    dropped: Dropped


class _Merge:
    """How blocks are merged: where to, with what."""

    def __init__(
        self,
        metas: Sequence[BlockMeta],
        settings: BlockSettings,
        clock: Clock,
        rng: random.Random,
        bounds: MergeBounds,
        check: Callable[[], None],
    ) -> None:
        self._metas = metas
        self._settings = settings
        self._clock = clock
        self._rng = rng
        self._bounds = bounds
        self._check = check
        self._cache = BlockCache(bounds.input_bytes_max)

    def rounds(self, inputs: _Inputs) -> list[_Inputs]:
        """Cut the inputs into neighbours that can be read together."""
        rounds: list[list[_Input]] = [[]]
        size = 0
        for one in inputs:
            self._check()
            takes = max(memory_of(BlockReader(*block, BlockCache(0))) for block in one)
            if len(rounds[-1]) > 1 and size + takes > self._bounds.input_bytes_max:
                rounds.append([])
                size = 0
            rounds[-1].append(one)
            size += takes
        return list(rounds)

    def spool(self, inputs: _Inputs, stack: ExitStack) -> _Input:
        """Merge some inputs into one in a directory that lasts as long as the stack."""
        if len(inputs) == 1:
            return inputs[0]
        store = stack.enter_context(self._local_store())
        return [(store, meta) for meta in self.run(store, inputs, None).metas]

    @contextmanager
    def _local_store(self) -> Iterator[ObjectStore]:
        where = self._bounds.spool_dir
        try:
            directory = tempfile.TemporaryDirectory(dir=where, prefix="merge-")
        except OSError as error:
            raise UnavailableError(f"cannot spool in {where or 'TMPDIR'}: {error}") from error
        with directory as path:
            yield LocalObjectStore(path)

    def run(self, store: ObjectStore, inputs: _Inputs, keep: Keep | None) -> _Outcome:
        """Merge all inputs at once."""
        blocks = [block for one in inputs for block in one]
        stats = QueryStats()
        wanted = choose_columns(
            (BlockReader(*block, BlockCache(0)).filters(stats) for block in blocks),
            {table: sum(getattr(meta, table.value) for _, meta in blocks) for table in Table},
            self._settings.attribute_columns_max,
        )
        width = row_width(FIXED_SCHEMA[Table.SPANS]) + CELL_BYTES * len(wanted[Table.SPANS][0])
        bytes_max = self._settings.row_group_bytes_max
        spans = max(1, min(self._settings.row_group_spans, bytes_max // width))
        assembly = Assembly(
            wanted=wanted,
            most=Room(spans, bytes_max),
            keep=keep,
            dropped=Dropped(),
            check=self._check,
            spool_dir=self._bounds.spool_dir,
            as_block=self._as_block,
            is_weighted=any(
                has_weights(BlockReader(*block, self._cache).footer(Table.TRACES).schema)
                for block in blocks
            ),
        )
        tables = assembly.tables([_open(one, self._cache) for one in inputs])
        return _Outcome(list(self._write(store, tables)), assembly.dropped)

    def _write(self, store: ObjectStore, groups: Iterator[SpanTables]) -> Iterator[BlockMeta]:
        """Write blocks until there is nothing left; none ends within a trace."""
        tables = next(groups, None)
        while tables is not None:
            with self._stream(store) as stream:
                owners = Owners(self._settings.attribute_columns_max)
                is_full = False
                while tables is not None and not is_full:
                    stream.append(owners.adopt(tables))
                    is_full = len(tables.traces) > 0 and self._is_full(stream, owners)
                    tables = None  # the next ones take memory too
                    pa.default_memory_pool().release_unused()
                    tables = next(groups, None)
                self._check()
                yield stream.finish(*owners.tables())

    @contextmanager
    def _as_block(self, pieces: Iterable[SpanTables]) -> Iterator[tuple[ObjectStore, BlockMeta]]:
        """Write a trace as a block that nobody else will see."""
        with self._local_store() as store, self._stream(store) as stream:
            owners = Owners(self._settings.attribute_columns_max)
            for tables in pieces:
                self._check()
                stream.append(owners.adopt(tables))
            yield store, stream.finish(*owners.tables())

    def _stream(self, store: ObjectStore) -> BlockStream:
        return BlockStream(
            store, self._settings, self._clock, self._identity(), self._bounds.spool_dir
        )

    def _is_full(self, stream: BlockStream, owners: Owners) -> bool:
        held = stream.memory_bytes + owners.memory_bytes
        return stream.spans >= self._bounds.spans_max or held > self._bounds.output_bytes_max

    def _identity(self) -> BlockIdentity:
        """Name an output. It holds what the blocks hold, also of the write-ahead log."""
        segments = dict.fromkeys(name for meta in self._metas for name in meta.wal_segments)
        return BlockIdentity(
            id=new_block_id(self._clock.now_ns(), self._rng),
            tenant=self._metas[0].tenant,
            level=max(meta.level for meta in self._metas) + 1,
            wal_segments=tuple(segments),
        )


def _open(one: _Input, cache: BlockCache) -> Iterator[BlockReader]:
    return (BlockReader(store, meta, cache) for store, meta in one)
