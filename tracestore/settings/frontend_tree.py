"""Settings of how queries are shared out among queriers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontendSettings:
    """How a query-frontend has queries answered by queriers."""

    concurrent_jobs: int = 32
    """Jobs that wait for queriers at a time, of all queries; the rest wait, tenants in turn."""
    attempts_max: int = 3
    """Queriers that are asked for a job before its query fails."""
    hedge_after_s: float = 3.0
    """A job that takes longer is given to the next querier, too, and the first answer counts; 0:
    never."""
