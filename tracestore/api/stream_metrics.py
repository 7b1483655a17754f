"""TraceQL metrics as streams.

Of a range, the points that no source still to be read can change are sent, from the newest to the
oldest; of an instant, all values as they are so far.

Source: wire contract, sections 10 and 12.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tracestore.api.feed import Packets
from tracestore.api.metrics_params import MetricsRequest, params_of
from tracestore.api.params import check_expression_size
from tracestore.api.stream_query import StreamedQuery, read_message, with_one_job
from tracestore.api.streaming import Metadata, Method, Send
from tracestore.api.tenant import OrgId, Tenancy
from tracestore.codec.metrics_json import encode_instant, encode_range, encode_status
from tracestore.codec.packets import cut_packets
from tracestore.codec.proto.tempopb_pb2 import QueryInstantRequest, QueryRangeRequest
from tracestore.codec.search_json import encode_metrics
from tracestore.errors import InvalidRequestError
from tracestore.model.series import MetricsResult
from tracestore.query.jobs.metrics import ComputeMetrics
from tracestore.services.querier.runner import QueryRunner
from tracestore.settings.tree import QuerySettings

_TIME_MAX = (1 << 63) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsStreams:
    """The methods."""

    runner: QueryRunner
    tenancy: Tenancy

    @property
    def methods(self) -> dict[str, Method]:
        """Get the methods by name."""
        return {"MetricsQueryRange": self.range, "MetricsQueryInstant": self.instant}

    async def range(self, request: bytes, metadata: Metadata, send: Send) -> None:
        """Send series over a range of time."""
        org = self.tenancy.org_of_metadata(metadata)
        message = read_message(QueryRangeRequest.FromString, request)
        settings = self.runner.settings_for(org.named)
        asked = MetricsRequest(
            query=_checked(message, settings),
            start_ns=message.start,
            end_ns=message.end,
            step_ns=message.step or None,
            exemplars=message.exemplars,
            series_max=message.maxSeries,
        )
        await self._run(asked, org, _Range(settings), send)

    async def instant(self, request: bytes, metadata: Metadata, send: Send) -> None:
        """Send one value of each series."""
        org = self.tenancy.org_of_metadata(metadata)
        message = read_message(QueryInstantRequest.FromString, request)
        settings = self.runner.settings_for(org.named)
        asked = MetricsRequest(
            query=_checked(message, settings),
            start_ns=message.start,
            end_ns=message.end,
            is_instant=True,
        )
        await self._run(asked, org, _Instant(settings), send)

    async def _run(
        self, asked: MetricsRequest, org: OrgId, rendering: _Range | _Instant, send: Send
    ) -> None:
        runner = self.runner
        params = params_of(asked, rendering.settings, now_ns=runner.clock.now_ns())
        tenants = org.for_reading()
        query = StreamedQuery(
            operation=ComputeMetrics(text=asked.query, is_instant=asked.is_instant, params=params),
            render_new=rendering.render_new,
            render_all=rendering.render_all,
        )
        await query.run(runner, tenants, send)


def _checked(message: QueryRangeRequest | QueryInstantRequest, settings: QuerySettings) -> str:
    """Get the query of a request with times that there are. Raises: InvalidRequestError."""
    check_expression_size(message.query, settings)
    for name, time_ns in (("start", message.start), ("end", message.end)):
        if time_ns > _TIME_MAX:
            raise InvalidRequestError(f"{name} is {time_ns}, no time in nanoseconds since 1970")
    return message.query


def _cut(
    items: Iterable[bytes], result: MetricsResult, settings: QuerySettings, *, is_whole: bool
) -> Packets:
    tail = encode_metrics(with_one_job(result.stats))
    last = encode_status(result) if is_whole else b""
    return cut_packets(items, tail, settings.streaming.packet_bytes_max, last=last)


class _Range:
    """Messages of a range; remembers what was sent of it."""

    def __init__(self, settings: QuerySettings) -> None:
        self.settings = settings
        self._sent_from: int | None = None

    def render_new(self, result: MetricsResult) -> Packets:
        """Write the points that are settled now; none while it is not clear which series stay."""
        stop = result.grid.count if self._sent_from is None else self._sent_from
        first = min(result.settled_from, stop)
        if result.is_partial or not result.series:
            first = stop
        else:
            self._sent_from = first
        series = encode_range(result, range(first, stop))
        return _cut(series, result, self.settings, is_whole=False)

    def render_all(self, result: MetricsResult) -> Packets:
        series = encode_range(result, range(result.grid.count))
        return _cut(series, result, self.settings, is_whole=True)


class _Instant:
    """Messages of an instant answer: always all of it."""

    def __init__(self, settings: QuerySettings) -> None:
        self.settings = settings

    def render_new(self, result: MetricsResult) -> Packets:
        return _cut(encode_instant(result), result, self.settings, is_whole=False)

    def render_all(self, result: MetricsResult) -> Packets:
        return _cut(encode_instant(result), result, self.settings, is_whole=True)
