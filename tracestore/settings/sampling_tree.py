"""How the sampling policies of tenants are carried out; the policies are among the limits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingSettings:
    """When traces are judged, and how long that is remembered. Of tenants with a policy only."""

    decision_wait_s: float = 10.0
    """How long live tables wait, once they are full or old enough for a block, for late spans of
    their traces. Not at the end of the process, nor when memory gets short."""
    remember_s: float = 3600.0
    """How long a decision is remembered for spans that come later, across restarts too, up to a
    day. Later spans are judged by themselves."""
    remembered_traces_max: int = 4_000_000
    """Decisions remembered, of all tenants, 10 B each; beyond it the oldest are forgotten."""
