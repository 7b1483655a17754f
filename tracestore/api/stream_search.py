"""Search as a stream: traces are sent once it is sure that they belong to the answer.

Source: wire contract, sections 8 and 12.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tracestore.api.feed import Packets
from tracestore.api.params import SearchParams, parse_search
from tracestore.api.stream_query import StreamedQuery, given, read_message, with_one_job
from tracestore.api.streaming import Metadata, Send
from tracestore.api.tenant import Tenancy
from tracestore.api.wanted import text_of, wanted_of
from tracestore.codec.packets import cut_packets
from tracestore.codec.proto.tempopb_pb2 import SearchRequest
from tracestore.codec.search_json import encode_metrics, encode_traces
from tracestore.errors import InvalidRequestError
from tracestore.model.results import QueryStats, SearchResult, TraceSummary
from tracestore.model.times import SECOND_NS
from tracestore.query.jobs.search import SearchTraces
from tracestore.services.querier.runner import QueryRunner
from tracestore.settings.tree import QuerySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchStream:
    """The method ``Search``."""

    runner: QueryRunner
    tenancy: Tenancy

    async def search(self, request: bytes, metadata: Metadata, send: Send) -> None:
        """Send the traces that match, newest first, as they become known; at the end all."""
        org = self.tenancy.org_of_metadata(metadata)
        runner = self.runner
        now_s = runner.clock.now_ns() // SECOND_NS
        message = read_message(SearchRequest.FromString, request)
        settings = runner.settings_for(org.named)
        params = search_params(message, settings, now_s=now_s)
        tenants = org.for_reading()
        text = text_of(params)
        wanted = wanted_of(params, text, int(settings.trace_reach_s * SECOND_NS))
        ready = _Search(params, settings)
        query = StreamedQuery(
            operation=SearchTraces(text=text, params=wanted),
            render_new=ready.render_new,
            render_all=ready.render_all,
        )
        await query.run(runner, tenants, send)


def search_params(message: SearchRequest, settings: QuerySettings, *, now_s: int) -> SearchParams:
    """Check a request by the rules of ``/api/search``. Raises: InvalidRequestError."""
    if message.Query and message.Tags:
        raise InvalidRequestError("invalid request: can't specify tags and q in the same query")
    query = {
        "q": message.Query,
        "limit": given(message.Limit),
        "spss": given(message.SpansPerSpanSet),
        "start": given(message.start),
        "end": given(message.end),
        "minDuration": f"{message.MinDurationMs}ms",
        "maxDuration": f"{message.MaxDurationMs}ms",
    }
    return replace(parse_search(query, settings, now_s=now_s), tags=dict(message.Tags))


class _Search:
    """One request."""

    def __init__(self, params: SearchParams, settings: QuerySettings) -> None:
        self._params = params
        self._settings = settings
        self._sent = 0

    def render_new(self, result: SearchResult) -> Packets:
        new, self._sent = result.traces[self._sent :], len(result.traces)
        return self._render(new, result.stats)

    def render_all(self, result: SearchResult) -> Packets:
        return self._render(result.traces, result.stats)

    def _render(self, traces: Sequence[TraceSummary], stats: QueryStats) -> Packets:
        items = encode_traces(
            traces, span_sets=bool(self._params.query), pad_ids=self._settings.left_pad_trace_ids
        )
        tail = encode_metrics(with_one_job(stats))
        return cut_packets(items, tail, self._settings.streaming.packet_bytes_max)
