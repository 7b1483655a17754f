"""A trace that fills row groups of its own is put in order on disk, and comes out whole."""

from __future__ import annotations

from itertools import pairwise

import pytest
from support.clocks import ManualClock
from support.merging import IN_ROUNDS, merge, read_block
from support.otlp import event, link, request, span
from support.written_blocks import write_block

from tracestore.errors import CorruptionError
from tracestore.kernel import build_tables, encode
from tracestore.model.block_meta import BlockMeta
from tracestore.model.tables import Table
from tracestore.services.compactor.retention import Keeper, Retention, rules_of
from tracestore.settings.compactor_tree import DAY_S
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.reader import BlockReader
from tracestore.storage.block.verify import verify_block
from tracestore.storage.objects.layout import block_key
from tracestore.storage.objects.memory import MemoryObjectStore

SETTINGS = BlockSettings(row_group_spans=5)


def part_of_trace(first: int, count: int) -> bytes:
    """Spans with events, links, attributes that differ; the first two are in every part."""
    return request(
        resource={"service.name": f"service-{first % 2}"},
        scope="library",
        spans=[
            span(
                trace=7,
                id=number,
                parent=1 if number > 1 else None,
                start_ms=number,
                attributes={"n": number, f"rare.{number % 40}": "x", "text": f"t{number % 5}"},
                events=[event("e", at_ms=number, attributes={"i": i}) for i in range(number % 3)],
                links=[link(number, 1, attributes={"why": "batch"})] * (number % 4 == 0),
            )
            for number in [1, 2, *range(first, first + count)]
        ],
    )


def write(store: MemoryObjectStore) -> tuple[list[BlockMeta], list[bytes]]:
    """Write three blocks, each with a part of the trace; one has another trace too."""
    other = request(resource={}, scope=None, spans=[span(trace=9, id=3)])
    requests = [part_of_trace(100, 60), part_of_trace(200, 140), part_of_trace(400, 20)]
    metas = []
    for number, one in enumerate(requests):
        tables = build_tables([one, other] if number == 1 else [one])
        block = f"0190b6f0-0000-7000-8000-00000000000{number}"
        metas.append(write_block(store, tables, settings=SETTINGS, block=block))
    return metas, [requests[0], requests[1], other, requests[2]]


@pytest.mark.parametrize(
    ("row_group_spans", "row_group_bytes_max", "input_bytes_max"),
    [(5, 16 << 20, 1 << 20), (64, 20_000, 1 << 20), (64, 16 << 20, IN_ROUNDS)],
)
def test_a_large_trace_comes_out_whole(
    row_group_spans: int, row_group_bytes_max: int, input_bytes_max: int
) -> None:
    store = MemoryObjectStore()
    metas, requests = write(store)
    settings = BlockSettings(
        row_group_spans=row_group_spans, row_group_bytes_max=row_group_bytes_max
    )
    (meta,) = merge(store, metas, settings, input_bytes_max=input_bytes_max).metas
    found = read_block(store, meta)
    expected = build_tables(requests)
    assert encode(found) == encode(expected)
    numbers = ["trace", "nested_left", "nested_right", "nested_parent", "child_count"]
    assert found.spans.select(numbers) == expected.spans.select(numbers)
    assert found.traces.to_pylist() == expected.traces.to_pylist()
    assert verify_block(store, meta).problems == ()
    footer = BlockReader(store, meta, BlockCache(0)).footer(Table.SPANS)
    assert len(footer.parts[0]) >= 222 / row_group_spans, "in row groups of its own"
    assert footer.row_groups == 2
    assert max(stop - start for start, stop in pairwise(footer.part_rows)) <= row_group_spans


def test_a_trace_without_a_root_has_none_in_pieces_either() -> None:
    store = MemoryObjectStore()
    spans = [
        span(trace=1, id=n, parent=n + 1, start_ms=n, status="error" if n % 3 else None)
        for n in range(1, 41)
    ]
    requests = [request(resource={}, spans=spans[start::2]) for start in range(2)]
    metas = [
        write_block(
            store,
            build_tables([one]),
            settings=SETTINGS,
            block=f"0190b6f0-0000-7000-8000-00000000000{number}",
        )
        for number, one in enumerate(requests)
    ]
    (meta,) = merge(store, metas, SETTINGS).metas
    found, expected = read_block(store, meta), build_tables(requests)
    assert found.traces.to_pylist() == expected.traces.to_pylist()
    assert found.traces["root_span"].null_count == 1
    assert found.spans["span_id"].to_pylist() == expected.spans["span_id"].to_pylist()


def test_rules_of_retention_read_a_large_trace_in_a_block_of_its_own() -> None:
    store = MemoryObjectStore()
    metas, _ = write(store)
    end_ns = max(meta.end_ns for meta in metas)

    def left(age_days: float, rule: str, pinned: frozenset[bytes] = frozenset()) -> list[bytes]:
        keeper = Keeper(
            Retention(base_s=14 * DAY_S, rules=rules_of([rule] if rule else [])),
            pinned=pinned,
            clock=ManualClock(),
            now_ns=end_ns + int(age_days * DAY_S * 1e9),
            newest_ns=end_ns,
        )
        result = merge(store, metas, BlockSettings(row_group_spans=64), keep=keeper)
        assert result.spans_duplicate == 4
        return [
            one
            for meta in result.metas
            for one in read_block(store, meta).traces["trace_id"].to_pylist()
        ]

    large, small = (n.to_bytes(16, "big") for n in (7, 9))
    assert left(1, "") == [large, small]
    assert left(15, "") == []
    assert left(15, "{ span.n = 339 }: 20d") == [large]
    assert left(15, "{ span.n = 340 }: 20d") == []
    assert left(2, "{ link.why = `batch` }: 1d") == [small]
    assert left(15, "", pinned=frozenset([large])) == [large]


@pytest.mark.parametrize("name", ["spans.parquet", "events.parquet", "links.parquet"])
def test_damage_names_the_object(name: str) -> None:
    store = MemoryObjectStore()
    metas, _ = write(store)
    key = block_key(metas[1].tenant, metas[1].id, name)
    content = bytearray(store.get(key))
    for at in range(40, len(content) // 2, 97):
        content[at] ^= 0xFF
    store.put(key, bytes(content))
    with pytest.raises(CorruptionError, match=key):
        merge(store, metas, SETTINGS)
