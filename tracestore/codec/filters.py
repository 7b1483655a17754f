"""Proofs of absence: what a block certainly does not hold, known from one small object.

For every attribute column and for the intrinsics: how many rows have a value, the distinct values
with their counts if they are few (autocomplete is then instant), else a Bloom filter over their
hashes, and the bounds of numbers; also which keys hide in the overflow columns, and a filter over
trace IDs. The object is a Parquet file of a row per column, so that people can read it too.

``filter_builder`` gathers what is encoded here. Byte layout: docs/formats/filters.md.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tracestore.codec.bloom import BLOCK_BYTES, probe_bloom
from tracestore.errors import CorruptionError
from tracestore.kernel import hash64
from tracestore.model.tables import TRACE_ID, AttributeScope, AttributeType, Table

FilterValue = str | int | float | bool

_EXACT_FLOAT_MAX = 2**53
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


class Subject(StrEnum):
    """What a row of the filters is about."""

    TRACE_ID = "trace_id"
    INTRINSIC = "intrinsic"
    ATTRIBUTE = "attribute"
    OVERFLOW = "overflow"


_VALUES = pa.list_(
    pa.struct([pa.field("value", pa.string(), False), pa.field("count", pa.int64(), False)])
)
FILTERS_SCHEMA = pa.schema(
    [
        pa.field("subject", pa.string(), nullable=False),
        pa.field("scope", pa.string()),
        pa.field("key", pa.string()),
        pa.field("type", pa.string()),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("minimum", pa.string()),
        pa.field("maximum", pa.string()),
        pa.field("values", _VALUES),
        pa.field("filter", pa.binary()),
    ]
)


def intrinsic_key(table: Table, column: str) -> str:
    """Name an intrinsic in the filters, for example ``spans.name`` or ``events.name``."""
    return f"{table.value}.{column}"


INTRINSICS: dict[str, AttributeType] = {
    intrinsic_key(table, column): kind
    for table, column, kind in (
        (Table.SPANS, "name", AttributeType.STRING),
        (Table.SPANS, "kind", AttributeType.INT),
        (Table.SPANS, "status_code", AttributeType.INT),
        (Table.SPANS, "status_message", AttributeType.STRING),
        (Table.SPANS, "start_time", AttributeType.INT),
        (Table.SPANS, "duration", AttributeType.INT),
        (Table.EVENTS, "name", AttributeType.STRING),
        (Table.TRACES, "root_name", AttributeType.STRING),
        (Table.TRACES, "root_service_name", AttributeType.STRING),
        (Table.SCOPES, "name", AttributeType.STRING),
        (Table.SCOPES, "version", AttributeType.STRING),
    )
}
"""The intrinsics that have a filter; times (int64 ns as stored) have bounds only."""

BOUNDS_ONLY = {intrinsic_key(Table.SPANS, "start_time"), intrinsic_key(Table.SPANS, "duration")}


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFilter:
    """What is known of the values of one column."""

    type: AttributeType
    rows: int
    """Rows of the column's table that have a value."""
    minimum: int | float | None = None
    """Smallest number, NaN apart; null for other types and where there is none."""
    maximum: int | float | None = None
    listed: pa.StructArray | None = None
    """The distinct values as texts with their counts; None if there are too many."""
    bloom: bytes | pa.Buffer | None = None
    """Filter over the hashes of the values; None if they are listed or of a type without one."""

    @property
    def values(self) -> list[tuple[FilterValue, int]] | None:
        """Get the distinct values and the rows of each, most frequent first; None: not listed."""
        if self.listed is None:
            return None
        texts, counts = self.listed.field("value"), self.listed.field("count")
        return [
            (parse_value(text, self.type), count)
            for text, count in zip(texts.to_pylist(), counts.to_pylist(), strict=True)
        ]

    def may_contain(self, value: FilterValue) -> bool:
        """Tell whether a row may equal ``value`` as TraceQL compares; False is certain.

        An int and a float may be equal, other types never. Lists, bytes and ``any`` know nothing.
        """
        if self.rows == 0:
            return False
        if self.type not in _FILTERED:
            return True
        if isinstance(value, str) != (self.type == AttributeType.STRING):
            return False
        if isinstance(value, bool) != (self.type == AttributeType.BOOL):
            return False
        if isinstance(value, str | bool):
            return self._may_hold(value)
        return self._may_hold_number(value)

    def _may_hold_number(self, value: int | float) -> bool:
        if isinstance(value, float) and math.isnan(value):
            return False
        if abs(value) >= _EXACT_FLOAT_MAX and isinstance(value, float) != self._is_float:
            return True  # the comparison may round: no proof
        if self.minimum is None or self.maximum is None:
            return False  # nothing but NaN
        if not self.minimum <= value <= self.maximum:
            return False
        if self._is_float:
            return self._may_hold(float(value))
        return float(value).is_integer() and self._may_hold(int(value))

    @property
    def _is_float(self) -> bool:
        return self.type == AttributeType.FLOAT

    def _may_hold(self, value: FilterValue) -> bool:
        if self.listed is not None:
            texts, text = self.listed.field("value"), format_value(value)
            return _may_lie_in(texts, text) and bool(pc.index(texts, text).as_py() >= 0)
        if self.bloom is None:
            return True
        normal = value + 0.0 if isinstance(value, float) else value
        return bool(probe_bloom(self.bloom, hash64(pa.array([normal], HASHED[self.type])))[0])


