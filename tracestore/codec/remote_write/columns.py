"""A collection as it waits in the queue: arrays sorted by series, and their bytes.

Source: docs/formats/remote-write-queue.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracestore.errors import MalformedError
from tracestore.model.collection import Collection

_OPTIONS = pa.ipc.IpcWriteOptions(compression="zstd")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What a collection holds. All parts are sorted by series, and stable within one."""

    time_ms: int
    series: npt.NDArray[np.int64]
    """(n,) numbers; those of the generation of the segment."""
    values: npt.NDArray[np.float64]
    times_ms: npt.NDArray[np.int64]
    exemplar_series: npt.NDArray[np.int64]
    """(e,)"""
    exemplar_values: npt.NDArray[np.float64]
    exemplar_times_ms: npt.NDArray[np.int64]
    exemplar_label: str
    exemplar_ids: Sequence[str]
    histogram_series: npt.NDArray[np.int64]
    """(h,)"""
    histogram_schema: npt.NDArray[np.int64]
    histogram_counts: npt.NDArray[np.float64]
    histogram_sums: npt.NDArray[np.float64]
    histogram_zero_counts: npt.NDArray[np.float64]
    histogram_zero_threshold: float
    histogram_reset: npt.NDArray[np.bool_]
    histogram_first: npt.NDArray[np.int64]
    """(h + 1,)"""
    bucket_index: npt.NDArray[np.int64]
    bucket_counts: npt.NDArray[np.float64]

    @cached_property
    def numbers(self) -> npt.NDArray[np.int64]:
        """Each series with a sample or histogram once, ascending."""
        return np.unique(np.concatenate((self.series, self.histogram_series)))


def columns_of(collection: Collection) -> Columns:
    """Sort what a collection holds."""
    order = _order(collection.series)
    exemplars, histograms = collection.exemplars, collection.histograms
    parts: dict[str, object] = _NO_EXEMPLARS | _NO_HISTOGRAMS
    if exemplars is not None:
        by = _order(exemplars.series)
        parts |= {
            "exemplar_series": exemplars.series[by],
            "exemplar_values": exemplars.values[by],
            "exemplar_times_ms": exemplars.times_ms[by],
            "exemplar_label": exemplars.label,
            "exemplar_ids": [exemplars.trace_ids[i] for i in by.tolist()],
        }
    if histograms is not None:
        by = _order(histograms.series)
        sizes = np.diff(histograms.first_bucket)[by]
        first = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        start = np.repeat(histograms.first_bucket[:-1][by] - first[:-1], sizes)
        buckets = start + np.arange(first[-1])
        parts |= {
            "histogram_series": histograms.series[by],
            "histogram_schema": histograms.schema[by].astype(np.int64),
            "histogram_counts": histograms.counts[by],
            "histogram_sums": histograms.sums[by],
            "histogram_zero_counts": histograms.zero_counts[by],
            "histogram_zero_threshold": histograms.zero_threshold,
            "histogram_reset": histograms.is_reset[by],
            "histogram_first": first,
            "bucket_index": histograms.bucket_index[buckets].astype(np.int64),
            "bucket_counts": histograms.bucket_counts[buckets],
        }
    return Columns(
        time_ms=collection.time_ms,
        series=collection.series[order],
        values=collection.values[order],
        times_ms=collection.times_ms[order],
        **parts,  # type: ignore[arg-type]  # by name, as the class has them
    )


def _order(series: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    if (np.diff(series) >= 0).all():
        return np.arange(len(series))
    return np.argsort(series, kind="stable")


def _empty(kind: type) -> npt.NDArray[np.generic]:
    return np.empty(0, kind)


_NO_EXEMPLARS: dict[str, object] = {
    "exemplar_series": _empty(np.int64),
    "exemplar_values": _empty(np.float64),
    "exemplar_times_ms": _empty(np.int64),
    "exemplar_label": "",
    "exemplar_ids": (),
}
_NO_HISTOGRAMS: dict[str, object] = {
    "histogram_series": _empty(np.int64),
    "histogram_schema": _empty(np.int64),
    "histogram_counts": _empty(np.float64),
    "histogram_sums": _empty(np.float64),
    "histogram_zero_counts": _empty(np.float64),
    "histogram_zero_threshold": 0.0,
    "histogram_reset": _empty(np.bool_),
    "histogram_first": np.zeros(1, np.int64),
    "bucket_index": _empty(np.int64),
    "bucket_counts": _empty(np.float64),
}
_SCALARS = {
    "time_ms": pa.int64(),
    "exemplar_label": pa.string(),
    "histogram_zero_threshold": pa.float64(),
}
_DELTAS = ("series", "exemplar_series", "histogram_series")
"""Written as differences, which compress well."""
_NAMES = [field.name for field in fields(Columns)]


def encode_columns(columns: Columns) -> bytes:
    """Write columns as an Arrow stream of one row, compressed with zstd."""
    arrays = []
    for name in _NAMES:
        value = getattr(columns, name)
        if name in _SCALARS:
            arrays.append(pa.array([value], _SCALARS[name]))
            continue
        if name in _DELTAS:
            value = np.diff(value, prepend=0)
        flat = pa.array(value, pa.string()) if name == "exemplar_ids" else pa.array(value)
        arrays.append(pa.ListArray.from_arrays(pa.array([0, len(flat)], pa.int32()), flat))
    return write_batch(pa.record_batch(arrays, names=_NAMES))


def decode_columns(payload: bytes) -> Columns:
    """Read what ``encode_columns`` wrote. Raises: MalformedError."""
    batch = read_batch(payload)
    if batch.schema.names != _NAMES or batch.num_rows != 1:
        raise MalformedError("a record of the queue has other columns", 0)
    parts: dict[str, object] = {}
    for name, array in zip(_NAMES, batch.columns, strict=True):
        if name in _SCALARS:
            parts[name] = array[0].as_py()
        elif name == "exemplar_ids":
            parts[name] = array.flatten().to_pylist()
        else:
            flat = array.flatten().to_numpy(zero_copy_only=False)
            parts[name] = np.cumsum(flat) if name in _DELTAS else flat
    return Columns(**parts)  # type: ignore[arg-type]  # by name, as the class has them


def write_batch(batch: pa.RecordBatch) -> bytes:
    """Write a batch with its schema."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=_OPTIONS) as writer:
        writer.write_batch(batch)
    payload: bytes = sink.getvalue().to_pybytes()
    return payload


def read_batch(payload: bytes) -> pa.RecordBatch:
    """Read a batch. Raises: MalformedError."""
    try:
        with pa.ipc.open_stream(payload) as reader:
            return reader.read_next_batch()
    except (OSError, ValueError, StopIteration) as error:
        raise MalformedError(f"a record of the queue is no Arrow stream: {error}", 0) from error
