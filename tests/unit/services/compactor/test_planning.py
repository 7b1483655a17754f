"""Which blocks are merged: traces come together soon, the work ends, windows stay apart."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from support.blocks import block_meta

from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import BlockId
from tracestore.services.compactor.planning import (
    RULES_APPLIED,
    RULES_OF,
    applied_s,
    plan_expiry,
    plan_merges,
    window_of,
)
from tracestore.settings.compactor_tree import CompactionSettings

HOUR_NS = 3600 * 10**9
NOW_NS = 1000 * HOUR_NS
SETTINGS = CompactionSettings(spans_max=1000, min_input_blocks=4, max_input_blocks=8)


def block(name: str, *, hours_ago: float, spans: int = 100, level: int = 0) -> BlockMeta:
    end_ns = NOW_NS - int(hours_ago * HOUR_NS)
    return replace(block_meta(name, end_ns=end_ns), spans=spans, level=level)


def plan(blocks: list[BlockMeta]) -> list[set[str]]:
    merges = plan_merges(block_meta("a").tenant, blocks, SETTINGS, window_s=3600.0, now_ns=NOW_NS)
    return [{meta.id for meta in merge.inputs} for merge in merges]


def test_a_window_that_is_written_to_waits_for_more() -> None:
    fresh = [block(str(n), hours_ago=0.1) for n in range(3)]
    assert plan(fresh) == []
    fresh.append(block("3", hours_ago=0.1))
    assert plan(fresh) == [{"0", "1", "2", "3"}]


def test_a_closed_window_is_merged_as_far_as_it_goes() -> None:
    assert plan([block("a", hours_ago=5.5), block("b", hours_ago=5.6)]) == [{"a", "b"}]
    assert plan([block("a", hours_ago=5.5)]) == []
    assert plan([block("a", hours_ago=5.5), block("b", hours_ago=3.5)]) == []


def test_full_blocks_are_merged_once() -> None:
    full = [block(str(n), hours_ago=5.5, spans=900) for n in range(3)]
    assert plan(full) == [{"0", "1", "2"}]
    assert plan([replace(meta, level=1) for meta in full]) == []


def test_large_blocks_are_left_alone() -> None:
    large = [
        replace(block(str(n), hours_ago=5.5), object_bytes={"spans.parquet": 1 << 40})
        for n in range(3)
    ]
    assert plan(large) == []


@pytest.mark.parametrize("seed", range(20))
def test_the_work_ends(seed: int) -> None:
    """Doing what is planned again and again comes to an end, and each span is written few times."""
    rng = random.Random(seed)
    blocks = {
        meta.id: meta
        for n in range(rng.randrange(1, 40))
        for meta in [block(str(n), hours_ago=rng.uniform(0, 3), spans=rng.randrange(1, 1500))]
    }
    written = 0
    before = sum(meta.spans for meta in blocks.values())
    for round in range(100):
        merges = plan_merges(
            block_meta("a").tenant, [*blocks.values()], SETTINGS, window_s=3600.0, now_ns=NOW_NS
        )
        if not merges:
            break
        for number, merge in enumerate(merges):
            spans = sum(meta.spans for meta in merge.inputs)
            written += spans
            level = max(meta.level for meta in merge.inputs) + 1
            end_ns = max(meta.end_ns for meta in merge.inputs)
            for meta in merge.inputs:
                del blocks[meta.id]
            part = 0
            while spans > 0:
                id = BlockId(f"r{round}-{number}-{part}")
                made = replace(block_meta(id, end_ns=end_ns), spans=min(spans, 1000), level=level)
                blocks[id] = made
                spans, part = spans - 1000, part + 1
    else:
        raise AssertionError("there is always more to do")
    assert written <= 8 * before


def test_blocks_expire_once_for_each_retention() -> None:
    old = block("a", hours_ago=30)
    day_s = 86400.0
    ages = {"digest": "d", "now_ns": NOW_NS}
    (due,) = plan_expiry([old, block("b", hours_ago=3)], [day_s, 90 * day_s], **ages)
    assert (due.meta.id, due.threshold_s, due.is_last) == ("a", day_s, False)
    applied = replace(old, extra={RULES_APPLIED: day_s, RULES_OF: "d"})
    assert plan_expiry([applied], [day_s, 90 * day_s], **ages) == []
    (due,) = plan_expiry([applied], [3600.0, day_s + 3600], **ages)
    assert (due.is_last, due.is_held) == (True, False)
    (due,) = plan_expiry([applied], [3600.0, day_s], **ages)
    assert (due.is_last, due.is_held) == (True, True)


def test_another_retention_is_applied_anew() -> None:
    old = block("a", hours_ago=30)
    applied = replace(old, extra={RULES_APPLIED: 86400.0, RULES_OF: "before"})
    thresholds = [3600.0, 86400.0, 864000.0]
    assert len(plan_expiry([applied], thresholds, digest="now", now_ns=NOW_NS)) == 1
    assert plan_expiry([applied], thresholds, digest="before", now_ns=NOW_NS) == []
    assert applied_s([applied, old], "before") == 0.0


def test_a_clock_that_is_ahead_keeps_no_block() -> None:
    ahead = replace(block("a", hours_ago=30), end_ns=NOW_NS * 100)
    assert len(plan_expiry([ahead], [86400.0], digest="", now_ns=NOW_NS)) == 1
    same = window_of(block("b", hours_ago=30), 3600.0)
    assert window_of(ahead, 3600.0) == same
