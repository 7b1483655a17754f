"""How long traces stay: the tenant's own time, the longest rule that matches, pins."""

from __future__ import annotations

import pytest
from support.clocks import ManualClock
from support.otlp import request, span

from tracestore.errors import SettingsError
from tracestore.kernel import build_tables
from tracestore.query.tables_source import TablesSource
from tracestore.services.compactor.retention import Keeper, Retention, parse_rule, rules_of

DAY_S = 86400.0


def kept(age_days: float, *, pinned: frozenset[bytes] = frozenset()) -> list[str]:
    """Names of the roots of the traces that stay at an age."""
    spans = [
        span(trace=1, id=1, name="plain"),
        span(trace=2, id=2, name="failed", status="error"),
        span(trace=3, id=3, name="health"),
        span(trace=4, id=4, name="failed health", status="error"),
    ]
    tables = build_tables([request(resource={"service.name": "a"}, spans=spans)])
    end = max(tables.traces["end_time"].cast("int64").to_pylist())
    rules = rules_of(["{status=error}: 90d", '{ name =~ ".*health" }: 1d'])
    keeper = Keeper(
        Retention(base_s=14 * DAY_S, rules=rules),
        pinned=pinned,
        clock=ManualClock(),
        now_ns=end + int(age_days * DAY_S * 1e9),
        newest_ns=end,
    )
    names = tables.traces["root_name"].to_pylist()
    return [name for name, stays in zip(names, keeper.of_tables(tables), strict=True) if stays]


def test_rules_keep_longer_and_shorter() -> None:
    assert kept(0.5) == ["plain", "failed", "health", "failed health"]
    assert kept(2) == ["plain", "failed", "failed health"]
    assert kept(15) == ["failed", "failed health"]
    assert kept(91) == []


def test_a_pinned_trace_stays() -> None:
    assert kept(1000, pinned=frozenset({(3).to_bytes(16, "big")})) == ["health"]


def test_rules_see_a_trace_whole() -> None:
    """The error is in another block; the health check in parts is not taken apart."""
    here = [span(trace=1, id=1, name="plain"), span(trace=2, id=2, name="health")]
    there = [span(trace=1, id=9, status="error"), span(trace=2, id=9, name="more")]
    tables, other = (
        build_tables([request(resource={"service.name": "a"}, spans=spans)])
        for spans in (here, there)
    )
    end = max(tables.traces["end_time"].cast("int64").to_pylist())

    def stays(age_days: float, *, others: bool) -> list[bool]:
        keeper = Keeper(
            Retention(
                base_s=14 * DAY_S,
                rules=rules_of(["{status=error}: 90d", '{ name =~ ".*health" }: 1d']),
            ),
            pinned=frozenset(),
            clock=ManualClock(),
            now_ns=end + int(age_days * DAY_S * 1e9),
            newest_ns=end,
            others=[TablesSource(other, "other")] if others else [],
        )
        return list(keeper.of_tables(tables).tolist())

    assert stays(2, others=False) == [True, False]
    assert stays(2, others=True) == [True, True]
    assert stays(15, others=False) == [False, False]
    assert stays(15, others=True) == [True, False]


def test_spans_from_the_future_are_as_old_as_their_block() -> None:
    tables = build_tables(
        [request(resource={}, spans=[span(trace=1, id=1, start_ms=1e12), span(trace=2, id=1)])]
    )
    written_ns = 1_700_000_100 * 10**9
    keeper = Keeper(
        Retention(base_s=DAY_S),
        pinned=frozenset(),
        clock=ManualClock(),
        now_ns=written_ns + int(2 * DAY_S * 1e9),
        newest_ns=written_ns,
    )
    assert keeper.of_tables(tables).tolist() == [False, False]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{status=error}", "QUERY: DURATION"),
        ("{status=error}: soon", "soon"),
        ("{status=error}: 0", "above 0"),
        ("{status=}: 1d", "status"),
    ],
)
def test_rules_that_cannot_be_read(text: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_rule(text)
    assert says in str(caught.value)
