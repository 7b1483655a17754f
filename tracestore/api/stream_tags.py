"""Names and values of tags as streams: what is new as blocks are read, at the end all.

Source: wire contract, sections 9 and 12.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from tracestore.api.feed import Packets
from tracestore.api.stream_query import StreamedQuery, given, read_message, with_one_job
from tracestore.api.streaming import Metadata, Method, Send
from tracestore.api.tag_answers import names_wanted, values_wanted
from tracestore.api.tag_params import NamesParams, ValuesParams, parse_names, parse_values
from tracestore.api.tenant import Tenancy
from tracestore.codec.packets import cut_packets
from tracestore.codec.proto.tempopb_pb2 import SearchTagsRequest, SearchTagValuesRequest
from tracestore.codec.tag_packets import encode_flat, encode_scopes, encode_values
from tracestore.codec.tags_json import encode_metrics, flat_values
from tracestore.model.results import QueryStats
from tracestore.model.tags import TagNames, TagScope, TagValue, TagValues
from tracestore.model.times import SECOND_NS
from tracestore.services.querier.runner import QueryRunner
from tracestore.settings.tree import QuerySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class TagStreams:
    """The methods of both versions."""

    runner: QueryRunner
    tenancy: Tenancy

    @property
    def methods(self) -> dict[str, Method]:
        """Get the methods by name."""
        return {
            "SearchTags": partial(self.names, is_legacy=True),
            "SearchTagsV2": partial(self.names, is_legacy=False),
            "SearchTagValues": partial(self.values, is_legacy=True),
            "SearchTagValuesV2": partial(self.values, is_legacy=False),
        }

    async def names(
        self, request: bytes, metadata: Metadata, send: Send, *, is_legacy: bool
    ) -> None:
        """Send the names that occur."""
        org = self.tenancy.org_of_metadata(metadata)
        settings = self.runner.settings_for(org.named)
        message = read_message(SearchTagsRequest.FromString, request)
        query = {
            "scope": message.scope,
            "q": message.query,
            "start": given(message.start),
            "end": given(message.end),
            "limit": given(message.maxTagsPerScope),
            "maxStaleValues": given(message.staleValuesThreshold),
        }
        params = parse_names(query, settings, now_s=self._now_s, is_legacy=is_legacy)
        rendering = _Names(params, settings)

        streamed = StreamedQuery(
            operation=names_wanted(params, settings),
            render_new=rendering.render_new,
            render_all=rendering.render_all,
        )
        await streamed.run(self.runner, org.for_reading(), send)

    async def values(
        self, request: bytes, metadata: Metadata, send: Send, *, is_legacy: bool
    ) -> None:
        """Send the values of a tag."""
        org = self.tenancy.org_of_metadata(metadata)
        settings = self.runner.settings_for(org.named)
        message = read_message(SearchTagValuesRequest.FromString, request)
        query = {
            "q": message.query,
            "start": given(message.start),
            "end": given(message.end),
            "limit": given(message.maxTagValues),
            "maxStaleValues": given(message.staleValueThreshold),
        }
        params = parse_values(
            query, message.tagName, settings, now_s=self._now_s, is_legacy=is_legacy
        )
        rendering = _Values(params, settings)

        streamed = StreamedQuery(
            operation=values_wanted(params, settings),
            render_new=rendering.render_new,
            render_all=rendering.render_all,
        )
        await streamed.run(self.runner, org.for_reading(), send)

    @property
    def _now_s(self) -> int:
        return self.runner.clock.now_ns() // SECOND_NS


def _cut(items: Iterable[bytes], stats: QueryStats, settings: QuerySettings) -> Packets:
    tail = encode_metrics(with_one_job(stats))
    return cut_packets(items, tail, settings.streaming.packet_bytes_max)


class _Names:
    """Messages of names; remembers which were sent."""

    def __init__(self, params: NamesParams, settings: QuerySettings) -> None:
        self._is_legacy = params.is_legacy
        self._limit = params.bounds.limit or None
        self._settings = settings
        self._sent: set[tuple[str, str]] = set()

    def render_new(self, found: TagNames) -> Packets:
        return self._render(found, self._is_new)

    def render_all(self, found: TagNames) -> Packets:
        return self._render(found, lambda scope, name: True)

    def _is_new(self, scope: str, name: str) -> bool:
        if (scope, name) in self._sent:
            return False
        self._sent.add((scope, name))
        return True

    def _render(self, found: TagNames, is_wanted: Callable[[str, str], bool]) -> Packets:
        if self._is_legacy:
            flat = (name for name in found.flat[: self._limit] if is_wanted("", name))
            return _cut(encode_flat(flat), found.stats, self._settings)
        scopes: list[tuple[TagScope, Iterable[str]]] = [
            (scope, [name for name in names if is_wanted(scope, name)])
            for scope, names in found.scopes
        ]
        part_bytes_max = self._settings.streaming.packet_bytes_max // 2
        return _cut(encode_scopes(scopes, part_bytes_max), found.stats, self._settings)


class _Values:
    """Messages of values; remembers which were sent."""

    def __init__(self, params: ValuesParams, settings: QuerySettings) -> None:
        self._is_legacy = params.is_legacy
        self._settings = settings
        self._sent: set[str | TagValue] = set()

    def render_new(self, found: TagValues) -> Packets:
        return self._render(found, self._is_new)

    def render_all(self, found: TagValues) -> Packets:
        return self._render(found, lambda value: True)

    def _is_new(self, value: str | TagValue) -> bool:
        if value in self._sent:
            return False
        self._sent.add(value)
        return True

    def _render(self, found: TagValues, is_wanted: Callable[[str | TagValue], bool]) -> Packets:
        if self._is_legacy:
            items = encode_flat(text for text in flat_values(found) if is_wanted(text))
        else:
            items = encode_values(value for value in found.values if is_wanted(value))
        return _cut(items, found.stats, self._settings)
