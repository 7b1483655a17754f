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
from tracestore.api.roles.compactor import CompactorRole, add_pin_routes
from tracestore.api.roles.distributor import (
    DistributorRole,
    make_appender,
    make_generator_pushes,
)
from tracestore.api.roles.generator import GeneratorRole
from tracestore.api.roles.ground import LOCAL_BACKEND, Ground
from tracestore.api.roles.ingester import IngesterRole
from tracestore.api.roles.queries import QueryParts, QueryRole
from tracestore.api.roles.snapshots import LiveReads, NoLiveTables
from tracestore.api.roles.wal import wal_directory
from tracestore.clock import Clock, SystemClock
from tracestore.errors import SettingsError
from tracestore.services.lifecycle import Service, Supervisor
from tracestore.services.members.member import Role
from tracestore.settings.load import LoadedSettings
from tracestore.settings.tenant_generator import NO_PATH
from tracestore.settings.tree import Settings
from tracestore.storage.wal.lock import DirectoryLock

log = logging.getLogger(__name__)

ALL_TARGETS = frozenset({"all", "scalable-single-binary"})
"""Targets that are every role in one process; Tempo's users know the second."""
ON_A_BUCKET = frozenset({Role.QUERIER, Role.QUERY_FRONTEND, Role.COMPACTOR})
"""Roles that, apart, see nothing but what is in a bucket that all processes share."""
STORELESS = frozenset({Role.DISTRIBUTOR, Role.METRICS_GENERATOR})
"""The roles that need neither blocks nor index."""
ALIASES = {"metrics-generator-no-local-blocks": Role.METRICS_GENERATOR}
"""Other names of Tempo for a role."""


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
    settings = loaded.settings
    roles = roles_of(settings.target)
    directories: set[Path] = set()
    if not roles <= STORELESS and settings.storage.backend == "local":
        directories.add(Path(settings.storage.path))
    if Role.INGESTER in roles:
        directories.add(wal_directory(settings).parent)
    with ExitStack() as held:
        for directory in sorted(directories):
            held.callback(DirectoryLock(directory).release)
        process = Process(loaded, roles, SystemClock(), random.SystemRandom(), held)
        try:
            await process.run(stop, on_ready)
        finally:
            process.close_pools()


def roles_of(target: str) -> frozenset[Role]:
    """Get the roles that a target names; the settings are checked."""
    if target in ALL_TARGETS:
        return frozenset(Role)
    return frozenset({ALIASES.get(target) or Role(target)})


class Process:
    """The parts of a process with some roles."""

    def __init__(
        self,
        loaded: LoadedSettings,
        roles: frozenset[Role],
        clock: Clock,
        rng: random.Random,
        held: ExitStack,
    ) -> None:
        """Make every part; nothing runs yet, but the ports are taken.

        Args:
            held: closes what was opened if making the rest fails.

        Raises: SettingsError.
        """
        _check_members(loaded.settings, roles)
        self._ground = ground = Ground(loaded, clock, rng, held, has_store=not roles <= STORELESS)
        if Role.METRICS_GENERATOR in roles:
            ground.generators.start()
            if not loaded.settings.metrics_generator.storage.path:
                roles -= {Role.METRICS_GENERATOR}
        self._cluster = cluster = ClusterPart(ground, roles)
        self._generator: GeneratorRole | None = None
        if Role.METRICS_GENERATOR in roles:
            self._generator = GeneratorRole(ground, cluster)
        taps = None if self._generator is None else self._generator.generator.tap
        self._ingester = IngesterRole(ground, cluster, taps) if Role.INGESTER in roles else None
        ingester = None if self._ingester is None else self._ingester.ingester
        self._distributor: DistributorRole | None = None
        if Role.DISTRIBUTOR in roles:
            inbox = None if self._generator is None else self._generator.inbox
            pushes = make_generator_pushes(ground, cluster, inbox)
            appender = make_appender(ground, cluster, ingester, pushes)
            self._distributor = DistributorRole(ground, appender, pushes, held)
        self._queries: QueryRole | None = None
        if roles & {Role.QUERIER, Role.QUERY_FRONTEND}:
            parts = QueryParts(
                live=NoLiveTables() if ingester is None else ingester,
                is_ready=lambda: cluster.has_started if ingester is None else ingester.is_ready,
                reads=LiveReads(ground, self._ingester) if ground.is_shared else None,
            )
            self._queries = QueryRole(ground, cluster, roles, parts)
        self._compactor = CompactorRole(ground, cluster) if Role.COMPACTOR in roles else None

    async def run(self, stop: asyncio.Event, on_ready: Callable[[Endpoints], None] | None) -> None:
        """Start, live until ``stop``, drain."""
        supervisor = Supervisor(self._services())
        self._cluster.start_with(supervisor)
        if self._queries is not None:
            self._queries.add_routes(supervisor)
            add_pin_routes(self._ground)
        self._ground.add_routes(
            supervisor,
            flush=None if self._ingester is None else self._ingester.ingester.flush_all,
            pages=self._cluster.pages(),
            lacking=self._lacking,
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

    def _services(self) -> list[Service]:
        """Get what runs, in the order of the start; it drains in reverse."""
        services = [*self._ground.services(), *self._cluster.services()]
        for role in (
            self._generator,
            self._ingester,
            self._distributor,
            self._queries,
            self._compactor,
        ):
            if role is not None:
                services += role.services()
        return services

    def _lacking(self) -> str:
        """Say what the process needs of others and has not."""
        parts = [part for part in (self._distributor, self._queries) if part is not None]
        return "; ".join(said for part in parts if (said := part.lacking()))

    def _endpoints(self) -> Endpoints:
        receivers = self._distributor
        others = None if receivers is None else receivers.others
        return Endpoints(
            api_url=self._ground.api_url,
            grpc=str(self._ground.grpc_address.reachable),
            otlp_grpc=None if receivers is None else receivers.otlp_grpc,
            otlp_http=None if receivers is None else receivers.otlp_http,
            zipkin=None if others is None else others.zipkin,
            jaeger_http=None if others is None else others.jaeger_http,
            jaeger_grpc=None if others is None else others.jaeger_grpc,
        )

    def close_pools(self) -> None:
        """End the threads, once nothing uses them any more."""
        self._ground.pools.close()


def _check_members(settings: Settings, roles: frozenset[Role]) -> None:
    """See that the roles can run apart, and know where to find others. Raises: SettingsError."""
    if roles <= ON_A_BUCKET and settings.storage.backend == LOCAL_BACKEND:
        raise SettingsError(
            f"target {settings.target} needs a bucket that all processes share: set "
            "storage.trace.backend to s3"
        )
    is_generator = roles == frozenset({Role.METRICS_GENERATOR})
    if is_generator and not settings.metrics_generator.storage.path:
        raise SettingsError(NO_PATH)
    if roles != frozenset(Role) and not settings.members.configured:
        raise SettingsError(
            f"target {settings.target} needs to know the other processes: set members.dns or "
            "members.static"
        )
