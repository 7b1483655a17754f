"""Settings of how queries are shared out among queriers."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontendSettings:
    """How a query-frontend has queries answered by queriers."""

    job_bytes: int = 256 * MIB
    """Bytes of the blocks that one job answers for, about; a larger block is a job of its own. A
    query over no more is not divided, and answered where it was asked if that is a querier, too."""
    jobs_max: int = 64
    """Jobs of one query, about; with more blocks they are larger."""
    concurrent_jobs: int = 32
    """Jobs that queriers have at a time, of all queries; the rest wait, tenants in turn."""
    attempts_max: int = 3
    """Queriers that are asked for a job before its query fails."""
    hedge_after_s: float = 3.0
    """A job that takes longer is given to the next querier, too, and the first answer counts; 0:
    never."""
