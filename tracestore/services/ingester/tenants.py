"""The tenants that have live state: opened by their first write, let go when they are idle.

A tenant costs a thread (the writer of its log) and the columns of its head, so their number is
bounded. One whose spans are all in blocks and that sends no more is closed after a while.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from types import MappingProxyType

from tracestore.errors import LimitExceededError
from tracestore.model.ids import TenantId
from tracestore.services.ingester.tenant import TenantLive
from tracestore.settings.tree import IngesterSettings


class Tenants:
    """Who has live state. Thread-safe; reading needs no lock."""

    def __init__(
        self, open_tenant: Callable[[TenantId], TenantLive], *, tenants_max: int, idle_s: float
    ) -> None:
        """Args:
        open_tenant: makes an empty one with an open log; may touch the disk.
        """
        self._open = open_tenant
        self._tenants_max = tenants_max
        self._idle_ns = int(idle_s * 1e9)
        self._lock = threading.Lock()
        """One change at a time; what is changed is replaced whole."""
        self._lives: MappingProxyType[TenantId, TenantLive] = MappingProxyType({})
        self._idle_since: dict[TenantId, int] = {}

    def get(self, tenant: TenantId) -> TenantLive | None:
        """Look up a tenant."""
        return self._lives.get(tenant)

    def all(self) -> tuple[TenantLive, ...]:
        """Get every tenant there is now, in the order of opening."""
        return tuple(self._lives.values())

    def put(self, lives: Iterable[TenantLive]) -> None:
        """Take over what the replay has found; there is no bound to what was acknowledged."""
        with self._lock:
            self._replace({**self._lives, **{live.tenant: live for live in lives}})

    def open(self, tenant: TenantId, *, bounded: bool = True) -> TenantLive:
        """Get a tenant, made if need be. For pool threads.

        Args:
            bounded: false for spans that are acknowledged already, as of an adopted log.

        Raises: LimitExceededError if there are too many; UnavailableError or SettingsError if its
        log cannot be opened.
        """
        found = self._lives.get(tenant)
        if found is not None:
            return found
        with self._lock:
            if found := self._lives.get(tenant):
                return found
            if bounded and len(self._lives) >= self._tenants_max:
                raise LimitExceededError(
                    f"{len(self._lives)} tenants have live traces, the limit is "
                    f"{self._tenants_max}: tenant {tenant} has to wait",
                    limit="ingester.tenants_max",
                )
            live = self._open(tenant)
            self._replace({**self._lives, tenant: live})
            return live

    def pressure(self, live: TenantLive, settings: IngesterSettings) -> str | None:
        """Say why a sender should wait for what all tenants have in memory, None if it need not.

        Each tenant is sure of an equal share of the bounds, whatever the others do.
        """
        lives = self.all()
        if len(lives) == 1:
            return None
        tenants = f"bytes of {len(lives)} tenants"
        pending = sum(each.pending_bytes for each in lives)
        share = settings.pending_bytes_max // len(lives)
        if pending >= settings.pending_bytes_max and live.pending_bytes >= share:
            return f"{pending} {tenants} wait for decoding, much of it of {live.tenant}"
        size = sum(each.wire_bytes for each in lives)
        share = settings.live_bytes_max // len(lives)
        if size >= settings.live_bytes_max and live.wire_bytes >= share:
            return f"{size} {tenants} wait to be written, much of it of {live.tenant}"
        return None

    def close_idle(self, now_ns: int, *, keep: frozenset[TenantId]) -> tuple[TenantId, ...]:
        """Let go of the tenants that have had nothing for a while. For pool threads.

        Args:
            now_ns: monotonic.
            keep: those that stay in any case.

        Returns: who was let go.
        """
        due = []
        for live in self.all():
            if live.tenant in keep or not live.is_empty:
                self._idle_since.pop(live.tenant, None)
            elif now_ns - self._idle_since.setdefault(live.tenant, now_ns) >= self._idle_ns:
                due.append(live)
        closed = tuple(live.tenant for live in due if self._close(live))
        for tenant in closed:
            self._idle_since.pop(tenant, None)
        return closed

    def _close(self, live: TenantLive) -> bool:
        """Close a tenant unless it has got spans meanwhile."""
        with self._lock:
            if not live.retire():
                return False
            self._replace({k: v for k, v in self._lives.items() if v is not live})
            live.close()
            return True

    def _replace(self, lives: dict[TenantId, TenantLive]) -> None:
        self._lives = MappingProxyType(lives)
