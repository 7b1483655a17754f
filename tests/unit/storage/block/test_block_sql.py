"""The SQL of docs/formats/block.md is run as it stands there, by DuckDB, on real blocks."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from support.naive_tables import naive_tables
from support.written_blocks import diverse_requests, plain_rows, write_block

from tracestore.codec.bloom import BLOCK_BYTES
from tracestore.model.tables import SpanTables, Table
from tracestore.settings.tree import BlockSettings
from tracestore.storage.objects.local import LocalObjectStore

DOC = Path(__file__).parents[4] / "docs/formats/block.md"
SEEDS = (7, 8, 9)


@pytest.fixture(scope="module")
def tables() -> list[SpanTables]:
    return [naive_tables(diverse_requests(seed=seed)) for seed in SEEDS]


@pytest.fixture
def connection(tables: list[SpanTables], tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    store = LocalObjectStore(tmp_path)
    for seed, one in zip(SEEDS, tables, strict=True):
        write_block(store, one, block=f"block-{seed}", settings=BlockSettings(row_group_spans=7))
    with duckdb.connect() as opened:
        opened.execute(f"SET file_search_path = '{tmp_path}'")
        yield opened


def documented_sql() -> list[str]:
    return re.findall(r"```sql\n(.*?)```", DOC.read_text(), re.DOTALL)


def test_the_documented_view_counts_as_we_do(
    connection: duckdb.DuckDBPyConnection, tables: list[SpanTables]
) -> None:
    spans: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    for one in tables:
        resources = plain_rows(one.resources)
        for row in plain_rows(one.spans):
            service = resources[row["resource"]]["resource.service.name"]
            spans[service] += 1
            errors[service] += row.get("status_code") == 2

    create, query = documented_sql()
    connection.execute(create)
    counted = connection.execute(query).fetchall()

    assert counted == [(service, spans[service], errors[service]) for service in sorted(spans)]


def test_spans_keep_their_scope_and_attributes_in_the_view(
    connection: duckdb.DuckDBPyConnection, tables: list[SpanTables]
) -> None:
    expected: Counter[tuple[object, ...]] = Counter()
    for one in tables:
        scopes = plain_rows(one.scopes)
        for row in plain_rows(one.spans):
            scope = scopes[row["scope"]].get("name")
            trace = row["trace_id"].hex()
            expected[trace, row["duration"], scope, row.get("span.http.status_code")] += 1

    connection.execute(documented_sql()[0])
    found = connection.execute(
        'SELECT trace_id, duration, scope_name, "span.http.status_code" FROM traced_spans'
    ).fetchall()

    assert Counter(found) == expected


@pytest.mark.parametrize("table", list(Table))
def test_every_table_opens_with_all_its_rows(
    connection: duckdb.DuckDBPyConnection, tables: list[SpanTables], table: Table
) -> None:
    rows = connection.execute(
        f"SELECT count(*) FROM read_parquet('blocks/*/*/{table}.parquet', union_by_name = true)"
    ).fetchall()

    assert rows == [(sum(len(one.table(table)) for one in tables),)]


def test_the_filters_open_too(
    connection: duckdb.DuckDBPyConnection, tables: list[SpanTables]
) -> None:
    found = connection.execute(
        "SELECT rows, octet_length(filter) FROM read_parquet('blocks/*/block-7/filters')"
        " WHERE subject = 'trace_id'"
    ).fetchall()

    assert found == [(len(tables[0].traces), BLOCK_BYTES)]
