"""Flushes, compactors that die at any request, time that passes: answers are never other ones.

Until something is due, every query says the same before and after; what is due goes, and nothing
else does.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from support.clocks import ManualClock
from support.compactors import TENANT, Bucket, CompactorNode
from support.otlp import EPOCH_NS, span
from support.query import run_metrics, run_search

from tracestore.errors import OutdatedBlockError
from tracestore.model.block_meta import BlockMeta
from tracestore.model.results import QueryStats
from tracestore.model.series import Grid
from tracestore.model.tables import Table
from tracestore.settings.limits import CompactionLimits
from tracestore.storage.block.verify import verify_block
from tracestore.storage.objects.layout import BLOCKS_PREFIX, parse_block_key
from tracestore.storage.pins import Pins

QUERIES = (
    "{ }",
    "{ status = error }",
    "{ name = `root` } >> { status = error }",
    "{ } | count() > 2",
    "{ nestedSetParent < 0 } | select(.part)",
)
DAY_S = 86400.0
FIRST_NS = ManualClock().now_ns()
GRID = Grid(origin_ns=FIRST_NS - 6000 * 10**9, step_ns=600 * 10**9, count=100)


class Spans:
    """Makes spans of traces that come in parts, some of them twice."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._sent: list[Span] = []
        self._roots: dict[int, Span] = {}
        self._next = 0

    def some(self, start_ns: int) -> list[Span]:
        """Make spans of a few traces, begun now or before, and repeat some."""
        made = []
        for _ in range(self._rng.randrange(1, 9)):
            self._next += 1
            trace = self._rng.randrange(1, 12)
            at_ms = (start_ns - EPOCH_NS) // 10**6 + self._rng.randrange(1000)
            if self._rng.random() < 0.3:
                root = span(trace=trace, id=1000 + trace, name="root", start_ms=at_ms)
                made.append(self._roots.setdefault(trace, root))
                continue
            made.append(
                span(
                    trace=trace,
                    id=self._next,
                    parent=1000 + trace,
                    name=f"span {self._next}",
                    status=self._rng.choice([None, "ok", "error"]),
                    start_ms=at_ms,
                    attributes={"part": self._next},
                )
            )
        self._sent += made
        return [*made, *self._rng.sample(self._sent, min(len(self._sent), 2))]


def answers(bucket: Bucket) -> list[str]:
    """Ask everything: searches, metrics, and each trace by its ID."""
    sources = bucket.sources()
    found = [repr(run_search(sources, query).traces) for query in QUERIES]
    series = run_metrics(sources, "{ } | count_over_time() by (status)", GRID)
    found.append(repr(series.series))
    spans = defaultdict(set)
    for source in sources:
        for number in range(1, 12):
            for tables in source.find_traces([number.to_bytes(16, "big")], QueryStats()):
                rows = tables.spans.select(["span_id", "kind", "name"]).to_pylist()
                spans[number].update(tuple(row.values()) for row in rows)
    found.append(repr([(number, sorted(rows, key=repr)) for number, rows in sorted(spans.items())]))
    return found


@contextmanager
def node(bucket: Bucket, seed: int, limits: CompactionLimits) -> Iterator[CompactorNode]:
    one = CompactorNode(bucket.store, bucket.clock, seed, limits=limits)
    try:
        yield one
    finally:
        one.close()


def settle(bucket: Bucket, limits: CompactionLimits) -> None:
    """Let compactors work until there is nothing left to do; what the dead held becomes free."""
    before = -1
    with node(bucket, 99, limits) as one:
        while before != bucket.blocks().sequence:
            before = bucket.blocks().sequence
            for _ in range(2):
                assert one.cycle()
                bucket.clock.advance(61)
            assert one.cycle()


@pytest.mark.parametrize("seed", range(2))
def test_no_answer_changes_whatever_happens(seed: int) -> None:
    bucket, rng = Bucket(seed), random.Random(seed)
    spans, limits = Spans(rng), CompactionLimits(block_retention_s=1000 * DAY_S)
    for step in range(8):
        bucket.clock.advance(rng.choice([10, 300, 2000]))
        late_s = rng.choice([0, 0, 0, 5000])
        bucket.flush(spans.some(bucket.clock.now_ns() - int(late_s * 1e9)))
        before = answers(bucket)
        with node(bucket, seed * 100 + step, limits) as one:
            one.store.dies_at = rng.choice([None, rng.randrange(120)])
            one.cycle()
        assert answers(bucket) == before
    before, blocks = answers(bucket), len(bucket.blocks().blocks(TENANT))
    bucket.clock.advance(2 * 3600)
    settle(bucket, limits)
    after = bucket.blocks().blocks(TENANT)
    assert answers(bucket) == before
    assert len(after) <= blocks
    assert [verify_block(bucket.store, meta).problems for meta in after] == [()] * len(after)


RULES = ("{ status = error }: 20d", "{ name = `root` }: 2d", "{ .part % 5 = 0 }: 1d")
BASE_S = 7 * DAY_S


