"""How long the traces of a tenant stay: its own time, rules by TraceQL, pins.

A trace that rules match stays as long as the longest of them says, shorter or longer than the
tenant's own time; any other trace stays for that. A pinned trace stays. Rules see a trace whole,
with its parts in other blocks; a shorter rule lets a trace go only when it is in one block, for a
part of it alone might not match any more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import traceql
from traceql.check import check
from tracestore.clock import Clock
from tracestore.errors import SettingsError
from tracestore.model.block_meta import BlockMeta
from tracestore.model.tables import SpanTables, Table
from tracestore.query.block_source import BlockSource
from tracestore.query.candidates import evaluate
from tracestore.query.control import QueryControl
from tracestore.query.plan import SearchPlan, plan_search
from tracestore.query.scan import SourceScan
from tracestore.query.source import SpanSource
from tracestore.query.tables_source import TablesSource
from tracestore.query.wholes import scan_of, whole_traces
from tracestore.settings.units import parse_unit_duration
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.objects.interface import ObjectStore

LARGE_CACHE_BYTES = 32 * 1024 * 1024
"""Memory for what rules read of a large trace, beside the columns that they ask for."""
Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]


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
        self._book = RuleBook(retention, QueryControl(clock=clock), others)
        self._pinned = pa.array(sorted(pinned), pa.binary(16))
        self._now_ns = now_ns
        self._newest_ns = np.uint64(max(0, newest_ns))

    def of_tables(self, tables: SpanTables) -> Mask:
        """(T,) the traces that stay."""
        ids, ends = (tables.traces[name].combine_chunks() for name in ("trace_id", "end_time"))
        source = TablesSource(tables, "retention")
        return self._stay(ids, ends.view(pa.int64()).to_numpy().view(np.uint64), source)

    def of_large(
        self,
        trace_id: bytes,
        end_ns: int,
        block: Callable[[], AbstractContextManager[tuple[ObjectStore, BlockMeta]]],
    ) -> bool:
        """Tell whether a trace stays that is too large for tables; rules read a block of it."""
        ids, ends = pa.array([trace_id], pa.binary(16)), np.array([end_ns], np.uint64)
        if not self._book.rules:
            return bool(self._stay(ids, ends, None)[0])
        with block() as (store, meta):
            source = BlockSource(store, meta, BlockCache(LARGE_CACHE_BYTES))
            return bool(self._stay(ids, ends, source)[0])

    def _stay(self, ids: pa.Array, ends: npt.NDArray[np.uint64], source: SpanSource | None) -> Mask:
        """(T,) the traces that stay. Args: source: holds them; None: there are no rules."""
        ends_ns = np.minimum(ends, self._newest_ns).astype(np.int64)
        ages_s = (self._now_ns - ends_ns) / 1e9
        rules = np.full(len(ids), -1) if source is None else self._book.rules_of(source)
        kept: Mask = ages_s <= self._book.keep_s(rules)
        if len(self._pinned):
            pinned = pa.compute.is_in(ids, value_set=self._pinned)
            kept = kept | pinned.to_numpy(zero_copy_only=False)
        return kept


class RuleBook:
    """The rules of a tenant, and the blocks in which they look for parts of traces."""

    def __init__(
        self, retention: Retention, control: QueryControl, others: Sequence[SpanSource] = ()
    ) -> None:
        """Take what it depends on.

        Args:
            others: blocks that may hold further parts of the traces that are asked for.
        """
        self._base_s = retention.base_s
        self.rules = sorted(retention.rules, key=lambda rule: rule.keep_s)
        self._control = control
        self._others = [scan_of(one, control) for one in others]

    def keep_s(self, rules: Rows) -> npt.NDArray[np.float64]:
        """(T,) how long traces stay, by the rules that ``rules_of`` gave."""
        times = np.array([*(rule.keep_s for rule in self.rules), self._base_s])
        found: npt.NDArray[np.float64] = times[rules]
        return found

    def rules_of(self, source: SpanSource) -> Rows:
        """(T,) place among ``rules`` of that which decides over each trace of a source.

        -1: none does, ``block_retention`` holds.
        """
        if not self.rules:
            return np.full(source.rows(Table.TRACES), -1)
        scan = scan_of(source, self._control)
        found = self._longest(scan)
        shorter = np.array([*(rule.keep_s < self._base_s for rule in self.rules), False])
        for places, whole in whole_traces(scan, self._others, self._control):
            longest = self._longest(whole)
            found[places] = np.where(shorter[longest], -1, longest)
        return found

    def _longest(self, scan: SourceScan) -> Rows:
        """(T,) place of the longest rule that matches each trace of a source."""
        longest = np.full(len(scan.traces), -1)
        for place, rule in enumerate(self.rules):
            matches = evaluate(scan, rule.plan, None)
            if matches is not None:
                longest[matches.rows] = place
        return longest


def rules_of(texts: Sequence[str]) -> tuple[Rule, ...]:
    """Read all rules of a tenant. Raises: SettingsError."""
    return tuple(parse_rule(text) for text in texts)
