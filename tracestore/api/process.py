"""One process, wired: settings in, running servers out. It is the sum of the roles of its target.

What all roles share is in ``api/roles/ground.py``, each role in a module beside it; here is only
who gets what from whom. The API answers first, so that probes see a process that is starting;
receivers listen once the log is replayed. On the way out it goes backwards: refuse, finish, flush,
close.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tracestore.api.roles.cluster import ClusterPart
from tracestore.api.roles.distributor import DistributorRole
from tracestore.api.roles.ground import Ground
from tracestore.api.roles.ingester import IngesterRole, wal_directory
from tracestore.api.roles.queries import QueryRole
from tracestore.clock import Clock, SystemClock
from tracestore.errors import SettingsError
from tracestore.services.lifecycle import Service, Supervisor
from tracestore.services.members.member import Role
from tracestore.settings.load import LoadedSettings
from tracestore.storage.wal.lock import DirectoryLock

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where the process answers, from this machine; None where a receiver is switched off."""

    api_url: str
    grpc: str
    """host:port of the streaming API"""
    otlp_grpc: str | None
    """host:port"""
    otlp_http: str | None
    """URL without path"""
    zipkin: str | None
    """URL without path"""
    jaeger_http: str | None
    """URL without path"""
    jaeger_grpc: str | None
    """host:port"""


async def serve(
    loaded: LoadedSettings,
    *,
    on_ready: Callable[[Endpoints], None] | None = None,
    stop: asyncio.Event,
) -> None:
    """Run the process until ``stop`` is set, then drain it.

    Args:
        on_ready: called once when everything answers, with the ports that were taken.

    Raises: SettingsError for what the operator should mend (a port or directory in use, an
    unreadable directory); what made a service fail.
    """
    if loaded.settings.target != "all":
        raise SettingsError(f"target {loaded.settings.target!r} is not there yet, use all")
    directories = {Path(loaded.settings.storage.path), wal_directory(loaded.settings).parent}
    with ExitStack() as held:
        for directory in sorted(directories):
            held.callback(DirectoryLock(directory).release)
        process = Process(loaded, SystemClock(), random.SystemRandom(), held)
        try:
            await process.run(stop, on_ready)
        finally:
            process.close_pools()


class Process:
    """The parts of a process with all roles."""

    def __init__(
        self, loaded: LoadedSettings, clock: Clock, rng: random.Random, held: ExitStack
    ) -> None:
        """Make every part; nothing runs yet, but the ports are taken.

        Args:
            held: closes what was opened if making the rest fails.
        """
        self._ground = Ground(loaded, clock, rng, held)
        self._cluster = ClusterPart(self._ground, roles=frozenset(Role))
        self._ingester = IngesterRole(self._ground)
        ingester = self._ingester.ingester
        self._distributor = DistributorRole(self._ground, ingester, held)
        self._queries = QueryRole(self._ground, ingester, lambda: ingester.is_ready)

    async def run(self, stop: asyncio.Event, on_ready: Callable[[Endpoints], None] | None) -> None:
        """Start, live until ``stop``, drain."""
        services: list[Service] = [
            *self._ground.services(),
            *self._cluster.services(),
            *self._ingester.services(),
            *self._distributor.services(),
            *self._queries.services(),
        ]
        supervisor = Supervisor(services)
        self._cluster.start_with(supervisor)
        self._queries.add_routes(supervisor)
        self._ground.add_routes(
            supervisor, self._ingester.ingester.flush_all, pages=self._cluster.pages()
        )
        endpoints = self._endpoints()

        def started() -> None:
            extra = {
                "api": endpoints.api_url,
                "grpc": endpoints.grpc,
                "otlp_grpc": endpoints.otlp_grpc,
            }
            log.info("ready", extra=extra)
            if on_ready is not None:
                on_ready(endpoints)

        await supervisor.run_until(stop, on_started=started)

    def _endpoints(self) -> Endpoints:
        receivers = self._distributor
        return Endpoints(
            api_url=self._ground.api_url,
            grpc=str(self._ground.grpc_address.reachable),
            otlp_grpc=receivers.otlp_grpc,
            otlp_http=receivers.otlp_http,
            zipkin=receivers.others.zipkin,
            jaeger_http=receivers.others.jaeger_http,
            jaeger_grpc=receivers.others.jaeger_grpc,
        )

    def close_pools(self) -> None:
        """End the threads, once nothing uses them any more."""
        self._ground.pools.close()
