"""The limits of tenants, kept current: the file is read again while the process runs.

States: loaded -> following. A bad file ends the start; a bad file later changes nothing, is logged
once, and shows in ``tempo_runtime_config_last_reload_successful``.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from tracestore.clock import Clock
from tracestore.errors import InvalidRequestError, SettingsError
from tracestore.model.ids import TenantId, parse_tenant_id
from tracestore.services.blocking import BlockingPool
from tracestore.settings.limits import OverridesSettings, TenantLimits
from tracestore.settings.overrides import ANY_TENANT, Overrides, TenantFile
from tracestore.settings.render_overrides import render_file
from tracestore.telemetry import Metrics

log = logging.getLogger(__name__)


def check_tenants(file: TenantFile, *, source: str) -> None:
    """See that every block is of a tenant that can be. Raises: SettingsError."""
    for name in file.blocks:
        if name == ANY_TENANT:
            continue
        try:
            parse_tenant_id(name)
        except InvalidRequestError as error:
            raise SettingsError(f"{source}: {error}") from error


class OverridesFollower:
    """Owns the limits of all tenants; what others hold is replaced whole, never changed."""

    name = "overrides"

    def __init__(
        self,
        settings: OverridesSettings,
        read_file: Callable[[], TenantFile],
        pool: BlockingPool,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        """Read the file for the first time.

        Args:
            read_file: reads and checks it; an empty one if none is named.

        Raises: SettingsError in one line.
        """
        self._settings = settings
        self._read_file = read_file
        self._pool = pool
        self._metrics = metrics
        self._clock = clock
        self._complaint = ""
        """Of the last read, so that it is logged once."""
        self._publish(self._read())

    def current(self) -> Overrides:
        """Get what holds now. Thread-safe."""
        return self._current

    def limits(self, tenant: TenantId) -> TenantLimits:
        """Get the limits of a tenant as they are now. Thread-safe."""
        return self._current.limits(tenant)

    def render(self, mode: str) -> str:
        """Render the file as it is understood; with mode ``diff`` what the defaults do not have."""
        return render_file(self._current.file, self._current.defaults, diff=mode == "diff")

    async def start(self) -> None:
        """The file is read already; say what is odd about it."""
        self._tell(self._current)

    async def run(self) -> None:
        """Read the file again and again, until cancelled."""
        while True:
            await self._clock.sleep(self._settings.per_tenant_override_period_s)
            if self._settings.per_tenant_override_config:
                await self.poll_once()

    async def poll_once(self) -> None:
        """Take what the file says now; if it is bad, keep what it said before."""
        try:
            file = await self._pool.run(self._read)
        except SettingsError as error:
            self._metrics.reload_successful.set(0)
            if str(error) != self._complaint:
                self._complaint = str(error)
                log.error(
                    "overrides are bad, those of before hold on", extra={"error": self._complaint}
                )
            return
        self._metrics.reload_successful.set(1)
        self._complaint = ""
        if file.sha256 != self._current.file.sha256:
            self._publish(file)
            log.info("overrides are read again", extra={"tenants": len(file.blocks)})
            self._tell(self._current)

    async def drain(self) -> None:
        """Nothing to hand over."""

    def _read(self) -> TenantFile:
        file = self._read_file()
        check_tenants(file, source=self._settings.per_tenant_override_config)
        return file

    def _publish(self, file: TenantFile) -> None:
        self._current = Overrides.of(self._settings.defaults, file)
        metrics = self._metrics
        metrics.reload_successful.set(1)
        metrics.runtime_config_hash.clear()
        metrics.runtime_config_hash.labels(file.sha256).set(1)
        for name, value in shown_limits(self._current.defaults).items():
            metrics.limits_defaults.labels(name).set(value)
        metrics.limits_overrides.clear()
        for tenant, limits in self._current.by_tenant.items():
            for name, value in shown_limits(limits).items():
                metrics.limits_overrides.labels(name, tenant).set(value)

    def _tell(self, overrides: Overrides) -> None:
        """Warn of what may not be what the operator means."""
        for warning in overrides.file.warnings:
            log.warning(warning)
        for tenant, paths in overrides.left_out().items():
            log.warning(
                "the block of a tenant replaces overrides.defaults whole: what it does not repeat "
                "does not hold for it",
                extra={"tenant": tenant, "limits": " ".join(paths)},
            )


def shown_limits(limits: TenantLimits) -> dict[str, float]:
    """Get the limits that metrics show, by the names that Tempo gives them; no limit is infinite
    where 0 would refuse everything."""
    rate, burst = limits.ingestion.bucket or (math.inf, math.inf)
    return {
        "max_local_traces_per_user": limits.ingestion.max_traces_per_user,
        "max_global_traces_per_user": limits.ingestion.max_global_traces_per_user,
        "max_bytes_per_trace": limits.global_.max_bytes_per_trace,
        "max_bytes_per_tag_values_query": limits.read.max_bytes_per_tag_values_query or 0,
        "max_blocks_per_tag_values_query": limits.read.max_blocks_per_tag_values_query,
        "ingestion_rate_limit_bytes": rate,
        "ingestion_burst_size_bytes": burst,
        "block_retention": limits.compaction.block_retention_s,
        "compaction_window": limits.compaction.compaction_window_s,
        "metrics_generator_max_active_series": limits.metrics_generator.max_active_series,
    }
