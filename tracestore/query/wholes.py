"""Traces of a source that have parts in other sources, put together with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from tracestore.model.results import QueryStats
from tracestore.query.control import QueryControl
from tracestore.query.fragments import Part, locate, read_whole
from tracestore.query.metered_source import MeteredSource
from tracestore.query.scan import SourceScan
from tracestore.query.source import SpanSource

Rows = npt.NDArray[np.int64]


def scan_of(source: SpanSource, control: QueryControl) -> SourceScan:
    """Begin to read a source, outside of any query of a user."""
    return SourceScan(MeteredSource(source, control, None), QueryStats(), control)


def whole_traces(
    scan: SourceScan, others: Sequence[SourceScan], control: QueryControl
) -> Iterator[tuple[Rows, SourceScan]]:
    """Put the traces of a source that have parts elsewhere together, some at a time.

    Yields: (M,) their rows in ``traces`` of the source, and the whole traces, in this order.
    Raises: what a source raises that cannot be read.
    """
    ids = scan.traces.ids
    parts = locate(others, ids)
    if not parts:
        return
    split = np.unique(np.concatenate([part.positions for part in parts]))
    every = np.arange(len(ids))
    for whole in read_whole([Part(scan=scan, positions=every, rows=every), *parts], ids, split):
        found = scan_of(whole, control)
        yield np.searchsorted(ids, found.traces.ids), found
