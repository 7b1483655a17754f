"""Traces in parts: found in many sources at once, put together by the kernel, evaluated whole.

What a trace is does not depend on where its spans happen to lie: parts are encoded and built
again into tables, which drops repeated spans and computes tree and root anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracestore import kernel
from tracestore.codec.filters import hash_trace_ids
from tracestore.errors import CorruptionError
from tracestore.model.tables import SpanTables
from tracestore.model.times import TimeRange
from tracestore.query.append import append_alike
from tracestore.query.candidates import TIME_MAX
from tracestore.query.scan import SourceScan
from tracestore.query.tables_source import TablesSource
from tracestore.storage.block.weights import carry

PROBES_MAX = 4096
"""IDs that are looked up in a filter; more are compared with the traces themselves."""
JOINED_SPANS_MAX = 1 << 17
"""Spans that are put together at a time, or one trace; bounds the memory of a query."""
_SIEVE_SIZE, _SIEVE_MASK, _SIEVE_MIN = 1 << 20, np.uint64((1 << 20) - 1), 4096
Ids = npt.NDArray[np.bytes_]
Rows = npt.NDArray[np.int64]
Times = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one source has of the traces that were looked for."""

    scan: SourceScan
    positions: Rows
    """(M,) places among the IDs."""
    rows: Rows
    """(M,) rows of ``traces``."""


def locate(scans: Sequence[SourceScan], ids: Ids) -> list[Part]:
    """Find the sources that hold spans of some traces.

    Args:
        ids: (K,) S16, ascending, distinct.

    Cost: K probes of the filter per source; of a source that may have some, a binary search each.
    """
    hashes = hash_trace_ids(ids)
    found = []
    for scan in scans:
        scan.control.check()
        maybe = np.arange(len(ids))
        if scan.filters is not None and len(ids) <= PROBES_MAX:
            maybe = np.flatnonzero(scan.filters.may_contain_traces(hashes))
        if len(maybe) == 0:
            continue
        positions, rows = _common(ids, maybe, scan.traces.ids)
        if len(positions):
            found.append(Part(scan=scan, positions=positions, rows=rows))
    return found


def _common(ids: Ids, maybe: Rows, known: Ids) -> tuple[Rows, Rows]:
    """Find the IDs that are in both: places of them in each."""
    if len(known) < len(maybe):
        positions = np.minimum(np.searchsorted(ids, known), len(ids) - 1)
        rows = np.flatnonzero(ids[positions] == known)
        return positions[rows], rows
    if len(known) == 0:
        return maybe[:0], maybe[:0]
    rows = np.minimum(np.searchsorted(known, ids[maybe]), len(known) - 1)
    hits = known[rows] == ids[maybe]
    return maybe[hits], rows[hits]


