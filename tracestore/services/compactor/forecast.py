"""What retention will take away and when, found out without doing it.

A block is written anew, or goes, when its newest span passes one of the times of retention; so a
trace goes when its block passes the time that holds for the trace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracestore.clock import Clock
from tracestore.model.block_meta import BlockMeta
from tracestore.model.results import QueryStats
from tracestore.model.tables import Table
from tracestore.query.block_source import BlockSource
from tracestore.query.control import QueryControl
from tracestore.services.compactor.planning import newest_ns
from tracestore.services.compactor.retention import Retention, RuleBook

BASE_RULE = "block_retention"
PINNED = "pinned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Going:
    """Traces of one block that go together."""

    tenant: str
    block: str
    rule: str
    """The query of the rule that decides, ``block_retention`` or ``pinned``."""
    keep_s: float | None
    """None: until it is unpinned."""
    due_ns: int | None
    """When it goes; None: not at all."""
    is_whole: bool
    """Whether nothing of the block is left then."""
    traces: int
    spans: int
    bytes: int
    """Of the block, in proportion to spans."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecaster:
    """Looks at the blocks of a tenant."""

    retention: Retention
    pinned: frozenset[bytes]
    near: Callable[[BlockMeta], Sequence[BlockSource]]
    """Gets the blocks that may hold further parts of the traces of a block."""
    open: Callable[[BlockMeta], BlockSource]
    clock: Clock

    def of_block(self, meta: BlockMeta) -> Iterator[Going]:
        """Tell what goes of a block, the first first.

        Raises: what a block raises that cannot be read.
        Cost: reads what the rules ask for; nothing if there are neither rules nor pins.
        """
        if not self.retention.rules and not self.pinned:
            yield self._going(meta, BASE_RULE, self.retention.base_s, meta.traces, meta.spans)
            return
        source = self.open(meta)
        near = self.near(meta) if self.retention.rules else ()
        book = RuleBook(self.retention, QueryControl(clock=self.clock), near)
        rules = book.rules_of(source)
        ids, counts = source.read(Table.TRACES, ["trace_id", "span_count"], None, QueryStats())
        spans = counts.to_numpy()
        is_pinned = _are_in(ids, self.pinned)
        groups = [(rule.text, rule.keep_s, rules == place) for place, rule in enumerate(book.rules)]
        groups.append((BASE_RULE, self.retention.base_s, rules == -1))
        for text, keep_s, mask in sorted(groups, key=lambda group: group[1]):
            if (mask & ~is_pinned).any():
                yield self._going(meta, text, keep_s, *_sizes(mask & ~is_pinned, spans))
        if is_pinned.any():
            yield self._going(meta, PINNED, None, *_sizes(is_pinned, spans))

    def _going(
        self, meta: BlockMeta, rule: str, keep_s: float | None, traces: int, spans: int
    ) -> Going:
        return Going(
            tenant=meta.tenant,
            block=meta.id,
            rule=rule,
            keep_s=keep_s,
            due_ns=None if keep_s is None else newest_ns(meta) + int(keep_s * 1e9),
            is_whole=traces == meta.traces,
            traces=traces,
            spans=spans,
            bytes=round(meta.stored_bytes * spans / max(1, meta.spans)),
        )


def _are_in(ids: pa.Array, pinned: frozenset[bytes]) -> npt.NDArray[np.bool_]:
    mask: npt.NDArray[np.bool_] = pc.is_in(
        ids, value_set=pa.array(sorted(pinned), pa.binary(16))
    ).to_numpy(zero_copy_only=False)
    return mask


def _sizes(mask: npt.NDArray[np.bool_], spans: npt.NDArray[np.int32]) -> tuple[int, int]:
    return int(mask.sum()), int(spans[mask].sum())
