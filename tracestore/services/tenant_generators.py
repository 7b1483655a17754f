"""What holds now for the metrics of each tenant: server, file and what tenants set themselves.

Precedence: what the tenant has set by the API, its block in the file, the block ``*``, the
defaults; below all of them the settings of the server.

Source: wire contract, sections 18.1 and 18.4.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tracestore.model.ids import TenantId
from tracestore.settings.generator_limits import GeneratorLimits, TenantGenerator
from tracestore.settings.generator_tree import GeneratorSettings
from tracestore.settings.limits import TenantLimits
from tracestore.settings.overrides import Overrides, TenantBlock, with_own
from tracestore.settings.tenant_generator import NO_PATH, tenant_generator

log = logging.getLogger(__name__)

UserBlocks = Mapping[TenantId, TenantBlock]
_EVERYBODY = ""
"""Stands for all tenants that neither the file nor the API names."""


@dataclass(frozen=True, slots=True)
class _Version:
    """What was worked out of one version of all that is set."""

    overrides: Overrides
    own: UserBlocks
    found: dict[str, TenantGenerator] = field(default_factory=dict)


class TenantGenerators:
    """Knows what holds for each tenant. Thread-safe."""

    def __init__(
        self,
        settings: GeneratorSettings,
        overrides: Callable[[], Overrides],
        own: Callable[[], UserBlocks],
    ) -> None:
        """Take where the settings come from.

        Args:
            overrides: of the file, as they are now; another object when they change.
            own: what tenants have set themselves, likewise.
        """
        self._settings = settings
        self._overrides = overrides
        self._own = own
        self._version = _Version(overrides(), own())
        self._has_told = False

    def generator(self, tenant: TenantId) -> TenantGenerator:
        """Get what holds for a tenant now.

        Returns: the same object while nothing is changed for anybody; an equal one while nothing is
            changed for the tenant.
        Cost: two lookups; once after each change, building the value.
        """
        overrides, own, version = self._overrides(), self._own(), self._version
        if version.overrides is not overrides or version.own is not own:
            # Threads that meet here may each make a version; all of them are right.
            version = self._version = _Version(overrides, own)
        named = tenant in own or tenant in overrides.by_tenant
        key = tenant if named else _EVERYBODY
        found = version.found.get(key)
        if found is None:
            limits = _limits(overrides, own, tenant)
            found = tenant_generator(self._settings, limits)
            version.found[key] = found
            if limits.processors:
                self._tell_if_off()
        return found

    def wants(self, tenant: TenantId) -> bool:
        """Tell whether processors are asked for, also where this process could make no metrics."""
        overrides, own = self._overrides(), self._own()
        if tenant not in own:  # the way of every request: cheap
            return bool(overrides.limits(tenant).metrics_generator.processors)
        return bool(_limits(overrides, own, tenant).processors)

    def start(self) -> None:
        """Say once, if it is so, that processors are asked for and nothing is made."""
        overrides = self._overrides()
        everybody = (overrides.defaults, *overrides.by_tenant.values())
        if any(limits.metrics_generator.processors for limits in everybody):
            self._tell_if_off()

    def _tell_if_off(self) -> None:
        if not self._settings.storage.path and not self._has_told:
            self._has_told = True
            log.warning(NO_PATH)

    def limits(self, tenant: TenantId) -> TenantLimits:
        """Get all limits of a tenant, what it has set itself among them."""
        overrides = self._overrides()
        merged = _limits(overrides, self._own(), tenant)
        return dataclasses.replace(overrides.limits(tenant), metrics_generator=merged)

    def has_own(self, tenant: TenantId) -> bool:
        """Tell whether a tenant has set anything itself."""
        return tenant in self._own()


def _limits(overrides: Overrides, own: UserBlocks, tenant: TenantId) -> GeneratorLimits:
    limits = overrides.limits(tenant).metrics_generator
    block = own.get(tenant)
    return limits if block is None else with_own(limits, block)
