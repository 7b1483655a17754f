"""The queue on disk: order, places of receivers, bounds, and files that are damaged."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracestore.codec.remote_write.outgoing import Counts
from tracestore.storage.metrics_queue.queue import MetricsQueue, QueueBounds
from tracestore.storage.metrics_queue.segment import (
    HEADER_BYTES,
    RECORD_BYTES,
    RecordKind,
    scan_segment,
)

ROOMY = QueueBounds(bytes_max=1 << 20, segment_bytes=1 << 16)


class Lost:
    """Counts what a queue tells."""

    def __init__(self) -> None:
        self.samples: Counter[tuple[str, str]] = Counter()
        self.damages: Counter[bool] = Counter()

    def lost(self, receiver: str, reason: str, counts: Counts) -> None:
        self.samples[receiver, reason] += counts.samples

    def damaged(self, torn: bool) -> None:
        self.damages[torn] += 1


def open_queue(
    path: Path, *receivers: str, bounds: QueueBounds = ROOMY
) -> tuple[MetricsQueue, Lost]:
    lost = Lost()
    queue = MetricsQueue(path, receivers or ("a",), bounds, lost)
    queue.open()
    return queue, lost


def append(queue: MetricsQueue, number: int, *, size: int = 10, generation: int = 1) -> None:
    queue.append(
        generation, np.array([number % 3]), number, Counts(samples=1),
        number.to_bytes(2, "big") * size, lambda numbers: b"labels " + bytes(numbers.tolist()),
    )  # fmt: skip


def drain(queue: MetricsQueue, receiver: str = "a", most: int = 1000) -> list[int]:
    """Take what there is; get the numbers of the collections."""
    found: list[int] = []
    while len(found) < most and (taken := queue.take(receiver)) is not None:
        queue.done(receiver, taken.position, taken.counts)
        if taken.kind is RecordKind.COLLECTION:
            assert taken.payload[:2] == taken.time_ms.to_bytes(2, "big")
            found.append(taken.time_ms)
    return found


def test_each_receiver_reads_at_its_own_pace(tmp_path: Path) -> None:
    queue, _ = open_queue(tmp_path, "a", "b")
    for number in range(5):
        append(queue, number)
    assert drain(queue, "a") == [0, 1, 2, 3, 4]
    assert drain(queue, "b", most=2) == [0, 1]
    assert queue.pending("a").samples == 0
    assert queue.pending("b").samples == 3
    assert queue.needed_since_ms() == 2
    assert drain(queue, "b") == [2, 3, 4]
    assert queue.needed_since_ms() is None
    queue.close()
    assert not list(tmp_path.glob("*.segment"))


def test_a_record_is_taken_until_it_is_done(tmp_path: Path) -> None:
    queue, _ = open_queue(tmp_path)
    append(queue, 7)
    assert queue.take("a") == queue.take("a")


def test_places_outlive_the_process(tmp_path: Path) -> None:
    queue, _ = open_queue(tmp_path, "a", "b")
    for number in range(5):
        append(queue, number)
    drain(queue, "a", most=3)
    again, lost = open_queue(tmp_path, "a", "c")
    append(again, 5)
    assert drain(again, "a") == [3, 4, 5]
    assert drain(again, "c") == [0, 1, 2, 3, 4, 5]
    assert not lost.damages


def test_labels_are_in_each_file_that_names_them(tmp_path: Path) -> None:
    queue, _ = open_queue(tmp_path, bounds=QueueBounds(bytes_max=1 << 20, segment_bytes=500))
    for number in range(40):
        append(queue, number)
    append(queue, 40, generation=2)
    paths = sorted(tmp_path.glob("*.segment"))
    assert len(paths) > 3
    for path in paths:
        segment, _ = scan_segment(path)
        kinds = [entry.kind for entry in segment.entries]
        assert kinds[0] is RecordKind.SERIES
        assert kinds.count(RecordKind.SERIES) <= 3
    assert queue.generations() == {1, 2}


def test_a_queue_that_is_too_large_loses_whole_files_of_its_oldest(tmp_path: Path) -> None:
    bounds = QueueBounds(bytes_max=4000, segment_bytes=1000)
    queue, lost = open_queue(tmp_path, "a", "b", bounds=bounds)
    for number in range(10):
        append(queue, number)
    assert drain(queue, "b") == list(range(10))
    for number in range(10, 200):
        append(queue, number)
        assert queue.size <= bounds.bytes_max + 200
    rest = drain(queue, "a")
    assert rest == list(range(200 - len(rest), 200))
    assert lost.samples["a", "queue_overflow"] == 200 - len(rest)
    assert lost.samples["b", "queue_overflow"] == 190 - len(drain(queue, "b"))


@pytest.mark.parametrize("torn", [True, False])
def test_a_damaged_record_is_counted_and_the_rest_is_read(tmp_path: Path, torn: bool) -> None:
    queue, _ = open_queue(tmp_path)
    for number in range(4):
        append(queue, number)
    (path,) = tmp_path.glob("*.segment")
    content = bytearray(path.read_bytes())
    segment, _ = scan_segment(path)
    if torn:
        path.write_bytes(content[: segment.entries[-1].start + 3])
    else:
        content[segment.entries[-1].start + 3] ^= 0xFF
        path.write_bytes(content)
    again, lost = open_queue(tmp_path)
    append(again, 9)
    assert drain(again) == [0, 1, 2, 9]
    assert lost.damages == {torn: 1}
    assert lost.samples == ({} if torn else {("a", "corrupt_queue"): 1})


@settings(max_examples=60)
@given(st.data())
def test_any_damage_leaves_what_is_whole(tmp_path_factory, data: st.DataObject) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path_factory.mktemp("queue")
    queue, _ = open_queue(path)
    for number in range(6):
        append(queue, number)
    (file,) = path.glob("*.segment")
    content = bytearray(file.read_bytes())
    segment, _ = scan_segment(file)
    at = data.draw(st.integers(HEADER_BYTES, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:at]
    else:
        content[at] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    again, lost = open_queue(path)
    found = drain(again)
    for labels in again.left_series():
        assert labels[0] == 1
    whole = [
        entry.time_ms
        for entry in segment.entries
        if entry.kind is RecordKind.COLLECTION
        and (entry.end <= at or (entry.start - RECORD_BYTES > at and entry.end <= len(content)))
    ]

    assert found == whole
    assert lost.damages or at in {entry.end for entry in segment.entries} | {HEADER_BYTES}


def test_a_file_that_is_none_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "000000000001.segment").write_bytes(b"nothing of ours" * 10)
    queue, lost = open_queue(tmp_path)
    append(queue, 1)
    assert drain(queue) == [1]
    assert lost.damages == {False: 1}
    assert (tmp_path / "000000000001.damaged").exists()


def test_lost_places_mean_that_all_is_sent_again(tmp_path: Path) -> None:
    queue, _ = open_queue(tmp_path)
    append(queue, 1)
    append(queue, 2)
    drain(queue, most=1)
    (tmp_path / "cursors.json").write_text('{"a": 3')
    again, lost = open_queue(tmp_path)
    assert drain(again) == [1, 2]
    assert lost.damages == {False: 1}
