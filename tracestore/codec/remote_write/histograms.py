"""Native histograms as messages: spans of buckets with differences, many histograms at once.

Remote write 1.0 and 2.0 have the same fields. Counts are integers where all of a histogram are,
else the histogram is one of floats.

Source: prometheus/prompb/types.proto; Prometheus, "Native histograms".
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracestore.codec.remote_write import fields
from tracestore.codec.remote_write.columns import Columns
from tracestore.codec.remote_write.fields import Pieces

_RESET_YES = b"\x70\x01"
_EXACT = float(2**53)


def histogram_bodies(columns: Columns) -> Pieces:
    """Write the ``Histogram`` message of each histogram; their time is that of the collection."""
    count = len(columns.histogram_series)
    first = columns.histogram_first
    is_integer = _all_integers(columns)
    size = np.diff(first)
    of_integer = np.repeat(is_integer, size)
    spans = _spans(columns)
    return fields.joined(
        _counts(0x08, 0x11, columns.histogram_counts, is_integer),
        fields.doubles(0x19, columns.histogram_sums),
        b"\x20",
        fields.varints(fields.zigzag(columns.histogram_schema)),
        fields.doubles(0x29, np.full(count, columns.histogram_zero_threshold)),
        _counts(0x30, 0x39, columns.histogram_zero_counts, is_integer),
        spans,
        fields.framed_if_any(b"\x62", fields.grouped(_deltas(columns, of_integer), first)),
        fields.framed_if_any(b"\x6a", fields.grouped(_absolute(columns, of_integer), first)),
        fields.only(_constant(_RESET_YES, count), columns.histogram_reset),
        b"\x78",
        fields.varints(np.full(count, columns.time_ms)),
    )


def _constant(piece: bytes, count: int) -> Pieces:
    return fields.rows(np.tile(np.frombuffer(piece, np.uint8), (count, 1)))


def _all_integers(columns: Columns) -> npt.NDArray[np.bool_]:
    def integer(values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        found: npt.NDArray[np.bool_] = (values >= 0) & (values < _EXACT)
        found &= np.floor(values) == values
        return found

    owner = np.repeat(np.arange(len(columns.histogram_series)), np.diff(columns.histogram_first))
    odd_buckets = np.bincount(
        owner, weights=~integer(columns.bucket_counts), minlength=len(columns.histogram_series)
    )
    whole = integer(columns.histogram_counts) & integer(columns.histogram_zero_counts)
    found: npt.NDArray[np.bool_] = whole & (odd_buckets == 0)
    return found


def _counts(
    int_tag: int, float_tag: int, values: npt.NDArray[np.float64], is_integer: npt.NDArray[np.bool_]
) -> Pieces:
    """Write a count as an integer, or as a float where the histogram is one of floats."""
    whole = np.where(is_integer, values, 0).astype(np.int64)
    integers = fields.joined(bytes((int_tag,)), fields.varints(whole))
    if is_integer.all():
        return integers
    floats = fields.doubles(float_tag, values)
    return fields.joined(fields.only(integers, is_integer), fields.only(floats, ~is_integer))


def _is_first(columns: Columns) -> npt.NDArray[np.bool_]:
    mask = np.zeros(len(columns.bucket_index), np.bool_)
    begins = columns.histogram_first[:-1]
    mask[begins[np.diff(columns.histogram_first) > 0]] = True
    return mask


def _deltas(columns: Columns, of_integer: npt.NDArray[np.bool_]) -> Pieces:
    counts = np.where(of_integer, columns.bucket_counts, 0).astype(np.int64)
    differences = np.diff(counts, prepend=0)
    is_first = _is_first(columns)
    differences[is_first] = counts[is_first]
    return fields.only(fields.varints(fields.zigzag(differences)), of_integer)


def _absolute(columns: Columns, of_integer: npt.NDArray[np.bool_]) -> Pieces:
    return fields.only(fields.packed_doubles(columns.bucket_counts), ~of_integer)


def _spans(columns: Columns) -> Pieces:
    """Write ``positive_spans`` of each histogram: runs of neighbouring buckets."""
    index, first = columns.bucket_index, columns.histogram_first
    is_first = _is_first(columns)
    gap = np.diff(index, prepend=0) - 1
    gap[is_first] = index[is_first]
    begins = np.flatnonzero(is_first | (gap != 0))
    run_length = np.diff(np.append(begins, len(index)))
    body = fields.framed(
        b"\x5a",
        b"\x08",
        fields.varints(fields.zigzag(gap[begins])),
        b"\x10",
        fields.varints(run_length),
    )
    return fields.grouped(body, np.searchsorted(begins, first))
