"""The worked cases of autocomplete in the TraceQL reference."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

import pytest
from support.golden import GOLDEN
from support.naive_tables import naive_tables
from support.reference_dataset import requests
from support.tags import ask_names, ask_values, live_source, names_of, values_of
from support.written_blocks import write_block

from tracestore.kernel import build_tables
from tracestore.query.block_source import BlockSource
from tracestore.query.source import SpanSource
from tracestore.query.tables_source import TablesSource
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.objects.memory import MemoryObjectStore

ALL_NAMES = 20
_CASE = re.compile(r"(?P<id>V\d+) (?P<kind>names|values) (?P<tag>\S+)(?:\s+q=(?P<query>.*))?")


@dataclass(frozen=True)
class Case:
    id: str
    kind: str
    tag: str
    query: str
    expected: str

    def __str__(self) -> str:
        return self.id


def read_cases() -> list[Case]:
    lines = (GOLDEN / "autocomplete.test").read_text().splitlines()
    kept = [line for line in lines if line and not line.startswith("#")]
    cases = []
    for head, below in zip(kept[::2], kept[1::2], strict=True):
        found = _CASE.fullmatch(head)
        assert found, head
        query = found["query"] or ""
        cases.append(Case(found["id"], found["kind"], found["tag"], query, below.strip()))
    return cases


CASES = read_cases()
BY_ID = {case.id: case for case in CASES}


def block(
    request: list[bytes], *, id: int = 1, listed: int = 256, columns: int = 512
) -> SpanSource:
    store = MemoryObjectStore()
    meta = write_block(
        store,
        build_tables(request, attribute_columns_max=columns),
        settings=BlockSettings(row_group_spans=8, distinct_values_max=listed),
        block=f"0190b6f0-0000-7000-8000-{id:012x}",
    )
    return BlockSource(store, meta, BlockCache(1 << 24))


SOURCES: dict[str, list[SpanSource]] = {
    "tables": [TablesSource(naive_tables(requests()), "reference", spans_per_chunk=1)],
    "live, a source a trace": [live_source(r, f"s{n}") for n, r in enumerate(requests())],
    "a block": [block(requests())],
    "a block that lists no values": [block(requests(), listed=0)],
    "a block without columns": [block(requests(), columns=0)],
    "a block a trace": [block([r], id=n) for n, r in enumerate(requests())],
    "live and blocks": [
        *(live_source(r, f"s{n}") for n, r in enumerate(requests()[:2])),
        block(requests()[2:]),
    ],
}


def expected_values(text: str) -> list[tuple[str, str]]:
    if text == "(none)":
        return []
    found = []
    for part in text.split("; "):
        kind, _, values = part.partition(": ")
        found += [(kind, value) for value in shlex.split(values)]
    return found


@pytest.mark.parametrize("sources", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_autocomplete_offers_what_the_reference_says(case: Case, sources: list[SpanSource]) -> None:
    if case.kind == "names":
        found = names_of(ask_names(sources, case.tag, q=case.query))
        assert found.get(case.tag, []) == sorted(shlex.split(case.expected))
        return
    values = values_of(ask_values(sources, case.tag, q=case.query))
    if case.expected == f"all {ALL_NAMES} names":
        assert len(values) == ALL_NAMES
        return
    expected = case.expected
    if expected.startswith("as "):
        expected = BY_ID[expected.removeprefix("as ")].expected
    assert sorted(values) == sorted(expected_values(expected))
