"""Whose data a request is about: ``X-Scope-OrgID`` -> tenants, for every protocol.

How a route uses it::

    org = self.tenancy.org_of(request)          # NoTenantError (401) before anything is read
    settings = runner.settings_for(org.named)  # with the limits of the tenants
    params = parse_...(request.query_params, settings)
    tenants = org.for_reading()                 # InvalidRequestError (400): a bad name
    await runner.run(Asking(tenants=tenants, cancelled=cancelled), operation, render)

A gRPC method that reads takes ``tenancy.org_of_metadata(context.invocation_metadata())`` instead.
A receiver hands the headers to ``Intake.push``, which checks them after the bytes, as Tempo does.
While multi-tenancy is off, the header is not looked at and everything is ``single-tenant``.

Source: wire contract, sections 1.3, 2 and 6.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tracestore.api.headers import TENANT_HEADER
from tracestore.errors import (
    InvalidRequestError,
    NoTenantError,
    TracestoreError,
    UnavailableError,
)
from tracestore.model.ids import SINGLE_TENANT, TenantId, parse_tenant_id
from tracestore.services.distributor.service import Body, Distributor, Source
from tracestore.services.rpc import NO_METRICS_KEY
from tracestore.settings.tree import Settings

HEADER = TENANT_HEADER.lower()
"""Name of the HTTP header, and key of the gRPC metadata; the case of headers does not matter."""
SEPARATOR = "|"
NO_TENANT = "no org id"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgId:
    """What a request says of its tenant, not yet checked; there is something to check."""

    text: str
    tenancy: Tenancy

    def for_reading(self) -> tuple[TenantId, ...]:
        """Get the tenants of a query, sorted, each once.

        Raises: InvalidRequestError for a bad name, too many, or several where that is off.
        """
        tenancy = self.tenancy
        if not tenancy.enabled:
            return (SINGLE_TENANT,)
        names = self.text.split(SEPARATOR)
        if len(names) > 1 and not tenancy.several:
            raise InvalidRequestError("multi-tenant query unsupported")
        if len(names) > tenancy.tenants_max:
            raise InvalidRequestError(
                f"query names {len(names)} tenants, the limit is {tenancy.tenants_max}"
            )
        return tuple(sorted({parse_tenant_id(name) for name in names}))

    @property
    def named(self) -> tuple[TenantId, ...]:
        """The tenants of a query if they are in order, else none: whose limits hold for what is
        looked at before names are checked."""
        try:
            return self.for_reading()
        except InvalidRequestError:
            return ()

    def for_writing(self) -> TenantId:
        """Get the tenant that spans belong to.

        Raises: InvalidRequestError for a bad name, or several.
        """
        if not self.tenancy.enabled:
            return SINGLE_TENANT
        names = {parse_tenant_id(name) for name in self.text.split(SEPARATOR)}
        if len(names) > 1:
            raise InvalidRequestError("multiple org IDs present")
        return names.pop()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenancy:
    """Whether there are tenants, and how a request names its own."""

    enabled: bool
    several: bool = True
    """Whether a query may name several."""
    tenants_max: int = 64
    """Tenants that one query may name."""

    @classmethod
    def of(cls, settings: Settings) -> Tenancy:
        """Take what the settings say."""
        return cls(
            enabled=settings.multitenancy_enabled,
            several=settings.query.multi_tenant_queries_enabled,
            tenants_max=settings.query.tenants_max,
        )

    def org(self, values: Sequence[str]) -> OrgId:
        """Take the values of the header.

        Two headers are treated like none: which of them is right, only who sent them knows.

        Raises: NoTenantError.
        """
        if self.enabled and (len(values) != 1 or not values[0]):
            raise NoTenantError(NO_TENANT)
        return OrgId(text=values[0] if self.enabled else "", tenancy=self)

    def org_of(self, request: Request) -> OrgId:
        """Look into the headers of an HTTP request. Raises: NoTenantError."""
        return self.org(request.headers.getlist(HEADER))

    def org_of_metadata(self, metadata: Iterable[tuple[str, str | bytes]] | None) -> OrgId:
        """Look into the metadata of a gRPC call. Raises: NoTenantError."""
        return self.org(values_of(metadata))


def is_counted(keys: Iterable[str]) -> bool:
    """Tell whether metrics may be made of the spans of a request.

    Args:
        keys: of its headers or metadata, in lower case.
    """
    return NO_METRICS_KEY not in keys


def values_of(metadata: Iterable[tuple[str, str | bytes]] | None) -> list[str]:
    """Get the values of the tenant's key in gRPC metadata."""
    return [str(value) for key, value in metadata or () if key == HEADER]


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantDoor:
    """An ASGI application that only those pass who name a tenant; the others get 401."""

    tenancy: Tenancy
    inner: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let ``inner`` answer."""
        try:
            self.tenancy.org(Headers(scope=scope).getlist(HEADER))
        except NoTenantError as error:
            await PlainTextResponse(f"{error}\n", status_code=401)(scope, receive, send)
        else:
            await self.inner(scope, receive, send)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What receivers hand requests to: finds the tenant, then the distributor takes over."""

    tenancy: Tenancy
    distributor: Distributor

    async def push(
        self, orgs: Sequence[str], body: Body, source: Source, *, counted: bool = True
    ) -> None:
        """Take an ExportTraceServiceRequest; returns once it is durable.

        Args:
            orgs: the values of the header or of the metadata.
            counted: whether metrics may be made of its spans; see ``is_counted``.

        Raises: what ``Distributor.push`` raises; UnavailableError without a delay if there is no
        tenant, for Tempo has senders retry that; InvalidRequestError if its name is bad.
        """
        try:
            tenant = self.tenancy.org(orgs).for_writing()
        except NoTenantError as error:
            await self._turn_away(UnavailableError(str(error), retry_after_s=0.0), body, source)
        except InvalidRequestError as error:
            await self._turn_away(error, body, source)
        else:
            await self.distributor.push(tenant, body, source, counted=counted)

    async def _turn_away(self, error: TracestoreError, body: Body, source: Source) -> None:
        """Refuse for want of a tenant what is no malformed request and holds a span."""
        if await self.distributor.count_refused(body, source):
            raise error
