"""Settings of the PromQL that is answered from stored spans."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusSettings:
    """What counters mean that are made of stored spans, and bounds of queries of them."""

    lookback_s: float = 3600.0
    """How far back a counter without ``rate`` counts: a series is there if it had a span then. The
    request's ``lookback_delta`` goes before it."""
    stale_s: float = 900.0
    """How long after its last span a series is still there in ``rate`` and the like, as 0, as with
    Tempo's generator. Longer: more spans are looked at. 0: not at all."""
    max_duration_s: float = 168 * 3600.0
    """Longest time that a query may reach over, ranges of selectors included; 0 is unlimited. A
    tenant's ``max_metrics_duration`` goes before it."""
    max_points: int = 11_000
    """Points of a series in an answer, as Prometheus has it."""
