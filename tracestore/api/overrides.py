"""Overrides: what tenants set themselves (``/api/overrides``), and the pages that show limits.

Source: wire contract, sections 11.4 and 18.4.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import Request

from tracestore.api.app import READ, Answer, Routes, text
from tracestore.api.tenant import Tenancy
from tracestore.errors import ConflictError, InvalidRequestError, NotFoundError, TooLargeError
from tracestore.model.ids import TenantId, parse_tenant_id
from tracestore.services.blocking import BlockingPool
from tracestore.services.tenant_generators import TenantGenerators
from tracestore.services.user_overrides import UserOverridesStore, Versioned
from tracestore.settings.leaves import leaf_values
from tracestore.settings.limits import TenantLimits
from tracestore.settings.overrides import Overrides
from tracestore.settings.render_overrides import render_limits
from tracestore.settings.shown import shown
from tracestore.settings.user_limits import (
    Json,
    check_limits,
    merge_patch,
    parse_json,
    render_block,
)

BODY_BYTES_MAX = 1 << 20
METHODS = ["GET", "HEAD", "POST", "PATCH", "DELETE"]
CONFLICTING = (
    "tenant has conflicting overrides set in runtime config, contact your system administrator to "
    "perform changes through the API"
)
_NO_IF_MATCH = Answer(status=428, body=b"must specify If-Match header")
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


@dataclass(frozen=True, slots=True, kw_only=True)
class OverridesRoutes:
    """The handlers."""

    tenancy: Tenancy
    overrides: Callable[[], Overrides]
    """Of the file, as they are now."""
    generators: TenantGenerators
    """What holds with what tenants have set themselves."""
    refresh: Callable[[], Awaitable[None]]
    """Looks at once for what tenants have set, since it changed here."""
    store: UserOverridesStore
    pool: BlockingPool
    enabled: bool
    """Whether tenants may set anything."""
    checks_conflicts: bool
    """Whether a tenant with a block in the file may not, unless it insists."""

    def add_to(self, routes: Routes, prefix: str) -> None:
        """Serve the routes; the API of tenants under the prefix."""
        routes.add(f"{prefix}/api/overrides", self.user, methods=METHODS)
        routes.add("/status/overrides", self.show_tenants, methods=READ)
        routes.add("/status/overrides/{tenant}", self.show_tenant, methods=READ)

    async def user(self, request: Request) -> Answer:
        """Read or change what the tenant of the request has set."""
        if not self.enabled:
            return text("404 page not found\n", 404)
        handlers: dict[str, Callable[[Request, TenantId], Awaitable[Answer]]] = {
            "POST": self._post,
            "PATCH": self._patch,
            "DELETE": self._delete,
        }
        tenant = self.tenancy.org_of(request).for_writing()
        try:
            return await handlers.get(request.method, self._get)(request, tenant)
        except NotFoundError:
            return Answer(status=404, media_type=None)
        except ConflictError as error:
            return text(str(error), 412)

    async def _get(self, request: Request, tenant: TenantId) -> Answer:
        scope = request.query_params.get("scope") or "api"
        if scope not in ("api", "merged"):
            raise InvalidRequestError(f'unknown scope "{scope}", valid options are api and merged')
        found = await self.pool.run(self.store.get, tenant)
        limits = found.limits
        if scope == "merged":
            limits = merge_patch(self._of_operator(tenant), limits)
        return _answer(Versioned(limits=limits, version=found.version))

    def _of_operator(self, tenant: TenantId) -> Json:
        """Get what the file sets for a tenant, else what the defaults do."""
        overrides = self.overrides()
        block = overrides.block(tenant)
        if block is not None:
            return render_block(block.values) | dict(block.kept)
        nothing = leaf_values(TenantLimits())
        values = leaf_values(overrides.defaults)
        return render_block({p: value for p, value in values.items() if value != nothing[p]})

    async def _post(self, request: Request, tenant: TenantId) -> Answer:
        version = _version(request)
        if not version:
            return _NO_IF_MATCH
        insists = _insists(request)
        limits = check_limits(parse_json(await _body(request)))
        self._check_conflict(tenant, insists=insists)
        version = await self.pool.run(self.store.put, tenant, limits, version)
        await self.refresh()
        return Answer(media_type=None, headers={"Etag": version})

    async def _patch(self, request: Request, tenant: TenantId) -> Answer:
        insists = _insists(request)
        patch = parse_json(await _body(request))
        self._check_conflict(tenant, insists=insists)
        patched = await self.pool.run(self.store.patch, tenant, patch)
        await self.refresh()
        return _answer(patched)

    async def _delete(self, request: Request, tenant: TenantId) -> Answer:
        version = _version(request)
        if not version:
            return _NO_IF_MATCH
        await self.pool.run(self.store.delete, tenant, version)
        await self.refresh()
        return Answer(media_type=None)

    def _check_conflict(self, tenant: TenantId, *, insists: bool) -> None:
        """Refuse if the operator has set the like. Raises: InvalidRequestError."""
        block = self.overrides().file.blocks.get(tenant)
        if not self.checks_conflicts or insists or block is None:
            return
        if block.kept or any(path.startswith("metrics_generator.") for path in block.values):
            raise InvalidRequestError(CONFLICTING)

    async def show_tenants(self, _request: Request) -> Answer:
        """List the tenants that have a block, and the limits of the others."""
        overrides = self.overrides()
        names = "".join(f"{name}\n" for name in sorted(overrides.file.blocks))
        shown = names or "none\n"
        defaults = render_limits(overrides.limits(""))
        return text(
            f"tenants with limits of their own (/status/overrides/NAME shows them):\n{shown}\n"
            f"limits of all others:\n{defaults}"
        )

    async def show_tenant(self, request: Request) -> Answer:
        """Show the limits that hold for a tenant."""
        tenant = parse_tenant_id(request.path_params["tenant"])
        overrides = self.overrides()
        if tenant in overrides.file.blocks:
            origin = "its block in the file"
        else:
            origin = "the block *" if overrides.block(tenant) else "overrides.defaults"
        if self.generators.has_own(tenant):
            origin += ", and what it has set itself"
        return text(f"# {tenant}: {origin}\n{render_limits(self.generators.limits(tenant))}")


def _answer(found: Versioned) -> Answer:
    body = json.dumps(shown(found.limits), separators=(",", ":")).encode()
    return Answer(body=body, media_type="application/json", headers={"Etag": found.version})


def _version(request: Request) -> str:
    """Get the version that a change is for, with or without quotes; empty: none is named."""
    return request.headers.get("if-match", "").strip('"')


def _insists(request: Request) -> bool:
    given = request.query_params.get("skip-conflicting-overrides-check", "")
    if given and given not in _TRUE | _FALSE:
        raise InvalidRequestError(
            "could not parse skip-conflicting-overrides-check, must be a boolean value"
        )
    return given in _TRUE


async def _body(request: Request) -> bytes:
    """Read the body. Raises: TooLargeError."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > BODY_BYTES_MAX:
            raise TooLargeError("http: request body too large")
    return bytes(body)
