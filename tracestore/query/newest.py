"""The newest traces first, looking at no more sources than it takes.

Sources are evaluated one by one, newest first, as long as an unevaluated one could hold a newer
trace than the next in line. Traces are taken some at a time: which of them lie in several sources
is asked for all at once, and those are read, put together and evaluated at once.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import count
from typing import TypeAlias

import numpy as np

from tracestore.query.candidates import Matches, NewestFirst, latest_start_ns
from tracestore.query.found import Found, Scope
from tracestore.query.fragments import PROBES_MAX, Ids, Times, full_id
from tracestore.query.progress import Progress
from tracestore.query.scan import SourceScan

LOOK_AHEAD_MIN = 16
"""Traces that are settled at a time, at least; doubled as long as none of them is found."""


class _Rank(IntEnum):
    """At equal start a source is first in line, as it may hold a trace that comes before."""

    SOURCE = 0
    TRACE = 1


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Traces in order, of which the line has only the next: the matches of a source, or split ones.

    ``matches`` is None for traces that may match as a whole.
    """

    ids: Ids
    start_ns: Times
    order: NewestFirst
    matches: Matches | None


@dataclass(frozen=True, slots=True)
class _Candidate:
    """``row`` of ``ids`` and ``start_ns``, the ``position``-th in order."""

    among: _Candidates
    row: int
    position: int
    trace_id: bytes


_Entry: TypeAlias = tuple[int, _Rank, bytes, int, SourceScan | _Candidate | Found]


class NewestLine:
    """A line of sources and traces, newest first, ties by trace ID."""

    def __init__(self, scope: Scope, progress: Progress[Sequence[Found]] | None = None) -> None:
        """Args:
        progress: is shown the traces taken before another source is evaluated; that will not
            change any more.
        """
        self._scope = scope
        self._progress = progress
        self._line: list[_Entry] = []
        self._ticket = count()
        self._done: set[bytes] = set()
        self._look_ahead = LOOK_AHEAD_MIN
        for scan in scope.inside:
            scope.control.check()
            self._line_up(latest_start_ns(scan), _Rank.SOURCE, b"", scan)
        split = scope.split_candidates()
        if len(split):
            self._line_up_next(
                _Candidates(
                    split.ids,
                    split.start_ns,
                    NewestFirst(np.arange(len(split)), split.start_ns),
                    None,
                ),
                0,
            )

    def take(self, limit: int) -> list[Found]:
        """Take the first traces in line."""
        taken: list[Found] = []
        while self._line and len(taken) < limit:
            self._scope.control.check()
            item = self._line[0][-1]
            if isinstance(item, _Candidate):
                self._settle(limit - len(taken))
                continue
            heapq.heappop(self._line)
            if isinstance(item, Found):
                taken.append(item)
            else:
                if self._progress is not None and self._is_due():
                    self._progress.show(taken)
                self._evaluate(item)
        return taken

    def _is_due(self) -> bool:
        return self._progress is not None and self._progress.is_due()

    def _line_up(
        self, start_ns: int, rank: _Rank, trace_id: bytes, item: SourceScan | _Candidate | Found
    ) -> None:
        heapq.heappush(self._line, (-start_ns, rank, trace_id, next(self._ticket), item))

    def _line_up_next(self, among: _Candidates, position: int) -> None:
        row = among.order.get(position)
        if row is not None:
            trace_id = full_id(among.ids[row])
            candidate = _Candidate(among, row, position, trace_id)
            self._line_up(int(among.start_ns[row]), _Rank.TRACE, trace_id, candidate)

    def _evaluate(self, scan: SourceScan) -> None:
        matches = self._scope.evaluate(scan)
        if matches is not None:
            traces = scan.traces
            order = matches.newest_first()
            self._line_up_next(_Candidates(traces.ids, traces.start_ns, order, matches), 0)

    def _settle(self, wanted: int) -> None:
        """Take candidates out of the line and line up what becomes of them."""
        candidates = self._next_candidates(wanted)
        if not candidates:
            return
        candidates.sort(key=lambda candidate: candidate.trace_id)
        ids = np.array([candidate.trace_id for candidate in candidates], "S16")
        counts, wholes = self._scope.join(ids)
        some = False
        for candidate, sources in zip(candidates, counts.tolist(), strict=True):
            if sources > 1:
                continue
            matches, row = candidate.among.matches, candidate.row
            if matches is None:  # its key is that of another trace
                self._done.discard(candidate.trace_id)
            elif not matches.is_outside(row):
                some = True
                self._line_up_found(Found(matches, row))
        for matches in wholes:
            for place, row in enumerate(matches.rows.tolist()):
                if not matches.outside[place]:
                    some = True
                    self._line_up_found(Found(matches, row))
        self._look_ahead = LOOK_AHEAD_MIN if some else min(2 * self._look_ahead, PROBES_MAX)

    def _line_up_found(self, found: Found) -> None:
        traces = found.matches.scan.traces
        start_ns = int(traces.start_ns[found.row])
        self._line_up(start_ns, _Rank.TRACE, traces.trace_id(found.row), found)

    def _next_candidates(self, wanted: int) -> list[_Candidate]:
        """Take candidates that are not yet done; evaluates only sources that are needed anyway."""
        candidates: list[_Candidate] = []
        ahead: list[_Entry] = []
        most = min(max(wanted, self._look_ahead), PROBES_MAX)
        while self._line and len(candidates) < most:
            item = self._line[0][-1]
            if isinstance(item, SourceScan):
                if len(candidates) + len(ahead) >= wanted or self._is_due():
                    break
                heapq.heappop(self._line)
                self._evaluate(item)
                continue
            entry = heapq.heappop(self._line)
            if isinstance(item, Found):
                ahead.append(entry)
                continue
            self._line_up_next(item.among, item.position + 1)
            if item.trace_id not in self._done:
                self._done.add(item.trace_id)
                candidates.append(item)
        for entry in ahead:
            heapq.heappush(self._line, entry)
        return candidates
