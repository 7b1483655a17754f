"""Traces of the inputs -> tables of the size of a row group, without what does not stay.

Traces go into a builder until it has as much as a row group, and come out of it as tables. One that
is larger comes in pieces, each as large as a row group: see ``large``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tracestore.kernel import SpanBuilder, encode_parts
from tracestore.model.block_meta import BlockMeta
from tracestore.model.tables import SpanTables, Table
from tracestore.storage.block.reader import BlockReader
from tracestore.storage.block.weights import CarriedWeights, with_weights
from tracestore.storage.compaction.columns import Columns
from tracestore.storage.compaction.inputs import Room, Step, read_steps
from tracestore.storage.compaction.large import LargeTrace
from tracestore.storage.compaction.left_out import leave_out
from tracestore.storage.compaction.spool import Spool
from tracestore.storage.objects.interface import ObjectStore

REQUEST_BYTES_MAX = 8 << 20
"""Of what is encoded at a time."""
BUILDER_ROW_GROUPS = 4
"""Memory of a builder, in row groups, beyond which it ends one whatever was expected."""

Mask = npt.NDArray[np.bool_]
AsBlock = Callable[[Iterable[SpanTables]], AbstractContextManager[tuple[ObjectStore, BlockMeta]]]
"""Writes pieces of a trace as a block that lasts as long as the context."""


class Keep(Protocol):
    """Tells which traces stay."""

    def of_tables(self, tables: SpanTables) -> Mask:
        """(T,) which of the traces stay."""

    def of_large(
        self,
        trace_id: bytes,
        end_ns: int,
        block: Callable[[], AbstractContextManager[tuple[ObjectStore, BlockMeta]]],
    ) -> bool:
        """Tell whether a trace stays whose tables do not fit into memory.

        Args:
            end_ns: latest end of its spans.
            block: writes it, and nothing else, as a block; costs as much as merging it.
        """


@dataclass(slots=True)
class Dropped:
    """What did not stay."""

    traces: int = 0
    spans: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """How tables are made."""

    wanted: dict[Table, Columns]
    most: Room
    """What a row group may be."""
    keep: Keep | None
    dropped: Dropped
    """Grows."""
    check: Callable[[], None]
    """Called again and again; what it raises ends the work."""
    spool_dir: str | None
    as_block: AsBlock
    is_weighted: bool
    """Whether traces have sampling weights."""

    def tables(self, inputs: Sequence[Iterable[BlockReader]]) -> Iterator[SpanTables]:
        """Go through all traces in the order of their IDs; ``traces`` has those that end here.

        Raises: as ``read_steps``.
        """
        builder, weights, loaded = SpanBuilder(), CarriedWeights(), 0

        def room() -> Room:
            return Room(self.most.spans - builder.spans, self.most.bytes - loaded)

        for step in read_steps(inputs, room):
            self.check()
            is_large = step.traces == 1 and not _fits(step, self.most)
            is_full = builder.memory_bytes > BUILDER_ROW_GROUPS * self.most.bytes
            if builder.spans and (is_large or is_full or not _fits(step, room())):
                full, builder, loaded = builder, SpanBuilder(), 0
                yield from self._freeze(full, weights)
                del full
            if is_large:
                yield from self._large(step)
                continue
            self._load(builder, step)
            _note(step, weights)
            loaded += step.bytes
        if builder.spans:
            yield from self._freeze(builder, weights)

    def _load(self, builder: SpanBuilder, step: Step) -> None:
        for place in step.places:
            for tables in place.feed.take(place.spans):
                self.check()
                for _, request in encode_parts(tables, [len(tables.spans)], REQUEST_BYTES_MAX):
                    builder.append(request)

    def _freeze(self, builder: SpanBuilder, weights: CarriedWeights) -> Iterator[SpanTables]:
        """Make tables of a builder, of what stays."""
        tables = builder.freeze(wanted=self.wanted).tables()
        tables = weights.give(tables, always=self.is_weighted)
        stays = None if self.keep is None else self.keep.of_tables(tables)
        if stays is None or stays.all():
            yield tables
            return
        kept = leave_out(tables, stays) if stays.any() else None
        self.dropped.traces += int((~stays).sum())
        self.dropped.spans += len(tables.spans) - (0 if kept is None else len(kept.spans))
        if kept is not None:
            yield kept

    def _large(self, step: Step) -> Iterator[SpanTables]:
        with Spool(self.spool_dir) as spool:
            trace = LargeTrace(step, self.most, spool)
            for _ in trace.spool():
                self.check()
            if self.keep is not None and not self.keep.of_large(
                trace.trace_id, trace.end_ns, lambda: self.as_block(self._pieces(step, trace))
            ):
                self.dropped.traces += 1
                self.dropped.spans += trace.spans
                return
            for tables in self._pieces(step, trace):
                self.check()
                yield tables

    def _pieces(self, step: Step, trace: LargeTrace) -> Iterator[SpanTables]:
        """Make the pieces of a trace, the last with its weight."""
        for tables in trace.pieces(self.wanted):
            if not self.is_weighted:
                yield tables
            elif len(tables.traces) == 0:
                yield with_weights(tables, np.ones(0))
            else:
                weights = CarriedWeights()
                _note(step, weights)
                yield weights.give(tables, always=True)


def _note(step: Step, weights: CarriedWeights) -> None:
    for place in step.places:
        weights.note(place.traces)


def _fits(step: Step, room: Room) -> bool:
    return step.spans <= room.spans and step.bytes <= room.bytes
