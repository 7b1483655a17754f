"""Traces that a tenant keeps whatever their age: an object for each, created conditionally."""

from __future__ import annotations

import json

from tracestore.clock import Clock
from tracestore.errors import ConflictError, LimitExceededError, NotFoundError
from tracestore.model.ids import TenantId
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.layout import parse_pin_key, pin_key, pins_prefix

FORMAT_VERSION = 1


class Pins:
    """The pins of all tenants. Synchronous, thread-safe."""

    def __init__(self, store: ObjectStore, clock: Clock, *, pins_max: int) -> None:
        """Args:
        pins_max: of one tenant.
        """
        self._store = store
        self._clock = clock
        self._pins_max = pins_max

    def pin(self, tenant: TenantId, trace_id: bytes) -> bool:
        """Keep a trace. Returns: whether it was not pinned before.

        Raises: LimitExceededError if the tenant has pinned too many; UnavailableError.
        """
        if self.pinned_ns(tenant, trace_id) is not None:
            return False
        if len(self.all(tenant)) >= self._pins_max:
            raise LimitExceededError(
                f"tenant {tenant} has pinned {self._pins_max} traces "
                "(compactor.compaction.pins_max): unpin some",
                limit="pins_max",
            )
        values = {"format_version": FORMAT_VERSION, "pinned_ns": self._clock.now_ns()}
        try:
            self._store.put_if_absent(pin_key(tenant, trace_id), json.dumps(values).encode())
        except ConflictError:
            return False  # somebody else did it meanwhile
        return True

    def unpin(self, tenant: TenantId, trace_id: bytes) -> None:
        """Let a trace go with its time. No error if it is not pinned. Raises: UnavailableError."""
        self._store.delete(pin_key(tenant, trace_id))

    def pinned_ns(self, tenant: TenantId, trace_id: bytes) -> int | None:
        """Say since when a trace is pinned; None: it is not. Raises: UnavailableError."""
        try:
            content = self._store.get(pin_key(tenant, trace_id))
        except NotFoundError:
            return None
        return int(json.loads(content)["pinned_ns"])

    def all(self, tenant: TenantId) -> frozenset[bytes]:
        """List the pinned traces of a tenant. Cost: a LIST. Raises: UnavailableError."""
        keys = (parse_pin_key(info.key) for info in self._store.list(pins_prefix(tenant)))
        return frozenset(key[1] for key in keys if key is not None)
