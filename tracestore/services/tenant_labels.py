"""How metrics name tenants: by their names, as long as there are not too many.

A series for each name that a sender makes up would fill the memory of this process and of whoever
scrapes it. Later tenants share one name; nothing else about them changes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from prometheus_client import Gauge

OVERFLOW = "__overflow__"
"""Stands for all tenants beyond the bound."""


class TenantLabels:
    """Who has series of its own: the first to come. Thread-safe."""

    def __init__(self, tenants_max: int) -> None:
        self._tenants_max = tenants_max
        self._lock = threading.Lock()
        self._named: set[str] = set()

    def of(self, tenant: str) -> str:
        """Get the value of the label."""
        if tenant in self._named:
            return tenant
        with self._lock:
            if len(self._named) >= self._tenants_max and tenant not in self._named:
                return OVERFLOW
            self._named.add(tenant)
        return tenant

    def show(self, gauge: Gauge, values: Iterable[tuple[str, float]], *more: str) -> None:
        """Set a gauge for each tenant; those without a name together.

        Args:
            more: values of the labels behind the tenant's.
        """
        sums: dict[str, float] = {}
        for tenant, value in values:
            label = self.of(tenant)
            sums[label] = sums.get(label, 0) + value
        for label, value in sums.items():
            gauge.labels(label, *more).set(value)
