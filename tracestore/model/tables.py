"""The six flat tables of spans, and the attribute columns that make each key a typed column.

A row of ``spans`` is a span; resources and scopes are tables of their own to which a span points by
a small integer. A condition on an attribute reads that attribute's column and nothing else. What
OTLP said comes back as sent: ``attribute_order`` keeps the order of the keys, nulls keep the
difference between empty and absent, and what fits no column of its own lies in the scope's
``<scope>.*`` column.

In memory every text is a dictionary of int32 codes, on disk it is a Parquet string. This module
knows pyarrow for schemas and nothing else. Byte layout: docs/formats/block.md.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from functools import lru_cache

import pyarrow as pa


class Table(StrEnum):
    """The tables of a block, in the order in which they are written."""

    SPANS = "spans"
    EVENTS = "events"
    LINKS = "links"
    TRACES = "traces"
    RESOURCES = "resources"
    SCOPES = "scopes"


class AttributeScope(StrEnum):
    """Where OTLP keeps an attribute; also the prefix of its column."""

    SPAN = "span"
    EVENT = "event"
    LINK = "link"
    RESOURCE = "resource"
    INSTRUMENTATION = "instrumentation"


TABLE_OF_SCOPE = {
    AttributeScope.SPAN: Table.SPANS,
    AttributeScope.EVENT: Table.EVENTS,
    AttributeScope.LINK: Table.LINKS,
    AttributeScope.RESOURCE: Table.RESOURCES,
    AttributeScope.INSTRUMENTATION: Table.SCOPES,
}
SCOPE_OF_TABLE = {table: scope for scope, table in TABLE_OF_SCOPE.items()}


class AttributeType(StrEnum):
    """What a column holds. ``ANY`` is the OTLP JSON text of an AnyValue (kvlist, mixed array)."""

    STRING = "string"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    STRING_LIST = "string[]"
    INT_LIST = "int[]"
    FLOAT_LIST = "float[]"
    BOOL_LIST = "bool[]"
    BYTES = "bytes"
    ANY = "any"


TEXT = pa.dictionary(pa.int32(), pa.string())
TRACE_ID = pa.binary(16)
SPAN_ID = pa.binary(8)
TIMESTAMP = pa.timestamp("ns", tz="UTC")

ARROW_TYPE = {
    AttributeType.STRING: TEXT,
    AttributeType.INT: pa.int64(),
    AttributeType.FLOAT: pa.float64(),
    AttributeType.BOOL: pa.bool_(),
    AttributeType.STRING_LIST: pa.list_(pa.string()),
    AttributeType.INT_LIST: pa.list_(pa.int64()),
    AttributeType.FLOAT_LIST: pa.list_(pa.float64()),
    AttributeType.BOOL_LIST: pa.list_(pa.bool_()),
    AttributeType.BYTES: pa.binary(),
    AttributeType.ANY: TEXT,
}

OVERFLOW = pa.list_(
    pa.struct([("key", pa.string()), ("type", pa.string()), ("value", pa.string())])
)
"""Type of ``<scope>.*``: rare keys, repeated keys and valueless attributes, in the order sent.

``type`` is a value of AttributeType, or ``empty`` (an AnyValue without a member), ``none`` (a
KeyValue without an AnyValue) or ``keyvalue`` (the whole KeyValue as OTLP JSON: it has fields that
only profiles use). ``value`` of a string is the string itself, null for ``empty`` and ``none``; of
bytes it is base64; of an int, a bool or a float it is its JSON text (floats in shortest round-trip
form, ``NaN``, ``Infinity``, ``-Infinity``, ``-0.0``); of a list it is a JSON array of such texts,
of ``any`` the OTLP JSON text of the AnyValue.
"""


def overflow_name(scope: AttributeScope) -> str:
    """Name the column of ``scope`` that holds what has no column of its own."""
    return f"{scope.value}.*"


def _schema(*columns: tuple[str, pa.DataType] | tuple[str, pa.DataType, bool]) -> pa.Schema:
    return pa.schema([pa.field(c[0], c[1], nullable=len(c) == 3 and c[2]) for c in columns])


NULLABLE = True
SCHEMAS_REMEMBERED = 8192
PARSED_SCHEMAS_REMEMBERED = 64
FIXED_SCHEMA = {
    Table.SPANS: _schema(
        ("trace_id", TRACE_ID),
        ("span_id", SPAN_ID),
        ("parent_span_id", SPAN_ID, NULLABLE),  # null: none was sent; eight zero bytes: sent so
        ("trace", pa.int32()),  # row of traces
        ("resource", pa.int32()),  # row of resources
        ("scope", pa.int32()),  # row of scopes
        ("name", TEXT),
        ("kind", pa.int32()),  # the OTLP number, unknown ones too
        ("status_code", pa.int32(), NULLABLE),  # null: the span had no status message
        ("status_message", TEXT),
        ("start_time", TIMESTAMP),  # unsigned 64-bit in OTLP; kept modulo 2**64
        ("duration", pa.int64()),  # end - start in ns, modulo 2**64; negative if the clock ran back
        ("nested_left", pa.int32()),  # 0: not reachable from a root
        ("nested_right", pa.int32()),
        ("nested_parent", pa.int32()),  # left of the parent; -1: a root; 0: not reachable
        ("child_count", pa.int32()),
        ("trace_state", TEXT),
        ("flags", pa.uint32()),
        ("dropped_attributes_count", pa.uint32()),
        ("dropped_events_count", pa.uint32()),
        ("dropped_links_count", pa.uint32()),
        ("attribute_order", TEXT, NULLABLE),
    ),
    Table.EVENTS: _schema(
        ("span", pa.int64()),  # row of spans
        ("name", TEXT),
        ("time", TIMESTAMP),
        ("dropped_attributes_count", pa.uint32()),
        ("attribute_order", TEXT, NULLABLE),
    ),
    Table.LINKS: _schema(
        ("span", pa.int64()),
        ("trace_id", pa.binary()),  # 16 bytes, or none
        ("span_id", pa.binary()),  # 8 bytes, or none
        ("trace_state", TEXT),
        ("flags", pa.uint32()),
        ("dropped_attributes_count", pa.uint32()),
        ("attribute_order", TEXT, NULLABLE),
    ),
    Table.TRACES: _schema(
        ("trace_id", TRACE_ID),
        ("first_span", pa.int64()),  # row of spans; a trace's spans lie together
        ("span_count", pa.int32()),
        ("error_count", pa.int32()),
        ("start_time", TIMESTAMP),
        ("end_time", TIMESTAMP),
        ("root_span", pa.int64(), NULLABLE),
        ("root_name", TEXT, NULLABLE),
        ("root_service_name", TEXT, NULLABLE),  # null: no root, or it has no string there
    ),
    Table.RESOURCES: _schema(
        ("schema_url", TEXT),
        ("dropped_attributes_count", pa.uint32(), NULLABLE),  # null: no resource message was sent
        ("entity_refs", TEXT, NULLABLE),  # OTLP JSON array
        ("attribute_order", TEXT, NULLABLE),
    ),
    Table.SCOPES: _schema(
        ("name", TEXT, NULLABLE),  # null: no scope message was sent
        ("version", TEXT, NULLABLE),
        ("schema_url", TEXT),
        ("dropped_attributes_count", pa.uint32(), NULLABLE),
        ("attribute_order", TEXT, NULLABLE),
    ),
}
"""Columns that every block has. ``attribute_order`` is a JSON array of the row's keys in the order
sent, null where there are fewer than two: the n-th occurrence of a key finds its value in that
key's column (n = 1, if one of them is not null) or else among the entries of the key in the
``<scope>.*`` column."""


SAMPLING_WEIGHT = pa.field("sampling_weight", pa.float64(), nullable=True)
"""Column of ``traces`` where a trace was kept by chance: for how many such traces it stands. Null,
or no such column: for itself alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeColumn:
    """What the metadata of a field says of an attribute; code goes by this, people by the name."""

    scope: AttributeScope
    key: str
    type: AttributeType
    name: str

    def field(self) -> pa.Field:
        """Make the Arrow field."""
        metadata = {"scope": self.scope.value, "key": self.key, "type": self.type.value}
        return pa.field(self.name, ARROW_TYPE[self.type], nullable=True, metadata=metadata)


