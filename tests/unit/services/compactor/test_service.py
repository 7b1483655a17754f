"""A compactor whose own code fails: the process lives, other blocks are worked on."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from support.compactors import Bucket, CompactorNode
from support.otlp import span

from tracestore.services.compactor import merging
from tracestore.settings.limits import CompactionLimits

HOUR_MS = 3_600_000
KEEP_ALL = CompactionLimits(block_retention_s=1e9)


@pytest.fixture
def bucket() -> Bucket:
    return Bucket(1)


@pytest.fixture
def node(bucket: Bucket) -> Iterator[CompactorNode]:
    made = CompactorNode(bucket.store, bucket.clock, 2, limits=KEEP_ALL)
    yield made
    made.close()


def test_a_mistake_of_ours_stops_one_merge_and_no_process(
    bucket: Bucket,
    node: CompactorNode,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad = {bucket.flush([span(trace=n, id=n, name="bad")]).id for n in (1, 2)}
    good = [bucket.flush([span(trace=n, id=n, start_ms=-5 * HOUR_MS)]) for n in (3, 4)]
    whole = merging.merge_blocks
    asked: list[set[str]] = []

    def fails_on_some(store: Any, metas: Any, **rest: Any) -> Any:
        asked.append({meta.id for meta in metas})
        if asked[-1] == bad:
            raise ZeroDivisionError("a mistake")
        return whole(store, metas, **rest)

    monkeypatch.setattr(merging, "merge_blocks", fails_on_some)
    with caplog.at_level(logging.ERROR):
        assert node.cycle()
        assert node.cycle()

    assert asked.count(bad) == 1  # it is left alone from then on
    assert "met an error of ours" in caplog.text
    blocks = node.index.current().blocks(good[0].tenant)
    assert {meta.id for meta in blocks if meta.level == 0} == bad
    assert [meta.spans for meta in blocks if meta.level == 1] == [2]


def test_a_full_disk_is_tried_again(
    bucket: Bucket, node: CompactorNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = [bucket.flush([span(trace=n, id=n)]) for n in (1, 2)]
    whole = merging.merge_blocks
    asked: list[int] = []

    def fails_once(store: Any, metas: Any, **rest: Any) -> Any:
        asked.append(len(metas))
        if len(asked) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(store, metas, **rest)

    monkeypatch.setattr(merging, "merge_blocks", fails_once)
    assert node.cycle()
    assert len(node.index.current().blocks(inputs[0].tenant)) == 2
    assert node.cycle()
    assert [meta.spans for meta in node.index.current().blocks(inputs[0].tenant)] == [2]
