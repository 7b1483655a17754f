"""Some blocks of a tenant -> new ones, in which each trace is whole and each span is there once.

Traces are taken in the order of their IDs from all blocks at once (``inputs``), as many at a time
as a row group has. They go through the kernel, which leaves out repeated spans, arranges each trace
anew and makes columns of what it gets as for a flush, and are appended to the block that is being
written (``storage/block/stream``). Memory holds a row group of each input and one of the output, so
more inputs than fit are merged in rounds, the first ones into a spool directory.

Of equal spans that of the block with the lowest ID stays, as queries have it.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracestore.clock import Clock
from tracestore.errors import UnavailableError
from tracestore.kernel import SpanBuilder, encode
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import new_block_id
from tracestore.model.results import QueryStats
from tracestore.model.tables import FIXED_SCHEMA, SpanTables, Table
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.reader import BlockReader
from tracestore.storage.block.stream import BlockStream
from tracestore.storage.block.weights import CarriedWeights, has_weights
from tracestore.storage.block.writer import BlockIdentity
from tracestore.storage.compaction.columns import Columns, choose_columns
from tracestore.storage.compaction.inputs import Step, memory_of, read_steps
from tracestore.storage.compaction.left_out import leave_out
from tracestore.storage.compaction.owners import Owners
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.local import LocalObjectStore

Keep = Callable[[SpanTables], npt.NDArray[np.bool_]]
"""Tables -> (T,) which of their traces stay."""

MIB = 1024 * 1024
INPUT_BYTES_MAX = 128 * MIB
"""Memory for the row groups that the inputs are read from."""
OUTPUT_BYTES_MAX = 96 * MIB
"""Memory for what is remembered of an output while it grows; past it another one begins."""
CELLS_MAX = 4 * MIB
"""Cells of a row group that is written; wide tables get smaller ones."""


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
    spool_dir: str | None = None,
) -> MergeResult:
    """Merge blocks of one tenant; the outputs are written, and not committed.

    Args:
        spans_max: of one output, up to a row group more; a larger trace makes a larger one.
        keep: which traces stay; None: all.
        check: called again and again; what it raises ends the merge.
        spool_dir: where files may grow; None: where temporary files go.

    Raises: UnavailableError; NotFoundError or CorruptionError naming an object of an input.
    Cost: about 5 µs of CPU a span with 12 attributes; twice if the inputs take two rounds.
    """
    assert metas
    assert len({meta.tenant for meta in metas}) == 1
    merge = _Merge(store, settings, clock, rng, check, spool_dir)
    inputs = [(store, meta) for meta in sorted(metas, key=lambda meta: meta.id)]
    with ExitStack() as stack:
        while len(rounds := merge.rounds(inputs)) > 1:
            inputs = [merge.spool(part, stack) for part in rounds]
        last = merge.run(store, inputs, spans_max, keep)
    spans_in = sum(meta.spans for meta in metas)
    spans_out = sum(meta.spans for meta in last.metas)
    return MergeResult(
        metas=tuple(last.metas),
        spans_in=spans_in,
        spans_out=spans_out,
        traces_in=sum(meta.traces for meta in metas),
        traces_out=sum(meta.traces for meta in last.metas),
        traces_dropped=last.traces_dropped,
        spans_duplicate=spans_in - spans_out - last.spans_dropped,
    )


_Inputs = Sequence[tuple[ObjectStore, BlockMeta]]


@dataclass(slots=True)
class _Outcome:
    metas: list[BlockMeta]
    traces_dropped: int = 0
    spans_dropped: int = 0


class _Merge:
    """How blocks are merged: where to, with what."""

    def __init__(
        self,
        store: ObjectStore,
        settings: BlockSettings,
        clock: Clock,
        rng: random.Random,
        check: Callable[[], None],
        spool_dir: str | None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._rng = rng
        self._check = check
        self._spool_dir = spool_dir
        self._cache = BlockCache(INPUT_BYTES_MAX)

    def rounds(self, inputs: _Inputs) -> list[_Inputs]:
        """Cut the inputs into neighbours whose row groups fit into memory together."""
        rounds: list[list[tuple[ObjectStore, BlockMeta]]] = [[]]
        size = 0
        for store, meta in inputs:
            self._check()
            takes = memory_of(BlockReader(store, meta, BlockCache(0)))
            if len(rounds[-1]) > 1 and size + takes > INPUT_BYTES_MAX:
                rounds.append([])
                size = 0
            rounds[-1].append((store, meta))
            size += takes
        return list(rounds)

    def spool(self, inputs: _Inputs, stack: ExitStack) -> tuple[ObjectStore, BlockMeta]:
        """Merge some inputs into one block in a directory that lasts as long as the stack."""
        if len(inputs) == 1:
            return inputs[0]
        try:
            directory = tempfile.TemporaryDirectory(dir=self._spool_dir, prefix="merge-")
        except OSError as error:
            raise UnavailableError(f"cannot spool in {self._spool_dir}: {error}") from error
        spool = LocalObjectStore(stack.enter_context(directory))
        (meta,) = self.run(spool, inputs, None, None).metas
        return spool, meta

    def run(
        self, store: ObjectStore, inputs: _Inputs, spans_max: int | None, keep: Keep | None
    ) -> _Outcome:
        """Merge all inputs at once. Args: spans_max: None: into one block, however large."""
        readers = [BlockReader(origin, meta, self._cache) for origin, meta in inputs]
        stats = QueryStats()
        wanted = choose_columns(
            [reader.filters(stats) for reader in readers],
            {table: sum(getattr(meta, table.value) for _, meta in inputs) for table in Table},
            self._settings.attribute_columns_max,
        )
        groups = self._row_groups(readers, wanted, stats)
        outcome = _Outcome([])
        while (tables := next(groups, None)) is not None:
            with BlockStream(
                store, self._settings, self._clock, self._identity(inputs), self._spool_dir
            ) as stream:
                owners = Owners(self._settings.attribute_columns_max)
                while tables is not None:
                    if (kept := self._kept(tables, keep, outcome)) is not None:
                        stream.append(owners.adopt(kept))
                    held = stream.memory_bytes + owners.memory_bytes
                    if spans_max is not None and (
                        stream.spans >= spans_max or held > OUTPUT_BYTES_MAX
                    ):
                        break
                    tables = next(groups, None)
                if stream.spans:
                    self._check()
                    outcome.metas.append(stream.finish(*owners.tables()))
        return outcome

    def _kept(self, tables: SpanTables, keep: Keep | None, outcome: _Outcome) -> SpanTables | None:
        """Leave out the traces that do not stay, and count them."""
        stays = None if keep is None else keep(tables)
        if stays is None or stays.all():
            return tables
        kept = leave_out(tables, stays) if stays.any() else None
        outcome.traces_dropped += int((~stays).sum())
        outcome.spans_dropped += tables.spans.num_rows - (0 if kept is None else len(kept.spans))
        return kept

    def _row_groups(
        self,
        readers: Sequence[BlockReader],
        wanted: dict[Table, Columns],
        stats: QueryStats,
    ) -> Iterator[SpanTables]:
        """Put traces together, as many at a time as a row group has."""
        columns = len(FIXED_SCHEMA[Table.SPANS]) + max(len(pairs) for pairs, _ in wanted.values())
        most = max(1, min(self._settings.row_group_spans, CELLS_MAX // columns))
        builder = SpanBuilder()
        weights = CarriedWeights()
        weighted = any(has_weights(reader.footer(Table.TRACES).schema) for reader in readers)

        def room() -> int:
            return most - builder.spans

        for step in read_steps(readers, room, stats):
            self._check()
            if builder.spans and builder.spans + step.spans > most:
                tables = weights.give(builder.freeze(wanted=wanted).tables(), always=weighted)
                builder = SpanBuilder()  # before the row group is written: it takes memory too
                yield tables
                del tables
            self._load(builder, weights, step, stats)
        if builder.spans:
            tables = weights.give(builder.freeze(wanted=wanted).tables(), always=weighted)
            builder = SpanBuilder()
            yield tables

    def _load(
        self, builder: SpanBuilder, weights: CarriedWeights, step: Step, stats: QueryStats
    ) -> None:
        for place in step.places:
            weights.note_rows(place.reader, place.group, place.traces.rows, stats)
            for tables in place.read(stats):
                self._check()
                builder.append(encode(tables))

    def _identity(self, inputs: _Inputs) -> BlockIdentity:
        """Name an output. It holds what its inputs hold, also of the write-ahead log."""
        segments = dict.fromkeys(name for _, meta in inputs for name in meta.wal_segments)
        return BlockIdentity(
            id=new_block_id(self._clock.now_ns(), self._rng),
            tenant=inputs[0][1].tenant,
            level=max(meta.level for _, meta in inputs) + 1,
            wal_segments=tuple(segments),
        )