def name_columns(
    scope: AttributeScope, keys_and_types: list[tuple[str, AttributeType]]
) -> list[AttributeColumn]:
    """Name the columns of one table.

    The first column of a key is ``<scope>.<key>``, a further type of it ``<scope>.<key> (<type>)``.
    Names that would meet (DuckDB folds case) get a number behind them.

    Args:
        keys_and_types: distinct pairs, in the order in which the columns should stand.
    """
    taken = {overflow_name(scope)}
    keys: set[str] = set()
    columns = []
    for key, kind in keys_and_types:
        wanted = (
            f"{scope.value}.{key}" if key not in keys else f"{scope.value}.{key} ({kind.value})"
        )
        keys.add(key)
        name, number = wanted, 1
        while name.lower() in taken:
            number += 1
            name = f"{wanted} #{number}"
        taken.add(name.lower())
        columns.append(AttributeColumn(scope=scope, key=key, type=kind, name=name))
    return columns


def attribute_columns(schema: pa.Schema) -> tuple[AttributeColumn, ...]:
    """Read the attribute columns of a schema from the metadata of its fields.

    Remembered for the schemas asked for last: a query asks each of its sources.
    """
    return _attribute_columns(_Same(schema))


def equal_attribute_columns(schema: pa.Schema) -> tuple[AttributeColumn, ...]:
    """Read the attribute columns of a schema that is made anew each time, and often alike."""
    return _parsed_attribute_columns(schema.serialize().to_pybytes())


@lru_cache(maxsize=PARSED_SCHEMAS_REMEMBERED)
def _parsed_attribute_columns(content: bytes) -> tuple[AttributeColumn, ...]:
    return _attribute_columns.__wrapped__(_Same(pa.ipc.read_schema(pa.py_buffer(content))))


class _Same:
    """A schema as a key that is compared by identity; comparing fields would cost more."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema

    def __hash__(self) -> int:
        return id(self.schema)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.schema is other.schema


@lru_cache(maxsize=SCHEMAS_REMEMBERED)
def _attribute_columns(key: _Same) -> tuple[AttributeColumn, ...]:
    found = []
    for field in key.schema:
        metadata = field.metadata
        if metadata and b"key" in metadata:
            column = AttributeColumn(
                scope=AttributeScope(metadata[b"scope"].decode()),
                key=metadata[b"key"].decode(),
                type=AttributeType(metadata[b"type"].decode()),
                name=field.name,
            )
            found.append(column)
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanTables:
    """The six tables of a set of whole traces.

    Spans are sorted by trace ID, then nested-set left (0 last), then start time and span ID; events
    and links by their span; a span occurs once (trace ID, span ID, kind).
    """

    spans: pa.Table
    events: pa.Table
    links: pa.Table
    traces: pa.Table
    resources: pa.Table
    scopes: pa.Table

    def table(self, table: Table) -> pa.Table:
        """Get one of them by name."""
        found: pa.Table = getattr(self, table.value)
        return found

    @property
    def nbytes(self) -> int:
        """Bytes held in memory."""
        return sum(getattr(self, field.name).nbytes for field in fields(self))