def _may_lie_in(texts: pa.StringArray, text: str) -> bool:
    """Tell whether the characters occur at all: ten times faster than a comparison of each text."""
    _, offsets, content = texts.buffers()
    if content is None or len(texts) == 0:
        return text == "" and len(texts) > 0
    bounds = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return text.encode() in bytes(content[bounds[0] : bounds[-1]])


HASHED = {
    AttributeType.STRING: pa.string(),
    AttributeType.INT: pa.int64(),
    AttributeType.FLOAT: pa.float64(),
}
_FILTERED = {*HASHED, AttributeType.BOOL}


def format_value(value: FilterValue) -> str:
    """Write a value as the text that the filters keep; -0.0 is 0.0, as they are equal."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value + 0.0)
    return str(value)


def parse_value(text: str, kind: AttributeType) -> FilterValue:
    """Read what ``format_value`` wrote."""
    if kind == AttributeType.INT:
        return int(text)
    if kind == AttributeType.FLOAT:
        return float(text)
    if kind == AttributeType.BOOL:
        return text == "true"
    return text


def hash_trace_ids(ids: npt.NDArray[np.bytes_]) -> npt.NDArray[np.uint64]:
    """Hash IDs as the filter over trace IDs does. Args: ids: (K,) S16."""
    content = pa.py_buffer(np.ascontiguousarray(ids))
    return hash64(pa.FixedSizeBinaryArray.from_buffers(TRACE_ID, len(ids), [None, content]))


class BlockFilters:
    """The filters of one block. Immutable."""

    def __init__(self, table: pa.Table) -> None:
        """Take rows of ``FILTERS_SCHEMA``; ``decode`` and ``filter_builder`` make them."""
        assert table.schema.equals(FILTERS_SCHEMA)
        self._table = table.combine_chunks()
        self._blooms: list[pa.Buffer | None] = [
            bloom.as_buffer() if bloom.is_valid else None for bloom in self._table["filter"]
        ]
        self._columns: dict[int, ColumnFilter] = {}
        self._rows: dict[tuple[str, str | None, str | None, str | None], int] = {}
        self._types: dict[tuple[str | None, str | None], set[str]] = defaultdict(set)
        self._overflow: dict[str, dict[str, dict[str, int]]] = defaultdict(dict)
        names = ("subject", "scope", "key", "type", "rows")
        rows = zip(*(self._table[name].to_pylist() for name in names), strict=True)
        for row, (subject, scope, key, kind, count) in enumerate(rows):
            if subject == Subject.OVERFLOW:
                self._overflow[scope].setdefault(key, {})[kind] = count
            else:
                self._rows[subject, scope, key, kind] = row
            if subject != Subject.INTRINSIC and count:
                self._types[scope, key].add(kind)

    @property
    def nbytes(self) -> int:
        """Bytes held in memory, about."""
        return int(self._table.nbytes + 300 * self._table.num_rows)

    def may_contain_trace(self, trace_id: bytes) -> bool:
        """Tell whether the trace may be in the block; False is certain."""
        return bool(self.may_contain_traces(hash64(pa.array([trace_id], TRACE_ID)))[0])

    def may_contain_traces(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Tell of many traces whether they may be in the block; False is certain.

        Args:
            hashes: (K,) of ``hash_trace_ids``.
        """
        return probe_bloom(self._blooms[self._rows[Subject.TRACE_ID, None, None, None]], hashes)

    def column(
        self, scope: AttributeScope | None, key: str, kind: AttributeType
    ) -> ColumnFilter | None:
        """Get what is known of a column; None if the block has no such column.

        A key of that type may still lie in the overflow column: see ``types_of``.

        Args:
            scope: None for an intrinsic.
            key: of the attribute, or ``intrinsic_key(table, column)``.
        """
        subject = Subject.INTRINSIC if scope is None else Subject.ATTRIBUTE
        row = self._rows.get((subject, scope, key, kind))
        if row is None:
            return None
        if row not in self._columns:
            self._columns[row] = self._column(row, kind)
        return self._columns[row]

    def _column(self, row: int, kind: AttributeType) -> ColumnFilter:
        listed = self._table["values"][row]
        number = {AttributeType.INT: int, AttributeType.FLOAT: float}.get(kind, str)
        minimum, maximum = (self._table[name][row].as_py() for name in ("minimum", "maximum"))
        return ColumnFilter(
            type=kind,
            rows=self._table["rows"][row].as_py(),
            minimum=None if minimum is None else number(minimum),
            maximum=None if maximum is None else number(maximum),
            listed=listed.values if listed.is_valid else None,
            bloom=self._blooms[row],
        )

    def intrinsic(self, table: Table, column: str) -> ColumnFilter | None:
        """Get what is known of an intrinsic, if it has a filter."""
        key = intrinsic_key(table, column)
        return self.column(None, key, INTRINSICS[key]) if key in INTRINSICS else None

    def types_of(self, scope: AttributeScope, key: str) -> frozenset[str]:
        """Get the types with which a key occurs, in columns of its own or in the overflow column.

        Values of AttributeType or the further ones of ``tables.OVERFLOW``. Empty: no row has it.
        """
        return frozenset(self._types.get((scope, key), ()))

    def overflow(self, scope: AttributeScope) -> dict[str, dict[str, int]]:
        """Get the keys in the overflow column: key -> type -> entries."""
        return {key: dict(types) for key, types in self._overflow.get(scope, {}).items()}

    def overflow_types(self, scope: AttributeScope, key: str) -> Collection[str]:
        """Get the types with which a key occurs in the overflow column."""
        return self._overflow.get(scope, {}).get(key, {}).keys()

    def keys(self, scope: AttributeScope) -> Sequence[str]:
        """Get all keys of a scope that occur, in order."""
        return self._keys.get(scope, ())

    @cached_property
    def _keys(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for scope, key in self._types:
            if scope is not None and key is not None:
                found[scope].append(key)
        return {scope: sorted(keys) for scope, keys in found.items()}

    def encode(self) -> bytes:
        """Write the object ``filters``."""
        sink = pa.BufferOutputStream()
        pq.write_table(
            self._table,
            sink,
            compression={name: "zstd" for name in _leaf_paths() if name != "filter"},
            use_dictionary=["subject", "scope", "type"],
            write_statistics=False,
            write_page_checksum=True,
        )
        content: bytes = sink.getvalue().to_pybytes()
        return content

    @classmethod
    def decode(cls, content: bytes, *, key: str = "filters") -> BlockFilters:
        """Read what ``encode`` wrote. Raises: CorruptionError naming ``key``."""
        try:
            file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
            table = file.read(use_threads=False)
            table.validate(full=True)
            filters = cls(table.cast(FILTERS_SCHEMA).replace_schema_metadata(None))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise CorruptionError(f"filters cannot be read ({error})", key=key) from error
        filters._check(key)
        return filters

    def _check(self, key: str) -> None:
        row = self._rows.get((Subject.TRACE_ID, None, None, None))
        if row is None or self._blooms[row] is None:
            raise CorruptionError("filters lack the one over trace IDs", key=key)
        sizes = pc.binary_length(self._table["filter"]).drop_null().to_numpy()
        if np.any(sizes % BLOCK_BYTES) or np.any(sizes == 0):
            raise CorruptionError(f"a filter is not a multiple of {BLOCK_BYTES} bytes", key=key)


def _leaf_paths() -> list[str]:
    names = [name for name in FILTERS_SCHEMA.names if name != "values"]
    return [*names, "values.list.element.value", "values.list.element.count"]
