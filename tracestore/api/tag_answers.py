"""A request for names or values -> what the engine is asked.

HTTP gives back the whole answer, a stream also shows the partial ones; a directory asks itself.
Source: wire contract, section 9; TraceQL reference, section 7.
"""

from __future__ import annotations

from collections.abc import Sequence

from tracestore.api.tag_params import NamesParams, TagBounds, ValuesParams
from tracestore.model.tags import TagNames, TagScope, TagValues
from tracestore.model.times import SECOND_NS
from tracestore.query.control import QueryControl
from tracestore.query.jobs.operation import Site
from tracestore.query.jobs.tags import ListNames, ListValues, Narrowing
from tracestore.query.source import SpanSource
from tracestore.settings.tree import QuerySettings
from tracestore.storage.block.cache import BlockCache


def names_wanted(params: NamesParams, settings: QuerySettings) -> ListNames:
    """Say which names are wanted. The limit of the first version is left to who renders them."""
    limit = 0 if params.is_legacy else params.bounds.limit
    scopes = tuple(scope for scope in TagScope if scope in params.scopes)
    return ListNames(scopes=scopes, narrowing=_narrowing(params.bounds, settings, limit))


def values_wanted(params: ValuesParams, settings: QuerySettings) -> ListValues:
    """Say which values are wanted."""
    return ListValues(
        tag=params.tag,
        is_legacy=params.is_legacy,
        narrowing=_narrowing(params.bounds, settings, params.bounds.limit),
        blocks_max=settings.max_blocks_per_tag_values_query,
    )


def find_names(
    sources: Sequence[SpanSource],
    params: NamesParams,
    settings: QuerySettings,
    control: QueryControl,
) -> TagNames:
    """List names of some sources. Raises: what ``ListNames.answer`` raises."""
    return names_wanted(params, settings).answer(sources, Site(control=control))


def find_values(
    sources: Sequence[SpanSource],
    params: ValuesParams,
    settings: QuerySettings,
    control: QueryControl,
    *,
    cache: BlockCache | None = None,
) -> TagValues:
    """List values in some sources, most frequent first.

    Args:
        cache: keeps what was counted in blocks.

    Raises: what ``ListValues.answer`` raises.
    """
    site = Site(control=control, cache=cache)
    return values_wanted(params, settings).answer(sources, site)


def _narrowing(bounds: TagBounds, settings: QuerySettings, limit: int) -> Narrowing:
    return Narrowing(
        filter=bounds.query,
        groups_max=settings.max_condition_groups_per_tag_query,
        window=bounds.window,
        reach_ns=int(settings.trace_reach_s * SECOND_NS),
        limit=limit,
        stale_max=bounds.stale_max,
        bytes_max=settings.max_bytes_per_tag_values_query,
    )
