"""Decisions that stored blocks tell: a trace that has a part there was kept, with a weight.

Asked for what memory does not know: after a restart, and of blocks that another process wrote.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from tracestore.codec.filters import hash_trace_ids
from tracestore.errors import CorruptionError, NotFoundError
from tracestore.model.results import QueryStats
from tracestore.model.tables import SAMPLING_WEIGHT, Table
from tracestore.query.columns import fixed_bytes
from tracestore.query.source import SpanSource
from tracestore.storage.block.weights import has_weights, read_weights

Ids = npt.NDArray[np.bytes_]
Weights = npt.NDArray[np.float64]
log = logging.getLogger(__name__)


def stored_weights(blocks: Iterable[SpanSource], ids: Ids) -> Weights:
    """Find traces that are stored: (K,) their weights, the largest of all parts; NaN: not there.

    Args:
        ids: (K,) S16, ascending, distinct.

    Raises: UnavailableError. A block that is damaged or gone is passed over, and logged.
    Cost: a probe of the filter a trace and block; where it lets some through, the IDs of the block,
        a row group at a time.
    """
    found = np.full(len(ids), np.nan)
    hashes = hash_trace_ids(ids)
    for block in blocks:
        try:
            _look_into(block, ids, hashes, found)
        except (NotFoundError, CorruptionError) as error:
            extra = {"block": block.id, "error": str(error)}
            log.warning("block was not asked for traces that late spans belong to", extra=extra)
    return found


def _look_into(block: SpanSource, ids: Ids, hashes: npt.NDArray[np.uint64], found: Weights) -> None:
    stats = QueryStats()
    filters = block.filters(stats)
    maybe = np.arange(len(ids))
    if filters is not None:
        maybe = np.flatnonzero(filters.may_contain_traces(hashes))
    if len(maybe) == 0:
        return
    asked = ids[maybe]
    weighted = has_weights(block.schema(Table.TRACES))
    names = ["trace_id", *([SAMPLING_WEIGHT.name] if weighted else [])]
    for chunk in block.chunks():
        columns = block.read(Table.TRACES, names, chunk, stats)
        known = np.ascontiguousarray(fixed_bytes(columns[0])).reshape(-1).view("S16")
        places = np.minimum(np.searchsorted(known, asked), len(known) - 1)
        hits = np.flatnonzero(known[places] == asked)
        weights = read_weights(columns[1])[places[hits]] if weighted else np.ones(len(hits))
        found[maybe[hits]] = np.fmax(found[maybe[hits]], weights)
