"""Asks for series of spans that lie in one source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from support.otlp import EPOCH_NS
from support.query import control

from tracestore.kernel import build_tables
from tracestore.model.times import SECOND_NS
from tracestore.query.span_series import Family, SeriesCells, SeriesQuestion
from tracestore.query.span_series_run import SeriesParams, count_series
from tracestore.query.tables_source import TablesSource
from tracestore.settings.generator_tree import (
    ProcessorSettings,
    ServiceGraphsSettings,
    SpanMetricsSettings,
)
from tracestore.storage.block.weights import with_weights


def ask(
    family: Family,
    *requests: bytes,
    weights: Sequence[float] = (),
    spans: SpanMetricsSettings | None = None,
    graphs: ServiceGraphsSettings | None = None,
    series_max: int = 0,
    samples_max: int = 0,
    **question: Any,
) -> SeriesCells:
    """Count an hour from ``EPOCH_NS`` on, in one interval.

    Args:
        weights: of the traces, by ID: for how many each stands.
    """
    tables = build_tables(list(requests))
    if weights:
        tables = with_weights(tables, np.array(weights))
    processor = ProcessorSettings(
        span_metrics=spans or SpanMetricsSettings(),
        service_graphs=graphs or ServiceGraphsSettings(),
    )
    return count_series(
        [TablesSource(tables, "one")],
        SeriesQuestion(
            **{
                "family": family,
                "start_ns": EPOCH_NS - 1,
                "step_ns": 3600 * SECOND_NS,
                "points": 1,
                **question,
            }
        ),
        SeriesParams(processor=processor, series_max=series_max, samples_max=samples_max),
        control(),
    )


def counted(cells: SeriesCells) -> dict[str, float]:
    """Write the labels of each series as PromQL does, and its count."""
    return {
        ",".join(f"{name}={text}" for name, text in labels): float(count)
        for labels, count in zip(cells.labels, cells.counts[:, 0], strict=True)
    }
