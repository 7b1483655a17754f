"""How long traces stay: the tenant's own time, the longest rule that matches, pins."""

from __future__ import annotations

import pytest
from support.clocks import ManualClock
from support.otlp import request, span

from tracestore.errors import SettingsError
from tracestore.kernel import build_tables
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
    )
    names = tables.traces["root_name"].to_pylist()
    return [name for name, stays in zip(names, keeper(tables), strict=True) if stays]


def test_rules_keep_longer_and_shorter() -> None:
    assert kept(0.5) == ["plain", "failed", "health", "failed health"]
    assert kept(2) == ["plain", "failed", "failed health"]
    assert kept(15) == ["failed", "failed health"]
    assert kept(91) == []


def test_a_pinned_trace_stays() -> None:
    assert kept(1000, pinned=frozenset({(3).to_bytes(16, "big")})) == ["health"]


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
