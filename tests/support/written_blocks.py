"""Blocks for tests: diverse requests, a block of given tables, tables as plain Python values."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from support.otlp import event, link, request, span

from tracestore.clock import SystemClock
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import SINGLE_TENANT, BlockId
from tracestore.model.tables import SpanTables, Table
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.table_reader import SpanTablesReader
from tracestore.storage.block.writer import BlockIdentity, BlockWriter
from tracestore.storage.objects.interface import ObjectStore

TENANT = SINGLE_TENANT


def diverse_requests(*, traces: int = 12, seed: int = 7) -> list[bytes]:
    """Make requests with every type of attribute, rare keys, events, links and nulls."""
    rng = random.Random(seed)
    return [
        request(
            resource={"service.name": f"service-{number % 3}", "replica": number % 2},
            scope=None if number == 5 else f"library-{number % 2}",
            scope_version="1.0",
            scope_attributes={"flavour": "plain"},
            spans=_trace(number, rng),
        )
        for number in range(1, traces + 1)
    ]


def _trace(number: int, rng: random.Random) -> list[Span]:
    trace = rng.getrandbits(64) << 64 | number
    return [
        span(
            trace=trace,
            id=number * 1000 + 1,
            name=f"root {number % 4}",
            kind="server",
            duration_ms=40,
            attributes={"http.status_code": 200, "tags": ["a", "b"], "code": "text"},
        ),
        *(_child(trace, number, child, rng) for child in range(2, 3 + number % 5)),
    ]


def _child(trace: int, number: int, child: int, rng: random.Random) -> Span:
    values: dict[str, Any] = {
        "http.status_code": rng.choice([200, 404, 500]),
        "code": rng.getrandbits(20),
        "ratio": rng.choice([0.5, -0.0, float("inf")]),
        "retried": rng.random() < 0.5,
        "digest": rng.randbytes(3),
        "sizes": [1, 2**62],
        "weights": [0.25],
        "flags": [True, False],
        "nested": {"a": [1, "x"], "b": {}},
        "tags": [],
        f"rare.{number}": "once",
        "user": f"user-{rng.randrange(1000)}",
        "empty": None,
    }
    keys = rng.sample(sorted(values), rng.randrange(len(values)))
    return span(
        trace=trace,
        id=number * 1000 + child,
        parent=number * 1000 + 1,
        name=f"child {child}",
        kind="client",
        status=rng.choice([None, "ok", "error"]),
        status_message="broken" if child == 3 else "",
        start_ms=child,
        duration_ms=rng.randrange(1, 30),
        attributes={key: values[key] for key in keys},
        events=[event("exception", at_ms=child, attributes={"exception.type": "E", "n": child})]
        * (child % 3),
        links=[link(number, 1, attributes={"why": "batch"})] * (number % 4 == 0),
        trace_state="a=1" if child == 2 else "",
    )


def write_block(
    store: ObjectStore,
    tables: SpanTables,
    *,
    settings: BlockSettings | None = None,
    block: str = "0190b6f0-0000-7000-8000-000000000001",
    spool_dir: str | None = None,
) -> BlockMeta:
    """Write a block of ``TENANT``."""
    writer = BlockWriter(store, settings or BlockSettings(), SystemClock(), spool_dir=spool_dir)
    return writer.write(SpanTablesReader(tables), BlockIdentity(id=BlockId(block), tenant=TENANT))


def plain_columns(table: pa.Table) -> dict[str, list[Any]]:
    """Turn a table into Python values by column; times are int64 ns."""
    return {
        name: (
            column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        ).to_pylist()
        for name, column in zip(table.column_names, table.columns, strict=True)
    }


def plain_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Turn a table into its rows, without what is null in them."""
    columns = plain_columns(table)
    return [
        {name: values[row] for name, values in columns.items() if values[row] is not None}
        for row in range(len(table))
    ]


def plain_trace(tables: SpanTables, trace_id: bytes) -> dict[str, Any] | None:
    """Pick one trace out of tables, with the rows that it refers to in place of their numbers."""
    rows = {table: plain_rows(tables.table(table)) for table in Table}
    found = [row for row in rows[Table.TRACES] if row["trace_id"] == trace_id]
    if not found:
        return None
    trace = found[0]
    first, last = trace["first_span"], trace["first_span"] + trace["span_count"]
    spans = [
        row
        | {
            "resource": rows[Table.RESOURCES][row["resource"]],
            "scope": rows[Table.SCOPES][row["scope"]],
            "trace": 0,
        }
        for row in rows[Table.SPANS][first:last]
    ]
    owned = {
        table: [
            row | {"span": row["span"] - first}
            for row in rows[table]
            if first <= row["span"] < last
        ]
        for table in (Table.EVENTS, Table.LINKS)
    }
    root = {"root_span": trace["root_span"] - first} if "root_span" in trace else {}
    return {"spans": spans, **owned, "trace": trace | {"first_span": 0} | root}
