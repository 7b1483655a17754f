"""A request for names or values -> the answer, over the sources of a snapshot.

HTTP gives back the whole answer, a stream also shows the partial ones. Source: wire contract,
section 9; TraceQL reference, section 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import traceql
from traceql import TagFilter
from traceql.attributes import (
    SCOPED_INTRINSICS,
    SERVICE_NAME,
    UNSCOPED_INTRINSICS,
    Attribute,
    Field,
    Intrinsic,
    Scope,
)
from tracestore.api.tag_params import NamesParams, TagBounds, ValuesParams
from tracestore.errors import InvalidRequestError
from tracestore.model.tags import TagNames, TagType, TagValues
from tracestore.model.times import SECOND_NS
from tracestore.query.control import QueryControl
from tracestore.query.progress import Progress
from tracestore.query.source import SpanSource
from tracestore.query.tag_columns import TEXT_INTRINSICS
from tracestore.query.tag_names import tag_names
from tracestore.query.tag_spans import Lookup
from tracestore.query.tag_values import FIXED_VALUES, tag_values
from tracestore.settings.tree import QuerySettings
from tracestore.storage.block.cache import BlockCache

_OF_RESOURCES = frozenset(
    {
        SERVICE_NAME.name,
        "k8s.cluster.name",
        "k8s.namespace.name",
        "k8s.pod.name",
        "k8s.container.name",
    }
)
"""Names that the first version looks for in resources alone."""
_LEGACY: dict[str, Intrinsic] = {
    "status.code": Intrinsic.STATUS,
    "root.name": Intrinsic.ROOT_NAME,
    "root.service.name": Intrinsic.ROOT_SERVICE_NAME,
}


def find_names(
    sources: Sequence[SpanSource],
    params: NamesParams,
    settings: QuerySettings,
    control: QueryControl,
    *,
    progress: Progress[TagNames] | None = None,
) -> TagNames:
    """List names. The limit of the first version is left to who renders it.

    Raises: InvalidRequestError; what ``tag_names`` raises.
    """
    lookup = _lookup(params.bounds, settings, None)
    if params.is_legacy:
        lookup = replace(lookup, limit=0)
    return tag_names(sources, params.scopes, lookup, control, progress=progress)


def find_values(
    sources: Sequence[SpanSource],
    params: ValuesParams,
    settings: QuerySettings,
    control: QueryControl,
    *,
    cache: BlockCache | None = None,
    progress: Progress[TagValues] | None = None,
) -> TagValues:
    """List values, most frequent first.

    Args:
        cache: keeps what was counted in blocks.

    Raises: InvalidRequestError; what ``tag_values`` raises.
    """
    if params.is_legacy and params.tag == "error":
        return TagValues(types=(TagType.BOOL,), texts=("true",))
    tag = legacy_tag(params.tag) if params.is_legacy else parse_tag(params.tag)
    lookup = _lookup(params.bounds, settings, tag)
    sources = newest_blocks(sources, settings.max_blocks_per_tag_values_query)
    return tag_values(sources, tag, lookup, control, cache=cache, progress=progress)


def newest_blocks(sources: Sequence[SpanSource], blocks_max: int) -> Sequence[SpanSource]:
    """Keep the live tables and the newest blocks; 0: all."""
    if not blocks_max:
        return sources
    live = [source for source in sources if source.is_live]
    blocks = [source for source in sources if not source.is_live]
    return live + blocks[:blocks_max]


def parse_tag(text: str) -> Field:
    """Read an identifier of the second version. Raises: InvalidRequestError."""
    try:
        return traceql.parse_field(text)
    except traceql.QueryError as error:
        raise InvalidRequestError(
            f"please provide a valid tagName: failed to parse identifier {text}: {error}"
        ) from error


def legacy_tag(name: str) -> Field:
    """Find out what a name of the first version means: an intrinsic, or an attribute anywhere."""
    intrinsic = _LEGACY.get(name) or UNSCOPED_INTRINSICS.get(name) or SCOPED_INTRINSICS.get(name)
    if intrinsic is not None and (intrinsic in TEXT_INTRINSICS or intrinsic in FIXED_VALUES):
        return intrinsic
    return Attribute(Scope.RESOURCE if name in _OF_RESOURCES else Scope.NONE, name)


def _lookup(bounds: TagBounds, settings: QuerySettings, tag: Field | None) -> Lookup:
    return Lookup(
        filter=_filter(bounds.query, settings, tag),
        window=bounds.window,
        reach_ns=int(settings.trace_reach_s * SECOND_NS),
        limit=bounds.limit,
        stale_max=bounds.stale_max,
        bytes_max=settings.max_bytes_per_tag_values_query,
    )


def _filter(text: str, settings: QuerySettings, tag: Field | None) -> TagFilter | None:
    """Read a filter. An unscoped tag is looked for in two places, which doubles what is done.

    Raises: InvalidRequestError if it has too many alternatives.
    """
    found = traceql.parse_tag_filter(text)
    groups_max = settings.max_condition_groups_per_tag_query
    if found is None or not groups_max:
        return found
    is_unscoped = isinstance(tag, Attribute) and tag.scope is Scope.NONE
    if found.groups * (1 + is_unscoped) > groups_max:
        raise InvalidRequestError(
            f"maximum condition groups reached (limit: {groups_max}). "
            "Reduce the number of OR conditions in the query"
        )
    return found
