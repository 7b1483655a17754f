"""Asks for names and values as the API does, and makes sources of every kind."""

from __future__ import annotations

from collections.abc import Sequence

from support.query import control

from tracestore.api.tag_answers import find_names, find_values
from tracestore.api.tag_params import parse_names, parse_values
from tracestore.kernel import SpanBuilder
from tracestore.model.tags import TagNames, TagValues
from tracestore.query.source import SpanSource
from tracestore.services.ingester.live import LiveSource
from tracestore.settings.tree import QuerySettings
from tracestore.storage.block.cache import BlockCache

NOW_S = 2_000_000_000


def live_source(request: bytes, id: str, *, chunk: int = 4, columns: int = 512) -> LiveSource:
    """Make live tables of one request with a span."""
    builder = SpanBuilder()
    builder.append(request)
    return LiveSource(builder.freeze(attribute_columns_max=columns), id, spans_per_chunk=chunk)


def ask_names(
    sources: Sequence[SpanSource],
    scope: str = "",
    *,
    is_legacy: bool = False,
    settings: QuerySettings | None = None,
    **query: str,
) -> TagNames:
    """List names as the routes do."""
    settings = settings or QuerySettings()
    params = parse_names(query | {"scope": scope}, settings, now_s=NOW_S, is_legacy=is_legacy)
    return find_names(sources, params, settings, control())


def ask_values(
    sources: Sequence[SpanSource],
    tag: str,
    *,
    is_legacy: bool = False,
    settings: QuerySettings | None = None,
    cache: BlockCache | None = None,
    **query: str,
) -> TagValues:
    """List values as the routes do."""
    settings = settings or QuerySettings()
    params = parse_values(query, tag, settings, now_s=NOW_S, is_legacy=is_legacy)
    return find_values(sources, params, settings, control(), cache=cache)


def names_of(found: TagNames) -> dict[str, list[str]]:
    """Get names by scope."""
    return {scope.value: list(names) for scope, names in found.scopes}


def values_of(found: TagValues) -> list[tuple[str, str]]:
    """Get types and texts in order."""
    return [(kind.value, text) for kind, text in found.values]
