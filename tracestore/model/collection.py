"""What a tenant's metrics are at one time: handed from the registry to remote write and scraping.

Series are known by numbers that hold as long as the registry lives, so that whoever writes them out
puts their labels into bytes once. There are arrays here and no object per sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from tracestore.model.ids import TenantId

Labels = tuple[tuple[str, str], ...]
"""Sorted by name, ``__name__`` among them; external labels are in there, empty values are not."""


class MetricType(Enum):
    """Of a family, as the exposition format calls it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemplars:
    """Exemplars of classic or native histograms, side by side."""

    series: npt.NDArray[np.int64]
    """(n,) number of the series: of a ``_bucket``, or of a native histogram."""
    values: npt.NDArray[np.float64]
    """(n,) seconds."""
    times_ms: npt.NDArray[np.int64]
    label: str
    """Name of the label that holds the trace ID."""
    trace_ids: Sequence[str]
    """(n,) hexadecimal, without leading zeros."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeHistograms:
    """Native histograms with positive values, exponential buckets, all integer counts.

    Bucket ``index`` holds values in (base ** (index - 1), base ** index] with
    base = 2 ** (2 ** -schema), as Prometheus has it.
    """

    series: npt.NDArray[np.int64]
    """(n,)"""
    schema: npt.NDArray[np.int32]
    """(n,)"""
    counts: npt.NDArray[np.float64]
    """(n,) observations; a multiplier of sampling may make them no integers."""
    sums: npt.NDArray[np.float64]
    """(n,) seconds."""
    zero_counts: npt.NDArray[np.float64]
    """(n,) observations of 0 up to ``zero_threshold``."""
    zero_threshold: float
    first_bucket: npt.NDArray[np.int64]
    """(n + 1,) where the buckets of each begin below."""
    bucket_index: npt.NDArray[np.int32]
    """(m,) ascending for each histogram."""
    bucket_counts: npt.NDArray[np.float64]
    """(m,) absolute, not cumulative."""
    is_reset: npt.NDArray[np.bool_]
    """(n,) whether it began anew since the last collection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Series of one metric."""

    name: str
    """Without ``_bucket`` and the like."""
    type: MetricType
    help: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """All active series of a tenant at one time."""

    tenant: TenantId
    time_ms: int
    series: npt.NDArray[np.int64]
    """(n,) number of the series of each sample; of one series the earlier sample comes first."""
    values: npt.NDArray[np.float64]
    """(n,)"""
    times_ms: npt.NDArray[np.int64]
    """(n,) ``time_ms``, or earlier: a new counter is 0 before its first value."""
    labels: Mapping[int, Labels]
    """Of every series named here, and maybe of others."""
    families: Mapping[int, Family]
    """The family of every series named here."""
    generation: int = 0
    """Of the registry: where it is another than that of the collection before, numbers of series
    begin anew and mean others."""
    exemplars: Exemplars | None = None
    histograms: NativeHistograms | None = None
