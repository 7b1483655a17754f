"""The engine itself as a backend, over whatever sources there are.

It answers as a server would, with the same functions. Limits of a server that protect it from its
users do not hold here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from traceql.errors import QueryError
from tracestore.api.metrics_params import params_of, parse_range
from tracestore.api.params import parse_search
from tracestore.api.service_graph import parse_graph, written_graph
from tracestore.api.tag_answers import find_names, find_values
from tracestore.api.tag_params import parse_names, parse_values
from tracestore.api.wanted import text_of, wanted_of
from tracestore.client.backend import warn_of_missing
from tracestore.client.request import read_query
from tracestore.clock import Clock
from tracestore.codec.metrics_json import render_range_json
from tracestore.codec.search_json import render_search_json
from tracestore.codec.tags_json import render_names_v2_json, render_values_v2_json
from tracestore.codec.trace_json import TraceAnswer, empty_trace, parse_trace, render_v2_json
from tracestore.model.ids import TraceId
from tracestore.model.times import SECOND_NS
from tracestore.query.control import QueryControl
from tracestore.query.jobs.metrics import plan_metrics_query
from tracestore.query.metrics import metrics
from tracestore.query.plan import plan_search
from tracestore.query.search import search
from tracestore.query.service_graph import graph_questions
from tracestore.query.source import SpanSource
from tracestore.query.span_series_run import SeriesParams, count_series
from tracestore.query.trace_by_id import find_trace
from tracestore.settings.generator_tree import ProcessorSettings
from tracestore.settings.tree import QuerySettings, StorageSettings
from tracestore.storage.block.cache import BlockCache

SPANS_PER_SPAN_SET_MAX = 1 << 40

SETTINGS = QuerySettings(
    max_result_limit=0,
    max_spans_per_span_set=SPANS_PER_SPAN_SET_MAX,
    max_duration_s=0.0,
    max_metrics_duration_s=0.0,
    max_metrics_intervals=0,
    max_metrics_series=0,
    max_metrics_cells=0,
    max_metrics_samples=0,
    max_bytes_per_tag_values_query=0,
    max_condition_groups_per_tag_query=0,
)


class EngineBackend(ABC):
    """Answers from the sources that a subclass finds. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._cache = BlockCache(StorageSettings().cache_bytes)

    @property
    @abstractmethod
    def name(self) -> str:
        """Where the spans are, for people."""

    @abstractmethod
    def sources(self) -> list[SpanSource]:
        """Get everything there is now, without gap or double.

        Raises: UnavailableError, CorruptionError.
        """

    def search(self, parameters: Mapping[str, str]) -> bytes:
        params = parse_search(parameters, SETTINGS, now_s=self._now_s)
        text = text_of(params)
        try:
            plan = plan_search(read_query(text))
        except QueryError as error:
            raise error.locate(text) from None
        wanted = wanted_of(params, text, reach_ns=None)
        result = search(self.sources(), plan, wanted, self._control())
        if result.missing:
            warn_of_missing(self.name, result.missing)
        return render_search_json(result, span_sets=bool(params.query))

    def metrics(self, parameters: Mapping[str, str]) -> bytes:
        now_ns = self._clock.now_ns()
        asked = parse_range(parameters, SETTINGS, now_ns=now_ns)
        params = params_of(asked, SETTINGS, now_ns=now_ns)
        plan = plan_metrics_query(asked.query, is_instant=False)
        return render_range_json(metrics(self.sources(), plan, params, self._control()))

    def service_graph(self, parameters: Mapping[str, str]) -> bytes:
        asked = parse_graph(parameters, SETTINGS, now_ns=self._clock.now_ns())
        params = SeriesParams(processor=ProcessorSettings())
        sources = self.sources()
        requests, services = (
            count_series(sources, question, params, self._control())
            for question in graph_questions(asked.start_ns, asked.end_ns, asked.filter)
        )
        return written_graph(requests, services, asked).body

    def trace(self, trace_id: TraceId) -> bytes:
        found = find_trace(self.sources(), trace_id, self._control())
        if found is None:
            return render_v2_json(TraceAnswer(trace=empty_trace()))
        trace = parse_trace(found.otlp)
        return render_v2_json(TraceAnswer(trace=trace, inspected_bytes=found.inspected_bytes))

    def names(self, parameters: Mapping[str, str]) -> bytes:
        params = parse_names(parameters, SETTINGS, now_s=self._now_s, is_legacy=False)
        found = find_names(self.sources(), params, SETTINGS, self._control())
        return render_names_v2_json(found)

    def values(self, tag: str, parameters: Mapping[str, str]) -> bytes:
        params = parse_values(parameters, tag, SETTINGS, now_s=self._now_s, is_legacy=False)
        found = find_values(self.sources(), params, SETTINGS, self._control(), cache=self._cache)
        return render_values_v2_json(found)

    @property
    def _now_s(self) -> int:
        return self._clock.now_ns() // SECOND_NS

    def _control(self) -> QueryControl:
        return QueryControl(clock=self._clock)
