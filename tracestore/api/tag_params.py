"""Requests of autocomplete -> values; HTTP and gRPC share it. Pure: ``now_s`` is passed in.

Source: wire contract, sections 5.1, 5.2 and 9.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tracestore.api.params import adjust_range, check_expression_size, parse_uint32
from tracestore.api.timestamps import parse_timestamp_ns
from tracestore.errors import InvalidRequestError
from tracestore.model.tags import TagScope
from tracestore.model.times import SECOND_NS, TimeRange
from tracestore.settings.tree import QuerySettings

TAG_NAME = "tagName"
"""What the values routes call the tag in their path, which may hold slashes."""
NAMES_V1 = "/api/search/tags"
NAMES_V2 = "/api/v2/search/tags"
VALUES_V1 = f"/api/search/tag/{{{TAG_NAME}:path}}/values"
VALUES_V2 = f"/api/v2/search/tag/{{{TAG_NAME}:path}}/values"

_ATTRIBUTES = frozenset(TagScope) - {TagScope.INTRINSIC}
_NO_SCOPE = ("", "none")
_EMPTY_SCOPE = "trace"
"""A scope that may be asked for and has no names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TagBounds:
    """What names and values are narrowed by."""

    window: TimeRange | None = None
    """None: all there is."""
    query: str = ""
    """A filter, maybe half typed."""
    limit: int = 0
    """0: no limit."""
    stale_max: int = 0
    """``maxStaleValues``; 0: off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamesParams:
    """A checked request for names."""

    scopes: frozenset[TagScope]
    bounds: TagBounds
    is_legacy: bool
    """Of the first version: one list, which the limit counts, and no filter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValuesParams:
    """A request for values; the tag is checked when it is looked for."""

    tag: str
    bounds: TagBounds
    is_legacy: bool
    """Of the first version: a name without scope, and no filter."""


def parse_names(
    query: Mapping[str, str], settings: QuerySettings, *, now_s: int, is_legacy: bool
) -> NamesParams:
    """Read the parameters of the names routes. Raises: InvalidRequestError."""
    return NamesParams(
        scopes=parse_scopes(query.get("scope", ""), is_legacy=is_legacy),
        bounds=TagBounds(
            window=_parse_window(query, settings, now_s),
            query="" if is_legacy else _parse_query(query, settings),
            limit=_lenient_uint(query, "limit"),
            stale_max=_lenient_uint(query, "maxStaleValues"),
        ),
        is_legacy=is_legacy,
    )


def parse_values(
    query: Mapping[str, str], tag: str, settings: QuerySettings, *, now_s: int, is_legacy: bool
) -> ValuesParams:
    """Read the parameters of the values routes. Raises: InvalidRequestError."""
    if not tag:
        raise InvalidRequestError("please provide a non-empty tagName")
    return ValuesParams(
        tag=tag,
        bounds=TagBounds(
            window=_parse_window(query, settings, now_s),
            query="" if is_legacy else _parse_query(query, settings),
            limit=parse_uint32(query, "limit"),
            stale_max=parse_uint32(query, "maxStaleValues"),
        ),
        is_legacy=is_legacy,
    )


def parse_scopes(text: str, *, is_legacy: bool) -> frozenset[TagScope]:
    """Read which scopes are asked for. Raises: InvalidRequestError.

    The first version lists intrinsics only if it is asked for them.
    """
    if text in _NO_SCOPE:
        return _ATTRIBUTES if is_legacy else frozenset(TagScope)
    if text == _EMPTY_SCOPE:
        return frozenset()
    if text not in set(TagScope):
        raise InvalidRequestError(f"invalid scope: {text}")
    return frozenset({TagScope(text)})


def _parse_query(query: Mapping[str, str], settings: QuerySettings) -> str:
    text = query.get("q", "")
    check_expression_size(text, settings)
    return text


def _parse_window(
    query: Mapping[str, str], settings: QuerySettings, now_s: int
) -> TimeRange | None:
    start_s, end_s = (_parse_second(query, name) for name in ("start", "end"))
    is_given = bool(query.get("start")) and bool(query.get("end")) and not query.get("since")
    if is_given and (start_s or end_s) and end_s <= start_s:
        raise InvalidRequestError(
            f"http parameter start must be before end. received start={start_s} end={end_s}"
        )
    return adjust_range(query, start_s, end_s, settings, now_s)


def _parse_second(query: Mapping[str, str], name: str) -> int:
    """Read a time as whole seconds, 0 if it is absent or if ``since`` stands in its place."""
    text = query.get(name, "")
    if not text or query.get("since"):
        return 0
    try:
        return parse_timestamp_ns(text) // SECOND_NS
    except InvalidRequestError as error:
        raise InvalidRequestError(
            f"error parsing date range: could not parse '{name}' parameter: {error}"
        ) from error


def _lenient_uint(query: Mapping[str, str], name: str) -> int:
    """Likewise, but what cannot be read is passed over, as Tempo does for names."""
    try:
        return parse_uint32(query, name)
    except InvalidRequestError:
        return 0
