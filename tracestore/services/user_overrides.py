"""Overrides that tenants set themselves: an object for each in the store, changed conditionally.

The version of a tenant's overrides is the etag of its object. What is deleted leaves an empty
object, since a store cannot delete on a condition. Everything is polled, so that other processes'
changes are seen.

Source: wire contract, section 18.4.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tracestore.clock import Clock
from tracestore.errors import ConflictError, InvalidRequestError, NotFoundError, TracestoreError
from tracestore.model.ids import TenantId
from tracestore.services.blocking import BlockingPool
from tracestore.settings.overrides import TenantBlock
from tracestore.settings.user_limits import (
    Json,
    check_limits,
    merge_patch,
    parse_block,
    parse_json,
)
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.layout import USER_OVERRIDES_PREFIX, parse_user_overrides_key
from tracestore.storage.objects.layout import user_overrides_key as key_of
from tracestore.telemetry import Metrics

log = logging.getLogger(__name__)

NEW_VERSION = "0"
"""What a sender names as the version of what is not there yet."""
MISMATCH = "version does not match"
PATCH_ATTEMPTS = 5
_GONE = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Versioned:
    """The overrides of a tenant."""

    limits: Json
    version: str


class UserOverridesStore:
    """Reads and changes the objects. Synchronous, thread-safe."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def get(self, tenant: TenantId) -> Versioned:
        """Read the overrides of a tenant. Raises: NotFoundError, UnavailableError."""
        found = self._read(tenant)
        if found is None or found[0] == _GONE:
            raise NotFoundError(f"tenant {tenant} has no overrides")
        return Versioned(limits=_parse(found[0], tenant), version=found[1])

    def put(self, tenant: TenantId, limits: Json, version: str) -> str:
        """Replace the overrides of a tenant, or create them.

        Args:
            version: that of what is replaced, or ``NEW_VERSION``.

        Returns: the new version.
        Raises: ConflictError if there is another version, UnavailableError.
        """
        content = json.dumps(limits, separators=(",", ":"), sort_keys=True).encode()
        if version != NEW_VERSION:
            found = self._read(tenant)
            if found is None or found[0] == _GONE or found[1] != version:
                raise ConflictError(MISMATCH)
            return self._replace(tenant, content, version)
        found = self._read(tenant)
        if found is None:
            try:
                return self._store.put_if_absent(key_of(tenant), content)
            except ConflictError as error:
                raise ConflictError(MISMATCH) from error
        if found[0] != _GONE:
            raise ConflictError(MISMATCH)
        return self._replace(tenant, content, found[1])

    def patch(self, tenant: TenantId, patch: Json) -> Versioned:
        """Merge a patch into the overrides of a tenant, which need not be there.

        Raises: InvalidRequestError for what comes out of it; ConflictError if others change them
        all the time; UnavailableError.
        """
        for _ in range(PATCH_ATTEMPTS):
            try:
                before = self.get(tenant)
            except NotFoundError:
                before = Versioned(limits={}, version=NEW_VERSION)
            limits = check_limits(merge_patch(before.limits, patch))
            try:
                version = self.put(tenant, limits, before.version)
            except ConflictError:
                continue
            return Versioned(limits=limits, version=version)
        raise ConflictError(MISMATCH)

    def delete(self, tenant: TenantId, version: str) -> None:
        """Take the overrides of a tenant away. Raises: NotFoundError, ConflictError."""
        if self.get(tenant).version != version:
            raise ConflictError(MISMATCH)
        self._replace(tenant, _GONE, version)

    def all(self) -> dict[TenantId, bytes]:
        """Read those of every tenant, unparsed. Raises: UnavailableError."""
        found: dict[TenantId, bytes] = {}
        for info in self._store.list(USER_OVERRIDES_PREFIX):
            tenant = parse_user_overrides_key(info.key)
            read = None if tenant is None or info.bytes == 0 else self._read(tenant)
            if tenant is not None and read is not None and read[0] != _GONE:
                found[tenant] = read[0]
        return found

    def _read(self, tenant: TenantId) -> tuple[bytes, str] | None:
        try:
            return self._store.get_with_etag(key_of(tenant))
        except NotFoundError:
            return None

    def _replace(self, tenant: TenantId, content: bytes, version: str) -> str:
        try:
            return self._store.put_if_match(key_of(tenant), content, version)
        except ConflictError as error:
            raise ConflictError(MISMATCH) from error


def _parse(content: bytes, tenant: TenantId) -> Json:
    try:
        return parse_json(content)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"stored overrides of tenant {tenant}: {error}") from error


class UserOverridesFollower:
    """Follows what all tenants have set, for the parts that act on it.

    What is set there was checked before it was stored. An object that cannot be read all the same
    changes nothing for its tenant: what it had set before holds on.
    """

    name = "user-overrides"

    def __init__(
        self,
        store: UserOverridesStore,
        pool: BlockingPool,
        metrics: Metrics,
        clock: Clock,
        *,
        interval_s: float,
    ) -> None:
        self._store = store
        self._pool = pool
        self._metrics = metrics
        self._clock = clock
        self._interval_s = interval_s
        self._contents: dict[TenantId, bytes] = {}
        self._current: Mapping[TenantId, TenantBlock] = MappingProxyType({})

    def current(self) -> Mapping[TenantId, TenantBlock]:
        """Get what was set when it was last looked; another object if it changed. Thread-safe."""
        return self._current

    async def start(self) -> None:
        """Look for the first time; a store that does not answer does not stop the start."""
        await self.poll_once()

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self._clock.sleep(self._interval_s)
            await self.poll_once()

    async def poll_once(self) -> None:
        """Take what is set now; on failure keep what was."""
        try:
            contents = await self._pool.run(self._store.all)
        except TracestoreError as error:
            self._metrics.user_overrides_failed.inc()
            log.warning("overrides of tenants cannot be read", extra={"error": str(error)})
            return
        if contents != self._contents:
            blocks = ((tenant, self._block(tenant, each)) for tenant, each in contents.items())
            found = {tenant: block for tenant, block in blocks if block is not None}
            self._contents = contents
            self._current = MappingProxyType(found)

    def _block(self, tenant: TenantId, content: bytes) -> TenantBlock | None:
        """Get what a tenant has set; what is bad is told once and leaves what was."""
        before = self._current.get(tenant)
        if self._contents.get(tenant) == content:
            return before
        try:
            return parse_block(_parse(content, tenant))
        except InvalidRequestError as error:
            self._metrics.user_overrides_failed.inc()
            log.warning(
                "overrides of a tenant are bad, those of before hold on",
                extra={"tenant": tenant, "error": str(error)},
            )
            return before

    async def drain(self) -> None:
        """Nothing to hand over."""
