"""Search as a stream: traces are sent once it is sure that they belong to the answer.

Source: wire contract, sections 8 and 12.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from google.protobuf.message import DecodeError

from tracestore.api.feed import Feed, Packets, stream
from tracestore.api.params import SearchParams, parse_search
from tracestore.api.search import plan_query
from tracestore.api.streaming import Metadata, Send
from tracestore.api.tenant import Tenancy
from tracestore.api.wanted import text_of, wanted_of
from tracestore.codec.packets import cut_packets
from tracestore.codec.proto.tempopb_pb2 import SearchRequest
from tracestore.codec.search_json import encode_metrics, encode_traces
from tracestore.errors import InvalidRequestError
from tracestore.model.results import QueryStats, SearchResult, TraceSummary
from tracestore.model.times import SECOND_NS
from tracestore.query import search
from tracestore.query.control import QueryControl
from tracestore.query.source import SpanSource
from tracestore.services.querier.service import Operation, Querier
from tracestore.settings.tree import QuerySettings

M = TypeVar("M")


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchStream:
    """The method ``Search``."""

    querier: Querier
    tenancy: Tenancy

    async def search(self, request: bytes, metadata: Metadata, send: Send) -> None:
        """Send the traces that match, newest first, as they become known; at the end all."""
        org = self.tenancy.org_of_metadata(metadata)
        querier = self.querier
        now_s = querier.clock.now_ns() // SECOND_NS
        message = read_message(SearchRequest.FromString, request)
        params = search_params(message, querier.settings, now_s=now_s)
        tenants = org.for_reading()
        ready = _Search(
            params=params,
            settings=querier.settings,
            count_inspected=partial(querier.count_inspected, tenants, Operation.SEARCH),
        )
        feed = Feed(ready.render_new(), querier.settings.streaming, querier.clock)
        await stream(
            lambda cancelled: querier.run(
                tenants, Operation.SEARCH, partial(ready.evaluate, feed), cancelled
            ),
            feed,
            send,
        )


def read_message(parse: Callable[[bytes], M], request: bytes) -> M:
    """Parse a request. Raises: InvalidRequestError."""
    try:
        return parse(request)
    except DecodeError as error:
        raise InvalidRequestError(
            f"the request is not the message of this method: {error}"
        ) from None


def search_params(message: SearchRequest, settings: QuerySettings, *, now_s: int) -> SearchParams:
    """Check a request by the rules of ``/api/search``. Raises: InvalidRequestError."""
    query = {
        "q": message.Query,
        "limit": str(message.Limit or ""),
        "spss": str(message.SpansPerSpanSet or ""),
        "start": str(message.start or ""),
        "end": str(message.end or ""),
    }
    for name, milliseconds in (
        ("minDuration", message.MinDurationMs),
        ("maxDuration", message.MaxDurationMs),
    ):
        query[name] = f"{milliseconds}ms" if milliseconds else ""
    if message.Query and message.Tags:
        raise InvalidRequestError("invalid request: can't specify tags and q in the same query")
    return replace(parse_search(query, settings, now_s=now_s), tags=dict(message.Tags))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """One request, ready to be evaluated in a pool thread."""

    params: SearchParams
    settings: QuerySettings
    count_inspected: Callable[[QueryStats], None]

    def evaluate(
        self, feed: Feed[SearchResult], sources: Sequence[SpanSource], control: QueryControl
    ) -> Packets:
        text = text_of(self.params)
        wanted = wanted_of(self.params, text, int(self.settings.trace_reach_s * SECOND_NS))
        result = search.search(sources, plan_query(text), wanted, control, feed)
        self.count_inspected(result.stats)
        return self._render(result.traces, result.stats)

    def render_new(self) -> Callable[[SearchResult], Packets]:
        """Make a function that renders what was not in the partial answer before."""
        sent = 0

        def render(result: SearchResult) -> Packets:
            nonlocal sent
            new, sent = result.traces[sent:], len(result.traces)
            return self._render(new, result.stats)

        return render

    def _render(self, traces: Sequence[TraceSummary], stats: QueryStats) -> Packets:
        items = encode_traces(traces, span_sets=bool(self.params.query))
        tail = encode_metrics(with_one_job(stats))
        return cut_packets(items, tail, self.settings.streaming.packet_bytes_max)


def with_one_job(stats: QueryStats) -> QueryStats:
    """Show a search of nothing as one job that is done: clients divide by the number of jobs."""
    return stats if stats.total_jobs else replace(stats, total_jobs=1, completed_jobs=1)
