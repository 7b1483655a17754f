"""A request to the Prometheus routes: its parameters, its tenants, how much it may look at."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from tracestore.api.prometheus_params import FORM, Form, parse_form
from tracestore.errors import InvalidRequestError, TooLargeError
from tracestore.model.ids import TenantId
from tracestore.settings.tree import QuerySettings

_ENCODED = 3
"""Bytes of a form for one of a text."""
_FORM_ROOM = 65536
"""For the other parameters of a form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request, its parameters read."""

    request: Request
    form: Form
    tenants: tuple[TenantId, ...]
    settings: QuerySettings


async def read_form(request: Request, settings: QuerySettings) -> Form:
    """Read the parameters, those of a form among them.

    Raises: InvalidRequestError; TooLargeError.
    """
    body = bytearray()
    if request.method == "POST":
        bytes_max = settings.max_query_expression_bytes * _ENCODED + _FORM_ROOM
        async for piece in request.stream():
            body += piece
            if len(body) > bytes_max:
                raise TooLargeError("http: request body too large")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != FORM:
            body.clear()
    return parse_form(request.scope["query_string"], bytes(body))


def check_reach(reach: int, settings: QuerySettings) -> None:
    """Refuse a query that looks at more time than it may. Raises: InvalidRequestError."""
    longest_s = settings.prometheus.max_duration_s
    if longest_s and reach > longest_s * 1000:
        raise InvalidRequestError(
            f"the query reaches over {reach / 1000:.0f}s, the limit is {longest_s:.0f}s "
            "(query.prometheus.max_duration_s, or max_metrics_duration of the tenant)"
        )
