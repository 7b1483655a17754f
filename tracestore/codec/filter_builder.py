"""Gathers the filters of a block while its row groups pass by; bounded by the distinct values.

A column begins with a list of its distinct values. Past ``distinct_values_max`` of them (or
``LISTED_BYTES_MAX`` of text) only their hashes are kept, for a Bloom filter. See ``filters``.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracestore.codec.bloom import Hashes, build_bloom
from tracestore.codec.filters import (
    BOUNDS_ONLY,
    FILTERS_SCHEMA,
    HASHED,
    INTRINSICS,
    BlockFilters,
    Subject,
    format_value,
    intrinsic_key,
)
from tracestore.kernel import hash64
from tracestore.model.tables import (
    SCOPE_OF_TABLE,
    AttributeColumn,
    AttributeScope,
    AttributeType,
    Table,
    attribute_columns,
    overflow_name,
)
from tracestore.settings.tree import BlockSettings

UNSORTED_MAX = 1 << 16
"""Hashes of a column that wait before duplicates among them are looked for."""
LISTED_BYTES_MAX = 64 * 1024
"""A column whose distinct texts are longer together is not listed."""

_COUNTED_RANGE_MAX = 1 << 17  # counting costs 2 ns a row, sorting 10 to 40

Numbers = npt.NDArray[Any]
"""int64 or float64."""
Weights = npt.NDArray[np.int64]
"""How often each row counts."""


class DistinctHashes:
    """Hashes of values, each kept once; duplicates among what was added last may wait."""

    def __init__(self) -> None:
        self._parts: list[Hashes] = []
        self._held = 0
        self._merged = 0

    def add(self, hashes: Hashes) -> None:
        """Add (N,) hashes."""
        self._parts.append(hashes)
        self._held += len(hashes)
        if self._held > max(UNSORTED_MAX, 2 * self._merged):
            self._merge()

    @property
    def held(self) -> int:
        """Hashes in memory, 8 B each."""
        return self._held

    def ascending(self) -> Hashes:
        """Get all of them, each once."""
        self._merge()
        return self._parts[0]

    def _merge(self) -> None:
        self._parts = [_distinct(np.concatenate([np.empty(0, np.uint64), *self._parts]))]
        self._held = self._merged = len(self._parts[0])


class ColumnValues:
    """The values of one column, so far."""

    def __init__(self, kind: AttributeType, settings: BlockSettings, *, bounds_only: bool) -> None:
        self.kind = kind
        self.rows = 0
        self.minimum: int | float | None = None
        self.maximum: int | float | None = None
        self._settings = settings
        self._bounds_only = bounds_only
        self._counts: Counter[str] | None = Counter()
        self._counted_bytes = 0
        self._hashes = DistinctHashes()

    def add_texts(
        self,
        dictionary: pa.StringArray,
        codes: npt.NDArray[np.int32],
        weights: Weights | None = None,
    ) -> None:
        """Add rows of texts.

        Args:
            dictionary: (K,) no nulls, none twice, each used by a row.
            codes: (N,) the entry of each row that is not null.
            weights: (N,) how often each of them counts; None: once.
        """
        self.rows += len(codes)
        if self._may_list(dictionary):
            self._list(dictionary, _count(codes, weights, len(dictionary)))
        else:
            self._hashes.add(hash64(dictionary))

    def add_numbers(self, array: pa.Array, weights: Weights | None = None) -> None:
        """Add int64 or float64 rows; nulls do not count. ``weights``: as many as rows."""
        self.rows += len(array) - array.null_count
        numbers: Numbers = array.drop_null().to_numpy(zero_copy_only=False)
        self._widen(numbers)
        if self._bounds_only or len(numbers) == 0:
            return
        if self.kind == AttributeType.FLOAT:
            numbers = numbers + 0.0  # -0.0 equals 0.0, so it must hash alike
        values, counts = _count_numbers(numbers, _present(array, weights))
        distinct = pa.array(values, HASHED[self.kind])
        if self._may_list(distinct):
            self._list(distinct, counts)
        else:
            self._hashes.add(hash64(distinct))

    def add_bools(self, array: pa.BooleanArray, weights: Weights | None = None) -> None:
        """Add bool rows; nulls do not count. ``weights``: as many as rows."""
        valid = len(array) - array.null_count
        true = array.true_count
        self.rows += valid
        counts = np.array([valid - true, true], np.int64)
        is_there = counts > 0
        if weights is not None:
            values = array.drop_null().to_numpy(zero_copy_only=False).astype(np.int32)
            counts = _count(values, _present(array, weights), 2)
        self._list(pa.array(np.flatnonzero(is_there)).cast(pa.bool_()), counts[is_there])

    def _widen(self, numbers: Numbers) -> None:
        if numbers.dtype == np.float64:
            numbers = numbers[~np.isnan(numbers)]
        if len(numbers) == 0:
            return
        low, high = numbers.min().item(), numbers.max().item()
        self.minimum = low if self.minimum is None else min(low, self.minimum)
        self.maximum = high if self.maximum is None else max(high, self.maximum)

    def _may_list(self, values: pa.Array) -> bool:
        """Tell whether the values are few enough; if not, give up listing for good."""
        most = self._settings.distinct_values_max
        if self._counts is not None and (
            len(values) > most or values.nbytes > LISTED_BYTES_MAX + 8 * most
        ):
            self._give_up()
        return self._counts is not None

    def _list(self, values: pa.Array, counts: npt.NDArray[np.int64]) -> None:
        """Count the values; if there are too many by now, give up listing."""
        assert self._counts is not None
        for value, count in zip(values.to_pylist(), counts.tolist(), strict=True):
            text = format_value(value)
            self._counted_bytes += 0 if text in self._counts else len(text)
            self._counts[text] += count
        most = self._settings.distinct_values_max
        if self.kind == AttributeType.BOOL:
            return
        if len(self._counts) > most or self._counted_bytes > LISTED_BYTES_MAX:
            self._give_up()

    def _give_up(self) -> None:
        """Keep hashes instead of the list, from here on."""
        assert self._counts is not None
        self._hashes.add(hash64(_parse_array(list(self._counts), self.kind)))
        self._counts = None

    @property
    def hashes(self) -> int:
        """Hashes in memory."""
        return self._hashes.held

    def row(self) -> dict[str, Any]:
        """Render as the columns of the filters that depend on values."""
        row: dict[str, Any] = {"type": self.kind.value, "rows": self.rows}
        if self.minimum is not None and self.maximum is not None:
            row |= {"minimum": format_value(self.minimum), "maximum": format_value(self.maximum)}
        if self._bounds_only:
            return row
        if self._counts is not None:
            by_count = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
            return row | {"values": [{"value": v, "count": n} for v, n in by_count]}
        bits = self._settings.filter_bits_per_value
        return row | {"filter": build_bloom(self._hashes.ascending(), bits)}


_REFERENCES = {"resource": Table.RESOURCES, "scope": Table.SCOPES}
"""Columns of ``spans`` that say to which row of a small table a span belongs."""


class FilterBuilder:
    """Gathers the filters of one block. Not thread-safe."""

    def __init__(self, settings: BlockSettings) -> None:
        self._settings = settings
        self._traces = DistinctHashes()
        self._overflow: Counter[tuple[AttributeScope, str, str]] = Counter()
        self._intrinsics: dict[str, ColumnValues] = {}
        self._attributes: dict[tuple[Table, str], tuple[AttributeColumn, ColumnValues]] = {}
        for key, kind in INTRINSICS.items():
            bounds_only = key in BOUNDS_ONLY
            self._intrinsics[key] = ColumnValues(kind, settings, bounds_only=bounds_only)
        self._spans_of = {table: np.zeros(0, np.int64) for table in _REFERENCES.values()}

    def declare(self, table: Table, schema: pa.Schema) -> None:
        """Name the columns of a table before its rows come."""
        for column in attribute_columns(schema):
            values = ColumnValues(column.type, self._settings, bounds_only=False)
            self._attributes[table, column.name] = (column, values)

    @property
    def hashes(self) -> int:
        """Hashes in memory over all columns, 8 B each: nearly all that the builder takes."""
        known = [*self._intrinsics.values(), *(values for _, values in self._attributes.values())]
        return self._traces.held + sum(values.hashes for values in known)

    def values_of(self, table: Table, column: str) -> ColumnValues | None:
        """Get what gathers the values of a column, None if it is of no interest."""
        if (table, column) in self._attributes:
            return self._attributes[table, column][1]
        return self._intrinsics.get(intrinsic_key(table, column))

    def add_texts(
        self, table: Table, name: str, array: pa.DictionaryArray, codes: npt.NDArray[np.int32]
    ) -> None:
        """Add rows of a column of texts.

        Args:
            array: (N,) no entry of its dictionary twice, each used by a row.
            codes: (N,) the entry of each row, -1 where it is null.
        """
        if (values := self.values_of(table, name)) is None:
            return
        if values.kind != AttributeType.STRING:
            values.rows += len(array) - array.null_count
            return
        weights = _present(array, self._weights(table, len(codes)))
        if array.null_count:
            codes = codes[codes >= 0]
        values.add_texts(array.dictionary, codes, weights)

    def add(self, table: Table, name: str, array: pa.Array) -> None:
        """Add rows of a column that is no text."""
        weights = self._weights(table, len(array))
        if table == Table.SPANS and name in _REFERENCES:
            self._count_spans(_REFERENCES[name], array)
        elif table == Table.TRACES and name == "trace_id":
            self._traces.add(hash64(array))
        elif table in SCOPE_OF_TABLE and name == overflow_name(SCOPE_OF_TABLE[table]):
            self._add_overflow(SCOPE_OF_TABLE[table], array)
        elif (values := self.values_of(table, name)) is None:
            return
        elif values.kind == AttributeType.BOOL:
            values.add_bools(array, weights)
        elif values.kind == AttributeType.INT:
            if pa.types.is_timestamp(array.type):
                array = array.view(pa.int64())
            values.add_numbers(array.cast(pa.int64()), weights)
        elif values.kind == AttributeType.FLOAT:
            values.add_numbers(array, weights)
        else:
            values.rows += len(array) - array.null_count

    def _count_spans(self, table: Table, rows: pa.Array) -> None:
        """Count the spans of each resource (of each scope), which come before those tables."""
        known = self._spans_of[table]
        found = np.bincount(rows.to_numpy(), minlength=len(known))
        found[: len(known)] += known
        self._spans_of[table] = found

    def _weights(self, table: Table, rows: int) -> Weights | None:
        """Get how often the rows of a table count: a resource and a scope once per span."""
        known = self._spans_of.get(table)
        return None if known is None else np.pad(known, (0, rows - len(known)))

    def _add_overflow(self, scope: AttributeScope, array: pa.ListArray) -> None:
        entries = array.flatten()
        if len(entries) == 0:
            return
        keys = pa.Table.from_arrays([entries.field("key"), entries.field("type")], ["key", "type"])
        found = keys.group_by(["key", "type"], use_threads=False).aggregate([([], "count_all")])
        for row in found.to_pylist():
            self._overflow[scope, row["key"], row["type"]] += row["count_all"]

    def build(self) -> BlockFilters:
        """Finish. The builder is spent then."""
        hashes = self._traces.ascending()
        bloom = build_bloom(hashes, self._settings.filter_bits_per_value)
        rows: list[dict[str, Any]] = [
            {"subject": Subject.TRACE_ID, "rows": len(hashes), "filter": bloom}
        ]
        for key, values in self._intrinsics.items():
            rows.append({"subject": Subject.INTRINSIC, "key": key} | values.row())
        for column, values in self._attributes.values():
            about = {"subject": Subject.ATTRIBUTE, "scope": column.scope, "key": column.key}
            rows.append(about | _known(values))
        for (scope, key, kind), count in sorted(self._overflow.items()):
            about = {"subject": Subject.OVERFLOW, "scope": scope, "key": key}
            rows.append(about | {"type": kind, "rows": count})
        return BlockFilters(pa.Table.from_pylist(rows, FILTERS_SCHEMA))


def _known(values: ColumnValues) -> dict[str, Any]:
    if values.kind in HASHED or values.kind == AttributeType.BOOL:
        return values.row()
    return {"type": values.kind.value, "rows": values.rows}


def _parse_array(texts: list[str], kind: AttributeType) -> pa.Array:
    if kind == AttributeType.STRING:
        return pa.array(texts, pa.string())
    return pa.array([(int if kind == AttributeType.INT else float)(t) for t in texts], HASHED[kind])


def _count(codes: npt.NDArray[np.int32], weights: Weights | None, size: int) -> Weights:
    return np.bincount(codes, weights, minlength=size).astype(np.int64)


def _present(array: pa.Array, weights: Weights | None) -> Weights | None:
    """Leave out the weights of nulls."""
    if weights is None or array.null_count == 0:
        return weights
    present: Weights = weights[array.is_valid().to_numpy(zero_copy_only=False)]
    return present


def _count_numbers(
    numbers: Numbers, weights: Weights | None
) -> tuple[Numbers, npt.NDArray[np.int64]]:
    """Get the distinct values of (N,) numbers, ascending, and the rows of each."""
    if weights is not None:
        values, codes = np.unique(numbers, return_inverse=True)
        return values, _count(codes.astype(np.int32), weights, len(values))
    if numbers.dtype == np.int64:
        low = int(numbers.min())
        if int(numbers.max()) - low < _COUNTED_RANGE_MAX:
            counts = np.bincount(numbers - low)
            offsets = np.flatnonzero(counts)
            return offsets + low, counts[offsets]
    ascending = np.sort(numbers)
    starts = np.flatnonzero(_starts(ascending))
    return ascending[starts], np.diff(starts, append=len(numbers))


def _starts(ascending: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Mark the first of each run of equal values."""
    starts = np.ones(len(ascending), np.bool_)
    np.not_equal(ascending[1:], ascending[:-1], out=starts[1:])
    return starts


def _distinct(hashes: Hashes) -> Hashes:
    ascending = np.sort(hashes)
    return ascending[_starts(ascending)]
