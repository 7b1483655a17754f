"""What a policy would have kept of blocks that are stored, found out without doing it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracestore.clock import Clock
from tracestore.codec.filters import hash_trace_ids
from tracestore.model.block_meta import BlockMeta
from tracestore.query.block_source import BlockSource
from tracestore.query.control import QueryControl
from tracestore.query.fragments import locate
from tracestore.query.scan import SourceScan
from tracestore.query.wholes import scan_of
from tracestore.services.sampling.judging import deciding_rules
from tracestore.services.sampling.policy import Policy

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Traces of one block that one rule decides over, one way."""

    tenant: str
    rule: int
    """Place among the rules; their number: none of them."""
    keeps: bool
    traces: int
    """Each counted in one of the blocks that have a part of it."""
    spans: int
    bytes: int
    """Of the block, in proportion to spans."""
    sampled_before: int
    """Traces among them that stand for others already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Looks at the blocks of one tenant by one policy."""

    policy: Policy
    near: Callable[[BlockMeta], Sequence[BlockSource]]
    """Gets the blocks that may hold further parts of the traces of a block."""
    open: Callable[[BlockMeta], BlockSource]
    clock: Clock
    since_ns: int = 0
    """Traces whose part in a block ended before it are left out there."""

    def of_block(self, meta: BlockMeta) -> Iterator[Judged]:
        """Tell what the policy makes of the traces of a block.

        Raises: what a block raises that cannot be read.
        Cost: a search a rule; memory for the masks and columns of one block, 50 B a trace.
        """
        control = QueryControl(clock=self.clock)
        scan = scan_of(self.open(meta), control)
        near = [scan_of(source, control) for source in self.near(meta)]
        places = deciding_rules(self.policy, scan, near, control)
        weights = self.policy.weights(places, hash_trace_ids(scan.traces.ids))
        wanted = scan.traces.end_ns >= np.uint64(max(0, self.since_ns))
        before = scan.weights
        sampled = np.zeros(len(wanted), np.bool_) if before is None else before != 1
        first = _first_parts(scan, [one for one in near if one.source.id < meta.id])
        spans = scan.traces.span_count
        for place in range(len(self.policy.rules) + 1):
            for keeps in (True, False):
                mask = wanted & (places == place) & ((weights > 0) == keeps)
                if not mask.any():
                    continue
                count = int(spans[mask].sum())
                yield Judged(
                    tenant=meta.tenant,
                    rule=place,
                    keeps=keeps,
                    traces=int((mask & first).sum()),
                    spans=count,
                    bytes=round(meta.stored_bytes * count / max(1, meta.spans)),
                    sampled_before=int((mask & first & sampled).sum()),
                )


def _first_parts(scan: SourceScan, earlier: Sequence[SourceScan]) -> Mask:
    """(T,) whether no earlier block has a part of the trace."""
    first: Mask = np.ones(len(scan.traces), np.bool_)
    for part in locate(earlier, scan.traces.ids):
        first[part.positions] = False
    return first
