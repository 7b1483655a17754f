"""Which objects of a log in the bucket somebody still needs, and deleting the others.

An object goes once every tenant with records in it has them in committed blocks. Objects go from
the oldest on, so that what is left is one run of numbers.
"""

from __future__ import annotations

import threading

from tracestore.model.ids import TenantId, WriterId
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.layout import wal_key
from tracestore.storage.wal.ranges import WalRange, parse_range

DELETED_AT_ONCE = 500
"""Objects named in one request."""


class Dropping:
    """Bookkeeping of one log. ``delete_before`` is thread-safe, the rest needs the log's lock."""

    def __init__(self, store: ObjectStore, writer: WriterId) -> None:
        self._store = store
        self._writer = writer
        self._growing: dict[TenantId, WalRange] = {}
        """Objects with records since the last rotation."""
        self._promised: set[TenantId] = set()
        """Who was told that such a record is durable."""
        self._rotated: dict[TenantId, set[WalRange]] = {}
        """Handed out, and not released."""
        self._deleting = threading.Lock()
        self._kept = 1
        """The oldest object that is not deleted."""

    def wrote(self, tenant: TenantId, number: int) -> None:
        """Note that an object holds records of a tenant; numbers never go back."""
        before = self._growing.get(tenant)
        first = number if before is None else before.first
        self._growing[tenant] = WalRange(self._writer, first, number)

    def promised(self, tenant: TenantId) -> None:
        """Note that a record of a tenant, written since its last rotation, is acknowledged."""
        self._promised.add(tenant)

    def rotate(self, tenant: TenantId) -> WalRange | None:
        """End the range of a tenant. Returns: None if nothing was written since the last time."""
        ended = self._growing.pop(tenant, None)
        self._promised.discard(tenant)
        if ended is not None:
            self._rotated.setdefault(tenant, set()).add(ended)
        return ended

    def release(self, tenant: TenantId, names: tuple[str, ...]) -> None:
        """Note that blocks hold what these ranges name; others are ignored."""
        held = self._rotated.get(tenant, set())
        held -= {found for name in names if (found := parse_range(name)) is not None}
        if not held:
            self._rotated.pop(tenant, None)

    def needed(self, number: int) -> int:
        """Return the oldest object that somebody needs, ``number`` if it is older."""
        firsts = [e.first for tenant, e in self._growing.items() if tenant in self._promised]
        firsts += [each.first for held in self._rotated.values() for each in held]
        return min(firsts, default=number)

    def delete_before(self, number: int) -> None:
        """Delete the objects before a number. Raises: UnavailableError."""
        with self._deleting:
            while self._kept < number:
                end = min(number, self._kept + DELETED_AT_ONCE)
                self._store.delete_many([wal_key(self._writer, n) for n in range(self._kept, end)])
                self._kept = end
