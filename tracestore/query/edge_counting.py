"""Service-graph metrics of stored spans: the requests of a chunk as observations of series.

A request belongs to the time when its last side ended. A side that was never seen took no time, as
the generator has it.

Source: wire contract, section 17.3.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tracestore.model import span_metrics as names
from tracestore.model.series import Grid
from tracestore.query.bind import Binder
from tracestore.query.chunk_spans import ChunkSpans, points_of
from tracestore.query.edges import (
    CONNECTION_TEXTS,
    NO_SPAN,
    VIRTUAL_TEXTS,
    Connection,
    EdgeFinder,
    Edges,
    VirtualSide,
)
from tracestore.query.label_texts import Codes, LabelTexts
from tracestore.query.masks import Mask, to_array
from tracestore.query.scan import ChunkScan
from tracestore.query.series_index import SeriesIndex
from tracestore.query.series_tally import Observed
from tracestore.query.span_policies import SpanPolicies
from tracestore.query.span_series import SeriesQuestion
from tracestore.query.span_weights import SpanWeights
from tracestore.settings.generator_tree import ServiceGraphsSettings

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_PREFIXES = ("client_", "server_")


def graph_settings(settings: ServiceGraphsSettings) -> ServiceGraphsSettings:
    """Make the settings of a graph: which side is missing is told, dimensions are left out."""
    return replace(
        settings,
        dimensions=(),
        enable_virtual_node_label=True,
        enable_messaging_system_latency_histogram=True,
    )


def edge_labels(settings: ServiceGraphsSettings) -> tuple[str, ...]:
    """Name the labels that requests have with some settings."""
    found = [names.CLIENT, names.SERVER, names.CONNECTION_TYPE]
    if settings.enable_virtual_node_label:
        found.append(names.VIRTUAL_NODE)
    for key in settings.dimensions:
        prefixes = _PREFIXES if settings.enable_client_server_prefix else ("",)
        found += (names.label_name(prefix + key) for prefix in prefixes)
    return tuple(dict.fromkeys(found))


class EdgeCounting:
    """Counts the requests in one source; its traces are whole."""

    def __init__(
        self,
        binder: Binder,
        question: SeriesQuestion,
        settings: ServiceGraphsSettings,
        index: SeriesIndex,
    ) -> None:
        self._question = question
        self._settings = settings
        self._index = index
        self._texts = LabelTexts(binder, index.texts)
        self._finder = EdgeFinder(self._texts, settings, is_every_server=question.is_graph)
        self._policies = SpanPolicies(binder, settings.filter_policies)
        self._weights = SpanWeights(
            binder,
            settings.span_multiplier_key,
            of_trace_state=settings.enable_tracestate_span_multiplier,
        )

    def observe(self, scan: ChunkScan, traces: Mask, marked: Mask, grid: Grid) -> Observed | None:
        """Count the requests of a chunk that are over in the range; None if there are none.

        Args:
            traces: (N,) the spans that may be a side of one.
            marked: (N,) the spans of which one must be.
        """
        spans = ChunkSpans(scan)
        edges = self._finder.find(spans, traces)
        seen = self._policies.allowed(scan, True)
        if seen is not True:  # a side that is left out takes the other with it
            edges = edges.take(~_touching(edges, ~to_array(seen, scan.chunk.spans)))
        if marked is not True:
            edges = edges.take(_touching(edges, to_array(marked, scan.chunk.spans)))
        if len(edges) == 0:
            return None
        places, points = points_of(spans.end_ns[edges.later(spans.end_ns)], grid)
        of_edge = np.full(len(edges), -1, np.int64)
        of_edge[places] = points
        labels = _Labels(self._texts, self._settings, spans, edges)
        found, series = self._index.find(places, labels.of)
        if len(found) == 0:
            return None
        return self._observed(spans, edges.take(found), series, of_edge[found])

    def _observed(self, spans: ChunkSpans, edges: Edges, series: Rows, points: Rows) -> Observed:
        weights = self._weights.of(spans.scan)
        failed = _touching(edges, spans.is_failed) | edges.also_failed
        return Observed(
            series=series,
            points=points,
            weights=None if weights is None else weights[edges.later(spans.end_ns)],
            failed=failed,
            seconds=self._seconds(spans, edges),
            trace_rows=spans.trace_rows(edges.spans),
        )

    def _seconds(self, spans: ChunkSpans, edges: Edges) -> tuple[Floats, Floats, Floats]:
        client = np.where(edges.client >= 0, spans.seconds(edges.client), 0.0)
        server = np.where(edges.server >= 0, spans.seconds(edges.server), 0.0)
        server = np.where(edges.connection == Connection.DATABASE, client, server)
        if self._question.is_graph:  # a graph shows no time of a side that was not seen
            client = np.where(edges.virtual == VirtualSide.CLIENT, np.nan, client)
            server = np.where(edges.virtual == VirtualSide.SERVER, np.nan, server)
        waited = np.full(len(edges), np.nan)
        if self._settings.enable_messaging_system_latency_histogram:
            is_message = np.flatnonzero(edges.connection == Connection.MESSAGING)
            consumed = spans.start_ns[edges.server[is_message]].view(np.int64)
            produced = spans.end_ns[edges.client[is_message]].view(np.int64)
            waited[is_message] = (consumed - produced) / 1e9
            waited[~(waited > 0)] = np.nan
        return server, client, waited


class _Labels:
    """What the requests of a chunk have for each label."""

    def __init__(
        self,
        texts: LabelTexts,
        settings: ServiceGraphsSettings,
        spans: ChunkSpans,
        edges: Edges,
    ) -> None:
        self._texts = texts
        self._settings = settings
        self._spans = spans
        self._edges = edges

    def of(self, label: str, rows: Rows) -> Codes:
        """Number the texts of some requests."""
        edges, known = self._edges, self._texts.texts
        match label:
            case names.CLIENT:
                return edges.client_name.take(rows)
            case names.SERVER:
                return edges.server_name.take(rows)
            case names.CONNECTION_TYPE:
                return known.of_texts(CONNECTION_TEXTS).take(edges.connection.take(rows))
            case names.VIRTUAL_NODE if self._settings.enable_virtual_node_label:
                return known.of_texts(VIRTUAL_TEXTS).take(edges.virtual.take(rows))
        return self._dimension(label, edges.take(rows))

    def _dimension(self, label: str, edges: Edges) -> Codes:
        """Number a dimension; of two with one label the last stays."""
        for key in reversed(self._settings.dimensions):
            if not self._settings.enable_client_server_prefix:
                if names.label_name(key) == label:
                    return self._of_later(key, edges)
                continue
            for prefix, rows in zip(_PREFIXES, (edges.client, edges.server), strict=True):
                if names.label_name(prefix + key) == label:
                    return self._of_span(key, rows)
        raise AssertionError(f"{label} is no label of requests")

    def _of_later(self, key: str, edges: Edges) -> Codes:
        """Take what the side that came last has, else what the other has."""
        last = edges.later(self._spans.end_ns)
        other = np.where(last == edges.client, edges.server, edges.client)
        found = self._of_span(key, last)
        return np.where(found == 0, self._of_span(key, other), found)

    def _of_span(self, key: str, rows: Rows) -> Codes:
        found = np.zeros(len(rows), np.int32)
        there = np.flatnonzero(rows != NO_SPAN)
        found[there] = self._texts.of_either(self._spans.scan, key, rows[there])
        return found


def _touching(edges: Edges, marked: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Find the requests of which one side is marked."""
    return _of_side(marked, edges.client) | _of_side(marked, edges.server)


def _of_side(mask: npt.NDArray[np.bool_], rows: Rows) -> npt.NDArray[np.bool_]:
    """Take what a mask says of one side; False where that was not seen."""
    found: npt.NDArray[np.bool_] = mask[rows] & (rows != NO_SPAN)
    return found
