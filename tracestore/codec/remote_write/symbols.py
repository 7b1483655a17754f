"""Texts of labels as numbers, for remote write 2.0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tracestore.codec.remote_write.arena import Arena, grown, varint
from tracestore.codec.remote_write.fields import Ints, Pieces
from tracestore.model.collection import Family, Labels, MetricType


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolRows:
    """Labels of series as numbers of symbols, all rows one behind the other."""

    ids: Ints
    """Name, value, name, value…, for each row in turn."""
    first: Ints
    """(rows + 1,) where each row begins in ``ids``."""
    helps: Ints
    """(rows,) symbol of the help of the metric."""
    types: Ints
    """(rows,) ``Metadata.MetricType``."""
    fields: Pieces
    """By symbol: the field of the request that has it."""


class SymbolTable:
    """Texts of labels by number. Number 0 is the empty text."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {"": 0}
        self._fields = Arena()
        self._fields.append([b"\x22\x00"])
        self._flat: Ints = np.empty(1024, np.int64)
        self._first: Ints = np.zeros(256, np.int64)
        self._helps: Ints = np.empty(256, np.int64)
        self._types: Ints = np.empty(256, np.int64)
        self._rows = 0

    def append(self, labels: Sequence[Labels | None], families: Sequence[Family]) -> None:
        """Add rows. Cost: some microseconds each."""
        known = len(self._ids)
        ids = self._ids

        def number(text: str) -> int:
            return ids.setdefault(text, len(ids))

        flat = [number(text) for each in labels for pair in each or () for text in pair]
        sizes = np.fromiter((2 * len(each or ()) for each in labels), np.int64, len(labels))
        start, rows = int(self._first[self._rows]), self._rows + len(labels)
        self._flat = grown(self._flat, start + len(flat))
        self._flat[start : start + len(flat)] = flat
        self._first = grown(self._first, rows + 1)
        self._first[self._rows + 1 : rows + 1] = start + np.cumsum(sizes)
        self._helps, self._types = grown(self._helps, rows), grown(self._types, rows)
        self._helps[self._rows : rows] = [number(family.help) for family in families]
        self._types[self._rows : rows] = [METRIC_TYPES[family.type] for family in families]
        self._rows = rows
        fresh = [text.encode() for text in list(ids)[known:]]
        self._fields.append([b"\x22" + varint(len(text)) + text for text in fresh])

    def rows(self) -> SymbolRows:
        """Get all rows, without copying."""
        return SymbolRows(
            ids=self._flat,
            first=self._first[: self._rows + 1],
            helps=self._helps[: self._rows],
            types=self._types[: self._rows],
            fields=self._fields.pieces(),
        )


METRIC_TYPES: Mapping[MetricType, int] = {
    MetricType.COUNTER: 1,
    MetricType.GAUGE: 2,
    MetricType.HISTOGRAM: 3,
}
"""Numbers that both versions of the protocol have for types."""
