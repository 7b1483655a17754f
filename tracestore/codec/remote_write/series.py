"""What is known of series: their labels as bytes, made once for each.

``SeriesTable`` has what the registry says, ``SentSeries`` what a receiver gets of it after its
rules. Rows are appended and never changed, so what was read of them stays good while others are
added. Neither is safe to use from several threads at a time: the owner has a lock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from tracestore.codec.proto.remote_write_v1_pb2 import TimeSeries
from tracestore.codec.remote_write.arena import Arena, varint
from tracestore.codec.remote_write.columns import read_batch, write_batch
from tracestore.codec.remote_write.fields import Ints, Pieces
from tracestore.codec.remote_write.relabel import Relabel
from tracestore.codec.remote_write.symbols import SymbolRows, SymbolTable
from tracestore.errors import MalformedError
from tracestore.model.collection import Family, Labels, MetricType

_TYPES = tuple(MetricType)
_NO_FAMILY = Family(name="", type=MetricType.GAUGE, help="")


class SeriesTable:
    """Series of one generation of a tenant's registry, by number."""

    def __init__(self) -> None:
        self.labels: list[Labels] = []
        """By row."""
        self.families: list[Family] = []
        """By row."""
        self._bytes = Arena()
        self._numbers: Ints = np.empty(0, np.int64)
        """Sorted."""
        self._rows: Ints = np.empty(0, np.int64)
        self._last_ms: Ints = np.empty(0, np.int64)
        """When a row was last written, by row."""

    def __len__(self) -> int:
        return len(self.labels)

    def rows_of(self, numbers: Ints) -> Ints:
        """Get the row of each number, -1 where it is not known."""
        if len(self._numbers) == 0:
            return np.full(len(numbers), -1, np.int64)
        at = np.minimum(np.searchsorted(self._numbers, numbers), len(self._numbers) - 1)
        return np.where(self._numbers[at] == numbers, self._rows[at], -1)

    def unknown(self, numbers: Ints) -> Ints:
        """Get the numbers that have no row."""
        return numbers[self.rows_of(numbers) < 0]

    def add(
        self, numbers: Ints, labels: Mapping[int, Labels], families: Mapping[int, Family]
    ) -> None:
        """Take series that have no row yet. Cost: some microseconds a series, once."""
        names = numbers.tolist()
        start = len(self)
        self.labels += [labels[name] for name in names]
        self.families += [families.get(name, _NO_FAMILY) for name in names]
        self._bytes.append([label_fields(each) for each in self.labels[start:]])
        every = np.concatenate((self._numbers, numbers))
        rows = np.concatenate((self._rows, np.arange(start, len(self))))
        order = np.argsort(every, kind="stable")
        self._numbers, self._rows = every[order], rows[order]
        self._last_ms = np.concatenate((self._last_ms, np.zeros(len(names), np.int64)))

    def touch(self, rows: Ints, time_ms: int) -> None:
        """Note that rows were written."""
        self._last_ms[rows] = time_ms

    def idle_since(self, time_ms: int) -> int:
        """Count the rows that nothing since ``time_ms`` needs."""
        return int(np.count_nonzero(self._last_ms < time_ms))

    def without_idle(self, time_ms: int) -> SeriesTable:
        """Make a table of the other rows."""
        fresh = SeriesTable()
        numbers = self._numbers[self._last_ms[self._rows] >= time_ms]
        rows = self.rows_of(numbers)
        pairs = list(zip(numbers.tolist(), rows.tolist(), strict=True))
        fresh.add(
            numbers,
            {number: self.labels[row] for number, row in pairs},
            {number: self.families[row] for number, row in pairs},
        )
        fresh.touch(fresh.rows_of(numbers), 0)
        fresh._last_ms = self._last_ms[rows]
        return fresh

    def label_pieces(self) -> Pieces:
        """Get the labels of each row as fields of remote write 1.0."""
        return self._bytes.pieces()

    def encode(self, numbers: Ints) -> bytes:
        """Write what a reader needs to know of series."""
        rows = self.rows_of(numbers)
        of = [self.families[row] for row in rows.tolist()]
        batch = pa.record_batch(
            {
                "number": pa.array(np.diff(numbers, prepend=0)),
                "labels": self.label_pieces().take(pa.array(rows)),
                "family": pa.array([family.name for family in of]).dictionary_encode(),
                "type": pa.array([_TYPES.index(family.type) for family in of], pa.int8()),
                "help": pa.array([family.help for family in of]).dictionary_encode(),
            }
        )
        return write_batch(batch)

    def add_encoded(self, payload: bytes) -> None:
        """Take what ``encode`` wrote, but for what is known. Raises: MalformedError."""
        batch = read_batch(payload)
        try:
            numbers = np.cumsum(batch.column("number").to_numpy())
            new = self.rows_of(numbers) < 0
            picked = batch.filter(pa.array(new))
            names = numbers[new].tolist()
            labels = [parse_label_fields(b) for b in picked.column("labels").to_pylist()]
            types = picked.column("type").to_pylist()
            texts = (picked.column("family").to_pylist(), picked.column("help").to_pylist())
        except (KeyError, ValueError) as error:
            raise MalformedError(f"series of the queue are not readable: {error}", 0) from error
        families = [
            Family(name=name, type=_TYPES[kind], help=text)
            for name, text, kind in zip(*texts, types, strict=True)
        ]
        self.add(
            numbers[new],
            dict(zip(names, labels, strict=True)),
            dict(zip(names, families, strict=True)),
        )


