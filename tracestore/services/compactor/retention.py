"""How long the traces of a tenant stay: its own time, rules by TraceQL, pins.

A trace that rules match stays as long as the longest of them says, shorter or longer than the
tenant's own time; any other trace stays for that. A pinned trace stays. Rules see a trace whole,
with its parts in other blocks; a shorter rule lets a trace go only when it is in one block, for a
part of it alone might not match any more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import traceql
from traceql.check import check
from tracestore.clock import Clock
from tracestore.errors import SettingsError
from tracestore.model.results import QueryStats
from tracestore.model.tables import SpanTables
from tracestore.query.candidates import evaluate
from tracestore.query.control import QueryControl
from tracestore.query.fragments import Part, locate, read_whole
from tracestore.query.metered_source import MeteredSource
from tracestore.query.plan import SearchPlan, plan_search
from tracestore.query.scan import SourceScan
from tracestore.query.source import SpanSource
from tracestore.query.tables_source import TablesSource
from tracestore.settings.units import parse_unit_duration

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Traces that match a query stay for a time."""

    text: str
    """The query."""
    keep_s: float
    plan: SearchPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Of one tenant."""

    base_s: float
    rules: tuple[Rule, ...] = ()

    @property
    def thresholds_s(self) -> tuple[float, ...]:
        """Every age at which something may have to go."""
        return tuple(sorted({self.base_s, *(rule.keep_s for rule in self.rules)}))

    @property
    def digest(self) -> str:
        """Tells it from another one."""
        text = json.dumps([self.base_s, *([rule.text, rule.keep_s] for rule in self.rules)])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def parse_rule(text: str) -> Rule:
    """Read ``QUERY: DURATION``. Raises: SettingsError that says what is wrong."""
    query, colon, duration = text.rpartition(":")
    if not colon:
        raise SettingsError(f"retention rule {text!r}: expected QUERY: DURATION")
    try:
        keep_s = parse_unit_duration(duration)
    except (ValueError, OverflowError) as error:
        raise SettingsError(f"retention rule {text!r}: {error}") from error
    if keep_s <= 0:
        raise SettingsError(f"retention rule {text!r}: expected a duration above 0")
    try:
        parsed = traceql.parse(query.strip())
        check(parsed)
        plan = plan_search(parsed)
    except traceql.QueryError as error:
        raise SettingsError(f"retention rule {text!r}: {error}") from error
    return Rule(text=query.strip(), keep_s=keep_s, plan=plan)


class Keeper:
    """Tells which traces of tables stay, at one moment."""

    def __init__(
        self,
        retention: Retention,
        *,
        pinned: frozenset[bytes],
        clock: Clock,
        now_ns: int,
        newest_ns: int,
        others: Sequence[SpanSource] = (),
    ) -> None:
        """Take what it depends on.

        Args:
            newest_ns: when the blocks were written: later ends of spans count as this.
            others: blocks that may hold further parts of the traces.
        """
        self._retention = retention
        self._pinned = pa.array(sorted(pinned), pa.binary(16))
        self._control = QueryControl(clock=clock)
        self._now_ns = now_ns
        self._newest_ns = np.uint64(max(0, newest_ns))
        self._others = [self._scan(one) for one in others]

    def __call__(self, tables: SpanTables) -> Mask:
        """(T,) the traces that stay."""
        ends = tables.traces["end_time"].combine_chunks().view(pa.int64()).to_numpy()
        ends = np.minimum(ends.view(np.uint64), self._newest_ns).astype(np.int64)
        ages_s = (self._now_ns - ends) / 1e9
        kept: Mask = ages_s <= self._keep_s(tables)
        if len(self._pinned):
            ids = tables.traces["trace_id"]
            pinned = pa.compute.is_in(ids, value_set=self._pinned)
            kept = kept | pinned.combine_chunks().to_numpy(zero_copy_only=False)
        return kept

    def _keep_s(self, tables: SpanTables) -> npt.NDArray[np.float64]:
        """(T,) how long each trace stays."""
        if not self._retention.rules:
            return np.full(tables.traces.num_rows, self._retention.base_s)
        scan = self._scan(TablesSource(tables, "retention"))
        longest = self._longest(scan)
        ids = scan.traces.ids
        for whole in self._whole(scan):
            places = np.searchsorted(ids, whole.traces.ids)
            longest[places] = np.maximum(self._longest(whole), self._retention.base_s)
        return np.where(longest >= 0, longest, self._retention.base_s)

    def _whole(self, scan: SourceScan) -> Iterator[SourceScan]:
        """Put the traces that have parts in other blocks together with them, some at a time."""
        ids = scan.traces.ids
        parts = locate(self._others, ids)
        if not parts:
            return
        split = np.unique(np.concatenate([part.positions for part in parts]))
        every = np.arange(len(ids))
        for whole in read_whole([Part(scan=scan, positions=every, rows=every), *parts], ids, split):
            yield self._scan(whole)

    def _longest(self, scan: SourceScan) -> npt.NDArray[np.float64]:
        """(T,) how long rules keep each trace of a source; -1: none matches."""
        longest = np.full(len(scan.traces), -1.0)
        for rule in self._retention.rules:
            matches = evaluate(scan, rule.plan, None)
            if matches is not None:
                longest[matches.rows] = np.maximum(longest[matches.rows], rule.keep_s)
        return longest

    def _scan(self, source: SpanSource) -> SourceScan:
        metered = MeteredSource(source, self._control, None)
        return SourceScan(metered, QueryStats(), self._control)


def rules_of(texts: Sequence[str]) -> tuple[Rule, ...]:
    """Read all rules of a tenant. Raises: SettingsError."""
    return tuple(parse_rule(text) for text in texts)
