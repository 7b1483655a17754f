"""How long the traces of a tenant stay: its own time, rules by TraceQL, pins.

A trace that rules match stays as long as the longest of them says, shorter or longer than the
tenant's own time; any other trace stays for that. A pinned trace stays.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from tracestore.query.metered_source import MeteredSource
from tracestore.query.plan import SearchPlan, plan_search
from tracestore.query.scan import SourceScan
from tracestore.query.tables_source import TablesSource
from tracestore.settings.units import parse_unit_duration

Mask = npt.NDArray[np.bool_]
FOR_EVER_S = float("inf")


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
    ) -> None:
        self._retention = retention
        self._pinned = pa.array(sorted(pinned), pa.binary(16))
        self._control = QueryControl(clock=clock)
        self._now_ns = now_ns

    def __call__(self, tables: SpanTables) -> Mask:
        """(T,) the traces that stay."""
        ends = tables.traces["end_time"].combine_chunks().view(pa.int64()).to_numpy()
        ages_s = (self._now_ns - ends) / 1e9
        kept: Mask = ages_s <= self._keep_s(tables)
        if len(self._pinned):
            ids = tables.traces["trace_id"]
            pinned = pa.compute.is_in(ids, value_set=self._pinned)
            kept = kept | pinned.combine_chunks().to_numpy(zero_copy_only=False)
        return kept

    def _keep_s(self, tables: SpanTables) -> npt.NDArray[np.float64]:
        """(T,) how long each trace stays."""
        longest = np.full(tables.traces.num_rows, -1.0)
        for rule in self._retention.rules:
            rows = self._matching(tables, rule.plan)
            longest[rows] = np.maximum(longest[rows], rule.keep_s)
        return np.where(longest >= 0, longest, self._retention.base_s)

    def _matching(self, tables: SpanTables, plan: SearchPlan) -> npt.NDArray[np.int64]:
        source = MeteredSource(TablesSource(tables, "retention"), self._control, None)
        matches = evaluate(SourceScan(source, QueryStats(), self._control), plan, None)
        return np.empty(0, np.int64) if matches is None else matches.rows


def rules_of(texts: Sequence[str]) -> tuple[Rule, ...]:
    """Read all rules of a tenant. Raises: SettingsError."""
    return tuple(parse_rule(text) for text in texts)
