"""A collection in the Prometheus text format 0.0.4, or OpenMetrics 1.0 with exemplars.

The labels of a series become text once; a scrape joins arrays. Native histograms have no form in
text: they go by remote write.

Source: Prometheus, "Exposition formats"; OpenMetrics 1.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracestore.codec.remote_write import fields
from tracestore.codec.remote_write.arena import Arena
from tracestore.codec.remote_write.columns import Columns, columns_of
from tracestore.codec.remote_write.fields import Ints, Pieces
from tracestore.model.collection import Collection, Family, Labels, MetricType

PROMETHEUS_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS_TEXT: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_BINARY: Final = pa.large_binary()
_SUFFIX: Final = "_total"
_IDLE_MIN: Final = 10_000
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})
_HELP_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\n": "\\n"})


class TextWriter:
    """Writes the collections of one tenant. Not thread-safe.

    Cost: some microseconds for each series that is new, then about 0.3 µs a series.
    """

    def __init__(self) -> None:
        self._texts = _SeriesTexts(0)

    def write(self, collection: Collection, *, open_metrics: bool) -> bytes:
        """Write the newest sample of each series, without times."""
        columns = columns_of(collection)
        last = np.flatnonzero(np.append(columns.series[1:] != columns.series[:-1], True))
        last = last[: len(columns.series)]
        numbers, values = columns.series[last], columns.values[last]
        known = self._texts_for(collection, numbers)
        rows = known.rows(collection, numbers)
        family = known.family_of[rows]
        order = np.argsort(family, kind="stable")
        texts = _numbers(values)
        parts = [known.names.pieces().take(pa.array(rows)), texts]
        if open_metrics:
            parts.append(_exemplars(columns, numbers))
        lines = fields.joined(*parts, b"\n").take(pa.array(order))
        out = _with_heads(lines, family[order], known.families, open_metrics=open_metrics)
        return b"".join([*out, b"# EOF\n"] if open_metrics else out)

    def _texts_for(self, collection: Collection, numbers: Ints) -> _SeriesTexts:
        """Get the texts of a collection; they begin anew with its registry, or once most are of
        series that have gone."""
        texts = self._texts
        idle = len(texts.known) - len(numbers)
        if collection.generation != texts.generation or idle > max(_IDLE_MIN, len(numbers)):
            texts = self._texts = _SeriesTexts(collection.generation)
        return texts


class _SeriesTexts:
    """Name and labels of series as text, by row."""

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.names = Arena()
        self.families: list[Family] = []
        self.family_of: Ints = np.empty(0, np.int64)
        """By row: its place among the families."""
        self.known: Ints = np.empty(0, np.int64)
        """Numbers of series, sorted."""
        self._row_of: Ints = np.empty(0, np.int64)
        self._places: dict[str, int] = {}

    def rows(self, collection: Collection, numbers: Ints) -> Ints:
        """Get the row of each series; new ones become text."""
        new = np.setdiff1d(numbers, self.known, assume_unique=True)
        if len(new):
            self._add(new, collection.labels, collection.families)
        return self._row_of[np.searchsorted(self.known, numbers)]

    def _add(self, new: Ints, labels: Mapping[int, Labels], families: Mapping[int, Family]) -> None:
        names = new.tolist()
        self.names.append([_series_text(labels[name]) for name in names])
        places = []
        for name in names:
            family = families[name]
            place = self._places.get(family.name)
            if place is None:
                place = self._places[family.name] = len(self.families)
                self.families.append(family)
            places.append(place)
        start = len(self.family_of)
        self.family_of = np.append(self.family_of, np.array(places, np.int64))
        known = np.concatenate((self.known, new))
        row_of = np.concatenate((self._row_of, np.arange(start, start + len(names))))
        order = np.argsort(known, kind="stable")
        self.known, self._row_of = known[order], row_of[order]


def _with_heads(
    lines: Pieces, family: Ints, families: list[Family], *, open_metrics: bool
) -> list[bytes]:
    """Put the lines that describe a family before its samples."""
    out: list[bytes] = []
    if len(family) == 0:
        return out
    begins = np.flatnonzero(np.diff(family, prepend=-1))
    ends = np.append(begins[1:], len(family))
    for begin, end in zip(begins, ends, strict=True):
        out.append(_head(families[family[begin]], open_metrics=open_metrics))
        out.append(fields.content(lines.slice(begin, end - begin)))
    return out


def accepts_open_metrics(accept: str) -> bool:
    """Tell whether OpenMetrics is what a scraper likes best of the two."""
    weights = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for offer in accept.split(","):
        media, *parameters = (part.strip().lower() for part in offer.split(";"))
        given = dict(part.partition("=")[::2] for part in parameters)
        try:
            weight = float(given.get("q", "1"))
        except ValueError:
            weight = 0.0
        if media in weights and given.get("version", "") in ("", "1.0.0", "0.0.1", "0.0.4"):
            weights[media] = max(weights[media], weight)
    best = weights["application/openmetrics-text"]
    return best > 0 and best >= weights["text/plain"]


def _series_text(labels: Labels) -> bytes:
    name = ""
    pairs = []
    for label, value in labels:
        if label == "__name__":
            name = value
        else:
            pairs.append(f'{label}="{value.translate(_ESCAPES)}"')
    return f"{name}{{{','.join(pairs)}}} ".encode() if pairs else f"{name} ".encode()


def _head(family: Family, *, open_metrics: bool) -> bytes:
    name, escapes = family.name, _HELP_ESCAPES
    if open_metrics:
        escapes = _ESCAPES
        if family.type is MetricType.COUNTER:
            name = name.removesuffix(_SUFFIX)
    text = family.help.translate(escapes)
    return f"# HELP {name} {text}\n# TYPE {name} {family.type.value}\n".encode()


def _numbers(values: npt.NDArray[np.float64]) -> Pieces:
    """Write numbers as Go reads them, the shortest text that is the same number."""
    texts = pc.cast(pa.array(values), pa.large_string())
    odd = np.flatnonzero(~np.isfinite(values))
    if len(odd):
        mask = np.zeros(len(values), np.bool_)
        mask[odd] = True
        names = ["NaN" if np.isnan(v) else "+Inf" if v > 0 else "-Inf" for v in values[odd]]
        texts = pc.replace_with_mask(texts, pa.array(mask), pa.array(names, pa.large_string()))
    return texts.cast(_BINARY)


def _exemplars(columns: Columns, numbers: Ints) -> Pieces:
    """Write what stands behind the value of a series: its exemplar, mostly nothing."""
    series = columns.exemplar_series
    found = np.isin(series, numbers)
    at = np.searchsorted(numbers, series[found])
    texts: list[bytes] = [b""] * len(numbers)
    ids = [columns.exemplar_ids[i] for i in np.flatnonzero(found).tolist()]
    times = columns.exemplar_times_ms[found].tolist()
    for place, trace_id, value, time_ms in zip(
        at.tolist(), ids, columns.exemplar_values[found].tolist(), times, strict=True
    ):
        label = f'{columns.exemplar_label}="{trace_id}"'
        texts[place] = f" # {{{label}}} {value!r} {time_ms / 1000:.3f}".encode()
    return pa.array(texts, _BINARY)
