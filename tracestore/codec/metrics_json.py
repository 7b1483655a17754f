"""Series -> the JSON and protobuf bodies of ``/api/metrics/query_range`` and ``…/query``.

A sample of zero has no ``value``, an interval without a sample is left out. Grafana decodes the
instant form strictly: not one field more than the contract lists.
Source: wire contract, sections 3.2, 10.2, 10.6 and 13.1.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracestore.codec.search_json import (
    Json,
    attributes_json,
    double_json,
    encode_attributes,
    stats_json,
)
from tracestore.codec.wire import encode_bytes, encode_double, encode_number, encode_text
from tracestore.model.series import Exemplar, Grid, MetricsResult, Series
from tracestore.model.times import MILLISECOND_NS

PART_POINTS = 16384
"""Samples of a series that come in one piece; some 300 KB."""

_PARTIAL = 1
SAMPLES_AT_A_TIME = 1 << 18
"""How many samples are written together; bounds the memory of it."""
_EXACT_MAX = 1 << 53


def render_range_json(result: MetricsResult) -> bytes:
    """Write ``QueryRangeResponse`` as JSON."""
    series = ",".join(_written_series(result))
    return f'{{"series":[{series}]{_rest_json(result)}}}'.encode()


def render_instant_json(result: MetricsResult) -> bytes:
    """Write ``QueryInstantResponse`` as JSON: of each series the only value."""
    series = []
    for one, value in _instant(result):
        body: Json = {"labels": attributes_json(one.labels)}
        if value:
            body["value"] = _number_json(value)
        series.append(body)
    return f'{{"series":{_dump(series)}{_rest_json(result)}}}'.encode()


def encode_range(result: MetricsResult, points: range) -> Iterator[bytes]:
    """Write the field ``series`` of a range, as far as it lies in some of the points.

    A very long series comes in several parts; one without a sample there in none, unless all
    points are asked for.
    """
    is_whole = len(points) == result.grid.count
    parts = [
        range(first, min(first + PART_POINTS, points.stop))
        for first in range(points.start, points.stop, PART_POINTS)
    ]
    times_ms = _times_ms(result.grid)
    samples = [_Samples(times_ms[part.start : part.stop], _encode_sample) for part in parts]
    for series in result.series:
        for part, writer in zip(parts, samples, strict=True):
            of_part = _in_part(series, part)
            encoded = _encode_series(of_part, writer)
            if is_whole or len(encoded) > len(encode_attributes(1, series.labels)):
                yield encode_bytes(1, encoded)


def _in_part(series: Series, part: range) -> Series:
    first, last = np.searchsorted(series.points, (part.start, part.stop)).tolist()
    return replace(
        series,
        points=series.points[first:last] - part.start,
        values=series.values[first:last],
        exemplars=tuple(one for one in series.exemplars if one.point in part),
    )


def encode_instant(result: MetricsResult) -> Iterator[bytes]:
    """Write the field ``series`` of an instant answer."""
    for one, value in _instant(result):
        yield encode_bytes(1, encode_attributes(1, one.labels) + _encode_value(2, value))


def encode_status(result: MetricsResult) -> bytes:
    """Write the fields ``status`` and ``message``."""
    return encode_number(3, _PARTIAL) + encode_text(4, result.message) if result.is_partial else b""


def _instant(result: MetricsResult) -> list[tuple[Series, float]]:
    assert result.grid.count == 1
    pairs = [(one, float(one.dense(1)[0])) for one in result.series]
    return [(one, value) for one, value in pairs if not math.isnan(value)]


def _times_ms(grid: Grid) -> list[int]:
    return [grid.time_ns(point) // MILLISECOND_NS for point in range(grid.count)]


def _written_series(result: MetricsResult) -> Iterator[str]:
    """Write series, some at a time: what is alike is written once, and put together by Arrow."""
    points = result.grid.count
    prefixes = pa.array([_time_json(time_ms) for time_ms in _times_ms(result.grid)], pa.string())
    at_a_time = max(1, SAMPLES_AT_A_TIME // points)
    for begin in range(0, len(result.series), at_a_time):
        some = result.series[begin : begin + at_a_time]
        written = _samples_json(some, points, prefixes)
        for series, samples in zip(some, written, strict=True):
            body = f'{{"labels":{_dump(attributes_json(series.labels))},"samples":[{samples}]'
            if series.exemplars:
                exemplars = [_exemplar_json(one) for one in series.exemplars]
                body += f',"exemplars":{_dump(exemplars)}'
            yield body + "}"


def _samples_json(some: Sequence[Series], points: int, prefixes: pa.Array) -> list[str]:
    """Write the samples of each series, without brackets."""
    dense = np.concatenate([series.dense(points) for series in some])
    places = np.flatnonzero(~np.isnan(dense))
    told = pa.array(dense[places]).dictionary_encode()
    values = pa.array([_value_json(value) for value in told.dictionary.to_pylist()], pa.string())
    samples = pc.binary_join_element_wise(
        prefixes.take(pa.array(places - places // points * points)), values.take(told.indices), ""
    )
    begins = np.searchsorted(places, np.arange(len(some) + 1) * points)
    lists = pa.ListArray.from_arrays(pa.array(begins, pa.int32()), samples)
    joined: list[str] = pc.binary_join(lists, ",").to_pylist()
    return joined


def _time_json(time_ms: int) -> str:
    return f'{{"timestampMs":"{time_ms}"'


def _value_json(value: float) -> str:
    if value == 0:
        return "}"
    if value.is_integer() and abs(value) < _EXACT_MAX:
        return f',"value":{int(value)}}}'
    if math.isfinite(value):
        return f',"value":{value!r}}}'
    return f',"value":"{double_json(value)}"}}'


def _exemplar_json(exemplar: Exemplar) -> Json:
    body: Json = {"labels": attributes_json(exemplar.labels)}
    if exemplar.value:
        body["value"] = _number_json(exemplar.value)
    body["timestampMs"] = str(exemplar.time_ns // MILLISECOND_NS)
    return body


def _number_json(value: float) -> int | float | str:
    """Write whole numbers as Go does, without a fraction."""
    if value.is_integer() and abs(value) < _EXACT_MAX:
        return int(value)
    return double_json(value)


def _rest_json(result: MetricsResult) -> str:
    rest: Json = {"metrics": stats_json(result.stats)}
    if result.is_partial:
        rest |= {"status": "PARTIAL", "message": result.message}
    return "," + _dump(rest)[1:-1]


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class _Samples:
    """Writes the samples of series; those of the fill, which most are, once for all series."""

    def __init__(self, times_ms: Sequence[int], write: Callable[[int, float], Any]) -> None:
        self._times_ms = times_ms
        self._write = write
        self._filled: dict[float, list[Any]] = {}

    def of(self, series: Series) -> list[Any]:
        """Write the samples there are, in order of time."""
        points, values = series.points.tolist(), series.values.tolist()
        if math.isnan(series.fill):
            return [
                self._write(self._times_ms[point], value)
                for point, value in zip(points, values, strict=True)
                if not math.isnan(value)
            ]
        written: list[Any] = list(self._of_fill(series.fill))
        for point, value in zip(points, values, strict=True):
            is_missing = math.isnan(value)
            written[point] = None if is_missing else self._write(self._times_ms[point], value)
        return [sample for sample in written if sample is not None]

    def _of_fill(self, fill: float) -> list[Any]:
        if fill not in self._filled:
            self._filled[fill] = [self._write(time_ms, fill) for time_ms in self._times_ms]
        return self._filled[fill]


def _encode_series(series: Series, samples: _Samples) -> bytes:
    exemplars = (encode_bytes(4, _encode_exemplar(one)) for one in series.exemplars)
    return encode_attributes(1, series.labels) + b"".join((*samples.of(series), *exemplars))


def _encode_sample(time_ms: int, value: float) -> bytes:
    return encode_bytes(2, _encode_value(1, value) + encode_number(2, time_ms))


def _encode_exemplar(exemplar: Exemplar) -> bytes:
    return (
        encode_attributes(1, exemplar.labels)
        + _encode_value(2, exemplar.value)
        + encode_number(3, exemplar.time_ns // MILLISECOND_NS)
    )


def _encode_value(field: int, value: float) -> bytes:
    """Write a double; nothing if it is zero, as proto3 does."""
    return encode_double(field, value) if value else b""
