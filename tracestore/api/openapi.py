"""The description of the public API. Source: OpenAPI 3.1."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources

import yaml
from fastapi import Request

from tracestore.api.app import READ, Answer, Routes

PATH = "/api/openapi.json"


def add_openapi(routes: Routes, prefix: str) -> None:
    """Serve the description."""
    routes.add(prefix + PATH, _describe, methods=READ)


@cache
def description() -> bytes:
    """Read the description as JSON."""
    text = resources.files("tracestore.api").joinpath("openapi.yaml").read_text()
    return json.dumps(yaml.safe_load(text), separators=(",", ":")).encode()


async def _describe(_request: Request) -> Answer:
    return Answer(body=description(), media_type="application/json")
