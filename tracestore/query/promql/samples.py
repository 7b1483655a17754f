"""What a range selector by itself shows: samples as a scrape of the generator would have left.

A sample every 15 s, of what was counted since the range began.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tracestore.errors import InvalidRequestError
from tracestore.query.promql.readings import (
    Ask,
    Meaning,
    Reading,
    read,
    readings_of,
    times_of,
)
from tracestore.query.promql.values import Matrix
from tracestore.query.promql.windows import MILLISECOND_NS, Times, Windows
from tracestore.query.span_series import SeriesCells, SeriesQuestion

SAMPLE_MS = 15_000
"""Between two samples: how often Tempo's generator writes."""
SAMPLES_MAX = 11_000
"""Of one series, as for any range."""


def sample_readings(ask: Ask, times: Times, meaning: Meaning) -> tuple[Reading, ...]:
    """Find what a range selector asks for, at the one time of an instant query.

    Raises: InvalidRequestError if it is too long.
    """
    at_ms = times_of(ask.selector, times).start_ms
    first = (at_ms - ask.selector.range_ms) // SAMPLE_MS
    count = at_ms // SAMPLE_MS - first
    if count > SAMPLES_MAX:
        raise InvalidRequestError(
            f"not supported by tracestore: a range selector with more than {SAMPLES_MAX} samples, "
            f"one every {SAMPLE_MS // 1000}s"
        )
    ends = np.arange(1, count + 1, dtype=np.int64)
    windows = Windows(
        start_ns=first * SAMPLE_MS * MILLISECOND_NS,
        step_ns=SAMPLE_MS * MILLISECOND_NS,
        cells=max(count, 1),
        ends=ends,
        width=ends,
        reach=ends,
    )
    return tuple(
        replace(
            one,
            windows=windows,
            points=count,
            question=replace(
                one.question,
                start_ns=windows.start_ns,
                step_ns=windows.step_ns,
                points=windows.cells,
            ),
        )
        for one in readings_of(ask, times, meaning)
    )


def read_samples(
    readings: tuple[Reading, ...],
    answers: Callable[[SeriesQuestion], SeriesCells],
    meaning: Meaning,
) -> Matrix:
    """Make the samples of a range selector, of all its metrics.

    Raises: as ``read``.
    """
    points = readings[0].points if readings else 0
    vector = read(readings, answers, points, meaning)
    start_ns = readings[0].windows.start_ns if readings else 0
    return Matrix(
        labels=vector.labels,
        values=vector.values,
        present=vector.present,
        times_ms=start_ns // MILLISECOND_NS + SAMPLE_MS * np.arange(1, points + 1, dtype=np.int64),
    )