def read_whole(parts: Sequence[Part], ids: Ids, wanted: Rows) -> Iterator[TablesSource]:
    """Read traces from the sources that hold them and put them together, some at a time.

    Args:
        wanted: (W,) places among the IDs.

    Raises: CorruptionError if a source that lists a trace does not give it.
    """
    spans = np.zeros(len(ids), np.int64)
    for part in parts:
        np.add.at(spans, part.positions, part.scan.traces.span_count[part.rows])
    begin = np.cumsum(spans[wanted]) - spans[wanted]
    for batch in np.unique(begin // JOINED_SPANS_MAX):
        yield _join(parts, ids, wanted[begin // JOINED_SPANS_MAX == batch])


def _join(parts: Sequence[Part], ids: Ids, wanted: Rows) -> TablesSource:
    fragments: list[SpanTables] = []
    for part in parts:
        positions = part.positions[np.isin(part.positions, wanted)]
        if len(positions) == 0:
            continue
        part.scan.control.check()
        asked = [full_id(ids[position]) for position in positions]
        found = part.scan.source.find_traces(asked, part.scan.stats)
        if sum(tables.traces.num_rows for tables in found) != len(asked):
            raise CorruptionError(
                f"of {len(asked)} traces that are listed, {asked[0].hex()} the first, "
                "some spans are missing",
                key=part.scan.source.id,
            )
        fragments += found
    return TablesSource(merge(fragments), f"{len(wanted)} traces")


def merge(fragments: Sequence[SpanTables]) -> SpanTables:
    """Put parts of traces together; of repeated spans the first stays."""
    built = kernel.build_tables([kernel.encode(run) for run in append_alike(fragments)])
    return carry(fragments, built)


def full_id(trace_id: np.bytes_) -> bytes:
    """Get an ID in full length; numpy drops trailing zeros."""
    return bytes(trace_id).ljust(16, b"\0")


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitTraces:
    """Traces that may have spans in more than one source; a few are in one after all."""

    keys: Times
    """(R,) ``SourceTraces.keys``, ascending, distinct."""
    ids: Ids
    """(R,) of each."""
    start_ns: Times
    """(R,) earliest start of a part."""
    end_ns: Times
    """(R,) latest end of a part."""

    def __len__(self) -> int:
        return len(self.keys)

    def contain(self, keys: Times) -> npt.NDArray[np.bool_]:
        """Mark the keys that are among these."""
        return _among(keys, self.keys)

    def touching(self, scans: Sequence[SourceScan]) -> SplitTraces:
        """Take those of which one of some sources has a part."""
        keys = np.concatenate([np.empty(0, np.uint64), *(scan.traces.keys for scan in scans)])
        return self.where(np.isin(self.keys, keys))

    def led_by(self, scans: Sequence[SourceScan], ids: frozenset[str]) -> SplitTraces:
        """Take those that lie, of all sources that have a part, in one of ``ids`` first.

        Args:
            scans: in the order of their IDs.
        """
        is_met: npt.NDArray[np.bool_] = np.zeros(len(self), np.bool_)
        is_led: npt.NDArray[np.bool_] = np.zeros(len(self), np.bool_)
        for scan in scans if len(self) else ():
            keys = scan.traces.keys
            there = np.zeros(len(self), np.bool_)
            there[np.searchsorted(self.keys, keys[self.contain(keys)])] = True
            if scan.source.id in ids:
                is_led |= there & ~is_met
            is_met |= there
        return self.where(is_led)

    def where(self, mask: npt.NDArray[np.bool_]) -> SplitTraces:
        """Take some of them."""
        return SplitTraces(
            keys=self.keys[mask],
            ids=self.ids[mask],
            start_ns=self.start_ns[mask],
            end_ns=self.end_ns[mask],
        )

    def inside(self, window: TimeRange) -> SplitTraces:
        """Take those that have some time in the window."""
        first, last = (min(max(t, 0), TIME_MAX) for t in (window.start_ns, window.end_ns - 1))
        return self.where((self.start_ns <= np.uint64(last)) & (self.end_ns >= np.uint64(first)))


def _among(keys: Times, known: Times) -> npt.NDArray[np.bool_]:
    """Mark the keys that are among known ones.

    Args:
        known: ascending, distinct.

    Cost: a look into a table for each; a binary search for the few that it lets through.
    """
    found: npt.NDArray[np.bool_] = np.zeros(len(keys), np.bool_)
    if len(known) == 0:
        return found
    maybe: slice | Rows = slice(None)
    if len(keys) > _SIEVE_MIN:
        sieve = np.zeros(_SIEVE_SIZE, np.bool_)
        sieve[known & _SIEVE_MASK] = True
        maybe = np.flatnonzero(sieve[keys & _SIEVE_MASK])
    asked = keys[maybe]
    places = np.minimum(np.searchsorted(known, asked), len(known) - 1)
    found[maybe] = known[places] == asked
    return found


def split_traces(
    scans: Sequence[SourceScan], touching: Sequence[SourceScan] | None = None
) -> SplitTraces:
    """Find the traces that may have spans in more than one of the sources.

    Args:
        touching: some of the sources: only traces that have a part in these. None: any.

    Cost: a sort of 8 B a trace over all sources (of those in ``touching``, if given), for a moment
    40 B a trace.
    """
    keys = np.concatenate([np.empty(0, np.uint64), *(scan.traces.keys for scan in scans)])
    asked = keys
    if touching is not None:
        known = set(touching)
        others = [scan.traces.keys for scan in scans if scan not in known]
        own = np.concatenate([np.empty(0, np.uint64), *(scan.traces.keys for scan in touching)])
        distinct = np.unique(own)
        asked = np.concatenate([own, *(each[_among(each, distinct)] for each in others)])
    distinct, counts = np.unique(asked, return_counts=True)
    repeated = distinct[counts > 1]
    ids = np.zeros(len(repeated), "S16")
    start_ns = np.full(len(repeated), TIME_MAX, np.uint64)
    end_ns = np.zeros(len(repeated), np.uint64)
    found = SplitTraces(keys=repeated, ids=ids, start_ns=start_ns, end_ns=end_ns)
    rows = np.flatnonzero(found.contain(keys))
    if len(rows):
        # all sources at once: there may be a thousand of them with a few traces each
        places = np.searchsorted(repeated, keys[rows])
        ids[places] = np.concatenate([scan.traces.ids for scan in scans])[rows]
        starts = np.concatenate([scan.traces.start_ns for scan in scans])[rows]
        ends = np.concatenate([scan.traces.end_ns for scan in scans])[rows]
        np.minimum.at(start_ns, places, starts)
        np.maximum.at(end_ns, places, ends)
    return found