def label_fields(labels: Labels) -> bytes:
    """Write labels as the fields of a ``TimeSeries`` of remote write 1.0."""
    parts = []
    for name, value in labels:
        name_bytes, value_bytes = name.encode(), value.encode()
        inner = (
            b"\x0a" + varint(len(name_bytes)) + name_bytes
            + b"\x12" + varint(len(value_bytes)) + value_bytes
        )  # fmt: skip
        parts.append(b"\x0a" + varint(len(inner)) + inner)
    return b"".join(parts)


def parse_label_fields(data: bytes) -> Labels:
    """Read what ``label_fields`` wrote. Raises: MalformedError."""
    try:
        message = TimeSeries.FromString(data)
    except Exception as error:
        raise MalformedError(f"labels of the queue are not readable: {error}", 0) from error
    return tuple((label.name, label.value) for label in message.labels)


@dataclass(slots=True)
class SentSeries:
    """What a receiver gets of the rows of a table: its labels, or nothing.

    Rows are caught up with the table when they are first needed, for both forms apart.
    """

    table: SeriesTable
    relabel: Relabel | None
    """None: every row as it is."""
    _sent: list[Labels | None] = field(default_factory=list)
    _kept: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    """1 for each row that is sent."""
    _v1: Arena = field(default_factory=Arena)
    _symbols: SymbolTable = field(default_factory=SymbolTable)
    _v2_rows: int = 0

    def kept(self) -> Ints:
        """Tell of each row whether it is sent, 0 or 1."""
        self._catch_up()
        return self._kept

    def labels_v1(self) -> Pieces:
        """Get the labels of each row as fields of 1.0."""
        if self.relabel is None:
            return self.table.label_pieces()
        self._catch_up()
        return self._v1.pieces()

    def symbols_v2(self) -> SymbolRows:
        """Get the labels of each row as numbers of symbols."""
        self._catch_up()
        start, count = self._v2_rows, len(self.table)
        if start < count:
            sent = self.table.labels if self.relabel is None else self._sent
            self._symbols.append(sent[start:count], self.table.families[start:count])
            self._v2_rows = count
        return self._symbols.rows()

    def _catch_up(self) -> None:
        start = len(self._kept)
        if start == len(self.table):
            return
        fresh = self.table.labels[start:]
        if self.relabel is None:
            self._kept = np.ones(len(self.table), np.int64)
            return
        found = [self.relabel(labels) for labels in fresh]
        self._sent += found
        self._v1.append([b"" if labels is None else label_fields(labels) for labels in found])
        kept = np.fromiter((labels is not None for labels in found), np.int64, len(found))
        self._kept = np.concatenate((self._kept, kept))
