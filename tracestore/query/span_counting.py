"""Span metrics of stored spans: which spans of a chunk are counted, and what their labels are.

Source: wire contract, section 17.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tracestore.model import span_metrics as names
from tracestore.model.series import Grid
from tracestore.query.bind import Binder
from tracestore.query.chunk_spans import ChunkSpans, points_of
from tracestore.query.label_texts import Codes, LabelTexts
from tracestore.query.masks import Mask, to_array
from tracestore.query.scan import ChunkScan
from tracestore.query.series_index import SeriesIndex
from tracestore.query.series_tally import Observed
from tracestore.query.span_policies import SpanPolicies
from tracestore.query.span_series import SeriesQuestion
from tracestore.query.span_weights import SpanWeights
from tracestore.settings.generator_tree import IntrinsicDimensions, SpanMetricsSettings

Rows = npt.NDArray[np.int64]
SERVICE_NAME, SERVICE_NAMESPACE = "service.name", "service.namespace"
_Reader = Callable[[ChunkScan, Rows], Codes]


def bare_settings(settings: SpanMetricsSettings) -> SpanMetricsSettings:
    """Make the settings of a graph: all labels that a span itself has, and no others."""
    return replace(
        settings,
        intrinsic_dimensions=IntrinsicDimensions(),
        dimensions=(),
        dimension_mappings=(),
        enable_target_info=False,
    )


def span_labels(settings: SpanMetricsSettings) -> tuple[str, ...]:
    """Name the labels that spans have with some settings."""
    own = settings.intrinsic_dimensions
    found = [
        label
        for label, is_on in (
            (names.SERVICE, own.service),
            (names.SPAN_NAME, own.span_name),
            (names.SPAN_KIND, own.span_kind),
            (names.STATUS_CODE, own.status_code),
            (names.STATUS_MESSAGE, own.status_message),
            (names.JOB, settings.enable_target_info),
            (names.INSTANCE, settings.enable_target_info and settings.enable_instance_label),
        )
        if is_on
    ]
    found += map(names.dimension_label, settings.dimensions)
    found += (names.dimension_label(one.name) for one in settings.dimension_mappings)
    return tuple(dict.fromkeys(found))


class SpanCounting:
    """Counts the spans of one source."""

    def __init__(
        self,
        binder: Binder,
        question: SeriesQuestion,
        settings: SpanMetricsSettings,
        index: SeriesIndex,
    ) -> None:
        self._question = question
        self._index = index
        self._texts = LabelTexts(binder, index.texts)
        self._readers = _readers(self._texts, settings)
        self._policies = SpanPolicies(binder, settings.filter_policies)
        self._weights = SpanWeights(
            binder,
            settings.span_multiplier_key,
            of_trace_state=settings.enable_tracestate_span_multiplier,
        )
        self._has_seconds = bool(question.sides)

    def observe(self, scan: ChunkScan, marked: Mask, grid: Grid) -> Observed | None:
        """Count the marked spans of a chunk that end in the range; None if there are none."""
        if marked is False or not self._may_match(scan):
            return None
        spans = ChunkSpans(scan)
        marked = self._policies.allowed(scan, marked)
        rows, points = points_of(spans.end_ns, grid)
        if marked is not True:
            kept = to_array(marked, scan.chunk.spans)[rows]
            rows, points = rows[kept], points[kept]
        of_row = np.full(scan.chunk.spans, -1, np.int64)
        of_row[rows] = points
        rows, series = self._index.find(rows, lambda label, some: self._labelled(scan, label, some))
        if len(rows) == 0:
            return None
        weights = self._weights.of(scan)
        return Observed(
            series=series,
            points=of_row[rows],
            weights=None if weights is None else weights[rows],
            failed=spans.is_failed[rows],
            seconds=(spans.seconds(rows),) if self._has_seconds else (),
            trace_rows=spans.trace_rows(rows) if self._question.exemplars else rows,
        )

    def _labelled(self, scan: ChunkScan, label: str, rows: Rows) -> Codes:
        return self._readers[label](scan, rows)

    def _may_match(self, scan: ChunkScan) -> bool:
        """Tell whether some resource has a service that is asked for, before spans are read."""
        condition = self._index.conditions.get(names.SERVICE)
        if condition is None or names.SERVICE not in self._readers:
            return True
        services = self._texts.of_resources(scan, SERVICE_NAME)
        if services is None:
            return condition.allows_empty()
        return bool(condition.verdicts()[services].any())


def _readers(texts: LabelTexts, settings: SpanMetricsSettings) -> dict[str, _Reader]:
    """Make what reads each label; of two dimensions with one label the last stays."""
    found: dict[str, _Reader] = {
        names.SERVICE: lambda scan, rows: texts.of_resource(scan, SERVICE_NAME, rows),
        names.SPAN_NAME: lambda scan, rows: texts.of_column(scan, "name", rows),
        names.SPAN_KIND: lambda scan, rows: texts.of_number(scan, "kind", names.KIND_NAMES, rows),
        names.STATUS_CODE: lambda scan, rows: texts.of_number(
            scan, "status_code", names.STATUS_NAMES, rows
        ),
        names.STATUS_MESSAGE: lambda scan, rows: texts.of_column(scan, "status_message", rows),
        names.INSTANCE: lambda scan, rows: texts.of_resource(scan, "service.instance.id", rows),
        names.JOB: lambda scan, rows: _job(texts, scan, rows),
    }
    for key in settings.dimensions:
        found[names.dimension_label(key)] = _reader_of(texts, key)
    for mapping in settings.dimension_mappings:
        label = names.dimension_label(mapping.name)
        found[label] = _mapping_reader(texts, mapping.source_labels, mapping.join)
    return found


def _reader_of(texts: LabelTexts, key: str) -> _Reader:
    return lambda scan, rows: texts.of_either(scan, key, rows)


def _mapping_reader(texts: LabelTexts, keys: Sequence[str], join: str) -> _Reader:
    def read(scan: ChunkScan, rows: Rows) -> Codes:
        found = np.zeros(len(rows), np.int32)
        for key in keys:
            found = texts.texts.of_pairs(found, texts.of_either(scan, key, rows), join)
        return found

    return read


def _job(texts: LabelTexts, scan: ChunkScan, rows: Rows) -> Codes:
    """Name the job: namespace and service; without a service there is none."""
    service = texts.of_resource(scan, SERVICE_NAME, rows)
    namespace = texts.of_resource(scan, SERVICE_NAMESPACE, rows)
    joined = texts.texts.of_pairs(namespace, service, "/")
    return np.where(service == 0, service, joined)
