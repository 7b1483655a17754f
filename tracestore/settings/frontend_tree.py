"""Settings of how queries are shared out among queriers."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontendSettings:
    """How a query-frontend has queries answered by queriers."""

    home_bytes_max: int = 64 * MIB
    """A query over no more bytes of blocks is answered by the process that was asked, if it is a
    querier, too."""
    job_bytes: int = 100 * MIB
    """Bytes of the blocks that one job answers for, about; a larger block is a job of its own."""
    jobs_max: int = 256
    """Jobs of one query; with more blocks they are larger."""
    concurrent_jobs: int = 32
    """Jobs that wait for queriers at a time, of all queries; the rest wait, tenants in turn."""
    attempts_max: int = 3
    """Queriers that are asked for a job before its query fails."""
    hedge_after_s: float = 3.0
    """A job that takes longer is given to the next querier, too, and the first answer counts; 0:
    never."""
