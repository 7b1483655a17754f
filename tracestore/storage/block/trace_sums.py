"""What ``traces`` says of its spans, computed anew from them: sums, times, roots. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

STATUS_ERROR = 2
ROOT_PARENT = -1
"""``nested_parent`` of a span without a parent."""

Ints = npt.NDArray[np.int64]
Times = npt.NDArray[np.uint64]
Columns = dict[str, pa.Array]


def wrong_sums(
    spans: Columns, traces: Columns, services: Sequence[str | None], first_span: int
) -> Iterator[str]:
    """Say what does not fit of the traces of a row group.

    Args:
        spans: columns of the row group of ``spans``, whose traces share it out as they say.
        services: ``service.name`` of each resource, where it is a text.
        first_span: row of ``spans`` with which the row group begins.
    """
    counts = ints(traces["span_count"])
    if len(counts) == 0:
        return
    begins = np.cumsum(counts) - counts
    errors = (ints(spans["status_code"]) == STATUS_ERROR).astype(np.int64)
    if not np.array_equal(np.add.reduceat(errors, begins), ints(traces["error_count"])):
        yield "error_count is wrong"
    start = times(spans["start_time"])
    with np.errstate(over="ignore"):
        end = start + times(spans["duration"])
    if not np.array_equal(np.minimum.reduceat(start, begins), times(traces["start_time"])):
        yield "start_time is wrong"
    if not np.array_equal(np.maximum.reduceat(end, begins), times(traces["end_time"])):
        yield "end_time is wrong"
    yield from _wrong_roots(spans, traces, services, first_span)


def _wrong_roots(
    spans: Columns, traces: Columns, services: Sequence[str | None], first_span: int
) -> Iterator[str]:
    counts = ints(traces["span_count"])
    has_root = np.asarray(pc.is_valid(traces["root_span"]))
    root = ints(traces["root_span"]) - first_span
    begins = np.cumsum(counts) - counts
    inside = (root >= begins) & (root < begins + counts)
    if not np.all(inside[has_root]):
        yield "root_span is of another trace"
        return
    rows = pa.array(root[has_root])
    if not np.all(ints(spans["nested_parent"].take(rows)) == ROOT_PARENT):
        yield "root_span has a parent"
    for name in ("root_name", "root_service_name"):
        if traces[name].filter(pa.array(~has_root)).null_count != int((~has_root).sum()):
            yield f"{name} without a root"
    given = traces["root_name"].filter(pa.array(has_root)).to_pylist()
    if given != spans["name"].take(rows).to_pylist():
        yield "root_name is not that of root_span"
    resources = ints(spans["resource"].take(rows))
    if np.any((resources < 0) | (resources >= len(services))):
        return
    given = traces["root_service_name"].filter(pa.array(has_root)).to_pylist()
    if given != [services[resource] for resource in resources.tolist()]:
        yield "root_service_name is not that of root_span"


def ints(array: pa.Array) -> Ints:
    """Read integers or times, null as 0."""
    if pa.types.is_timestamp(array.type):
        array = array.view(pa.int64())
    if array.null_count:
        array = array.fill_null(0)
    numbers: Ints = array.to_numpy(zero_copy_only=False).astype(np.int64)
    return numbers


def times(array: pa.Array) -> Times:
    """Read times as OTLP's unsigned nanoseconds."""
    return ints(array).view(np.uint64)


def span_ids(array: pa.Array) -> npt.NDArray[np.uint64]:
    """Read IDs as big-endian numbers; null is 0."""
    content = array.fill_null(bytes(8)).buffers()[1] if array.null_count else array.buffers()[1]
    offset = 0 if array.null_count else array.offset
    return np.frombuffer(content, ">u8")[offset : offset + len(array)].astype(np.uint64)
