"""The threads of a process, by purpose."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields

from tracestore.services.blocking import BlockingPool
from tracestore.settings.tree import Settings

WAITING_MAX = 1024
"""Functions that may wait for a thread of any pool but that of the queries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pools:
    """All of them; a pool that nothing is given to has no thread."""

    receive: BlockingPool
    unpack: BlockingPool
    decode: BlockingPool
    flush: BlockingPool
    index: BlockingPool
    query: BlockingPool
    compact: BlockingPool
    """Merges blocks, one piece of work at a time."""
    adopt: BlockingPool
    """Reads the logs of processes that are gone."""
    generate: BlockingPool
    """Writes out metrics of spans."""
    live: BlockingPool
    """Serves queries of other processes; what runs in it waits for no process."""

    def close(self) -> None:
        """End the threads, once nothing uses them any more."""
        for field in fields(self):
            getattr(self, field.name).close()


def make_pools(settings: Settings) -> Pools:
    """Make the pools of a process."""
    cores = os.cpu_count() or 1
    full = "too many requests wait"
    return Pools(
        receive=BlockingPool(
            "receive", threads=min(4, cores), waiting_max=WAITING_MAX, refusal=full
        ),
        unpack=BlockingPool("unpack", threads=min(4, cores), waiting_max=WAITING_MAX, refusal=full),
        decode=BlockingPool("decode", threads=1, waiting_max=WAITING_MAX, refusal=full),
        flush=BlockingPool(
            "flush",
            threads=settings.ingester.flush_concurrency,
            waiting_max=WAITING_MAX,
            refusal=full,
        ),
        index=BlockingPool("index", threads=1, waiting_max=WAITING_MAX, refusal=full),
        query=BlockingPool(
            "query",
            threads=settings.query.max_concurrent_queries,
            waiting_max=settings.query.max_outstanding_queries,
            refusal="job queue full",
        ),
        compact=BlockingPool("compact", threads=1, waiting_max=WAITING_MAX, refusal=full),
        adopt=BlockingPool("adopt", threads=1, waiting_max=WAITING_MAX, refusal=full),
        generate=BlockingPool("generate", threads=1, waiting_max=WAITING_MAX, refusal=full),
        live=BlockingPool(
            "live", threads=settings.query.live.read_threads, waiting_max=WAITING_MAX, refusal=full
        ),
    )
