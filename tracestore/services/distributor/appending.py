"""Who makes requests durable for the distributor, and the one who does it in this process."""

from __future__ import annotations

from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, Protocol

from tracestore.kernel import RequestCheck
from tracestore.model.ids import TenantId
from tracestore.services.blocking import Completions

Body = bytes | bytearray


class Pending(Protocol):
    """A request that is being made durable."""

    def wait(self) -> Coroutine[Any, Any, None]:
        """Return once it is durable, all of it. Raises: TracestoreError if not."""


class Appender(Protocol):
    """What the distributor needs: an ingester, or several in other processes."""

    def has(self, tenant: TenantId) -> bool:
        """Tell whether appending for a tenant needs no preparation, which would block."""

    def append(
        self, tenant: TenantId, request: Body, checked: RequestCheck, *, counted: bool = True
    ) -> Pending:
        """Take a valid request. Called in the event loop or in pool threads; never waits.

        Args:
            counted: whether metrics may be made of its spans.

        Raises: TracestoreError; nothing of it was stored then.
        """

    async def wait_for_room(self, tenant: TenantId) -> None:
        """Wait while too much is not yet decoded or flushed. Raises: UnavailableError."""


class Ingesting(Protocol):
    """What is needed of an ingester in this process."""

    @property
    def is_ready(self) -> bool:
        """Whether it takes requests."""

    def has(self, tenant: TenantId) -> bool:
        """As in ``Appender``."""

    def append(
        self, tenant: TenantId, request: Body, checked: RequestCheck, *, counted: bool = True
    ) -> Future[Any]:
        """Make a valid request durable. Never blocks on the disk.

        Args:
            counted: whether metrics may be made of its spans.

        The future ends when the record is synced, or with UnavailableError.
        """

    async def wait_for_room(self, tenant: TenantId) -> None:
        """As in ``Appender``."""


class LocalAppender:
    """Appends to the ingester of this process; nothing is copied."""

    def __init__(self, ingester: Ingesting) -> None:
        self._ingester = ingester
        self._completions = Completions()

    @property
    def is_ready(self) -> bool:
        """Whether the ingester takes requests."""
        return self._ingester.is_ready

    def has(self, tenant: TenantId) -> bool:
        """See ``Appender``."""
        return self._ingester.has(tenant)

    def append(
        self, tenant: TenantId, request: Body, checked: RequestCheck, *, counted: bool = True
    ) -> Pending:
        """See ``Appender``."""
        durable = self._ingester.append(tenant, request, checked, counted=counted)
        return _Local(self._completions, durable)

    async def wait_for_room(self, tenant: TenantId) -> None:
        """See ``Appender``."""
        await self._ingester.wait_for_room(tenant)


class _Local:
    """A record that waits for its sync."""

    __slots__ = ("_completions", "_durable")

    def __init__(self, completions: Completions, durable: Future[Any]) -> None:
        self._completions = completions
        self._durable: Future[Any] | None = durable

    async def wait(self) -> None:
        durable, self._durable = self._durable, None
        assert durable is not None
        try:
            await self._completions.wait(durable)
        finally:
            del durable  # an error that it holds holds this frame, and the request with it