def keep_s(spans: list[Span]) -> float:
    """How long a trace stays, by an obvious reading of the rules over all its spans."""
    parts = [a.value.int_value for s in spans for a in s.attributes if a.key == "part"]
    matching = [
        days * DAY_S
        for days, is_so in (
            (20, any(s.status.code == 2 for s in spans)),
            (2, any(s.name == "root" for s in spans)),
            (1, any(part % 5 == 0 for part in parts)),
        )
        if is_so
    ]
    return max(matching, default=BASE_S)


def latest_s(number: int, spans: list[Span]) -> float:
    """How long a trace may stay at most: one in parts is not taken away by a shorter rule."""
    return keep_s(spans) if number >= 100 else max(keep_s(spans), BASE_S)


@pytest.mark.parametrize("seed", range(2))
def test_retention_takes_what_is_due_and_nothing_else(seed: int) -> None:
    bucket, rng = Bucket(seed), random.Random(seed)
    limits = CompactionLimits(block_retention_s=BASE_S, retention_rules=RULES)
    traces: dict[int, list[Span]] = defaultdict(list)
    spans = Spans(rng)
    pins = Pins(bucket.store, bucket.clock, pins_max=10)
    pins.pin(TENANT, (3).to_bytes(16, "big"))
    for flush in range(6):  # all parts of a trace are there before anything is due
        bucket.clock.advance(1000)
        made = spans.some(bucket.clock.now_ns())
        at_ms = (bucket.clock.now_ns() - EPOCH_NS) // 10**6
        made += [
            span(trace=100 + part, id=1, start_ms=at_ms, attributes={"part": part})
            for part in range(5 * flush, 5 * flush + 5)
        ]
        bucket.flush(made)
        for one in made:
            traces[int.from_bytes(one.trace_id, "big")].append(one)
    for step, days in enumerate((1, 1, 1, 5, 12, 2)):
        bucket.clock.advance(days * DAY_S)
        if step == 5:
            pins.unpin(TENANT, (3).to_bytes(16, "big"))
        with node(bucket, seed * 100 + step, limits) as one:
            one.store.dies_at = rng.choice([None, rng.randrange(60)])
            one.cycle()
        settle(bucket, limits)
        now_ns = bucket.clock.now_ns()
        pinned = {3} if step < 5 else set()
        shown = defaultdict(set)
        for source in bucket.sources():
            ids = source.read(Table.TRACES, ["trace_id"], None, QueryStats())[0].to_pylist()
            age_s = (now_ns - source.end_ns) / 1e9
            due = {n for n in map(_number, ids) if age_s > latest_s(n, traces[n])} - pinned
            assert not due, f"step {step}: {due} are in a block of {age_s / DAY_S:.2f} days"
            for number in map(_number, ids):
                (found,) = source.find_traces([number.to_bytes(16, "big")], QueryStats())
                shown[number].update(found.spans["span_id"].to_pylist())
        for number, sent in traces.items():
            for one in sent:
                age_s = (now_ns - one.end_time_unix_nano) / 1e9
                if number in pinned or age_s <= keep_s(sent) - 2 * 3600:
                    assert one.span_id in shown[number], f"step {step}: of trace {number}"
    assert not shown


def _number(trace_id: bytes) -> int:
    return int.from_bytes(trace_id, "big")


@pytest.mark.parametrize("seed", range(2))
def test_what_nobody_will_commit_is_deleted_and_nothing_else(seed: int) -> None:
    bucket, rng = Bucket(seed), random.Random(seed)
    spans, limits = Spans(rng), CompactionLimits(block_retention_s=1000 * DAY_S)
    waiting: list[BlockMeta] = []
    for step in range(8):
        bucket.clock.advance(rng.choice([600, DAY_S / 2]))
        waiting.append(bucket.write(spans.some(bucket.clock.now_ns())))
        while waiting and rng.random() < 0.5:  # a flush that took long, or very long
            meta = waiting.pop(rng.randrange(len(waiting)))
            try:
                bucket.commit(meta)
            except OutdatedBlockError:
                continue
        before = answers(bucket)
        with node(bucket, seed * 100 + step, limits) as one:
            one.store.dies_at = rng.choice([None, rng.randrange(150)])
            one.cycle()
        assert answers(bucket) == before
        for meta in waiting[:]:  # the one that wakes up just then
            if rng.random() < 0.1:
                waiting.remove(meta)
                try:
                    bucket.commit(meta)
                except OutdatedBlockError:
                    continue
                assert verify_block(bucket.store, meta).problems == ()
    bucket.clock.advance(10 * DAY_S)
    for _ in range(3):
        settle(bucket, limits)
        bucket.clock.advance(2 * DAY_S)
    before = answers(bucket)
    settle(bucket, limits)
    assert answers(bucket) == before
    listed = {(TENANT, meta.id) for meta in bucket.blocks().blocks(TENANT)}
    left = {parse_block_key(info.key) for info in bucket.store.list(BLOCKS_PREFIX)}
    assert {place[:2] for place in left if place} == listed
