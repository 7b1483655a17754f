"""A data directory answers without a server: blocks and log, each span once, nothing changed."""

from __future__ import annotations

import logging
import random
from dataclasses import replace
from pathlib import Path

import pytest
from support.clocks import ManualClock
from support.otlp import EPOCH_NS, request, span
from support.wal import open_wal
from support.written_blocks import write_block

from tracestore.client import directory as module
from tracestore.client.directory import DirectoryBackend
from tracestore.client.found import Total
from tracestore.client.store import Store
from tracestore.client.wal_view import SegmentGoneError, WalView
from tracestore.clock import SystemClock
from tracestore.errors import CorruptionError, InvalidRequestError, SettingsError, UnavailableError
from tracestore.kernel import build_tables
from tracestore.model.ids import SINGLE_TENANT
from tracestore.storage.index.commits import CommitLog
from tracestore.storage.objects.local import LocalObjectStore

NOW_NS = EPOCH_NS + 3_600_000_000_000
FLUSHED = request(
    resource={"service.name": "shop"}, spans=[span(trace=1, id=1, name="flushed", status="error")]
)
LIVE = request(
    resource={"service.name": "bank"}, spans=[span(trace=2, id=1, name="live", start_ms=5)]
)


def append(root: Path, *payloads: bytes) -> list[str]:
    """Write payloads to the log. Returns the segments."""
    log = open_wal(root / "wal" / SINGLE_TENANT)
    for payload in payloads:
        log.append(payload).result()
    segments = [path.stem for path in (root / "wal" / SINGLE_TENANT).glob("*.wal")]
    log.close()
    return segments


def add_block(root: Path, *payloads: bytes, segments: tuple[str, ...] = ()) -> None:
    """Write and commit a block."""
    store = LocalObjectStore(root)
    meta = replace(write_block(store, build_tables(payloads)), wal_segments=segments)
    commits = CommitLog(store, SystemClock(), random.Random(1), writer="test")
    commits.commit(commits.new_change(add=(meta,)))


def open_directory(root: Path) -> Store:
    clock = ManualClock(NOW_NS)
    return Store(DirectoryBackend(root, clock=clock), clock=clock)


def names(store: Store) -> list[str]:
    return [span.name for span in store.search().spans]


def files(root: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in root.rglob("*")}


def test_blocks_and_log_are_answered_together(tmp_path: Path) -> None:
    add_block(tmp_path, FLUSHED)
    append(tmp_path, LIVE)
    store = open_directory(tmp_path)

    assert names(store) == ["live", "flushed"]
    assert [t.root_name for t in store.search("{ status = error }").traces] == ["flushed"]
    assert store.trace("2").spans[0].service == "bank"


def test_a_segment_whose_block_is_there_is_not_read_twice(tmp_path: Path) -> None:
    segments = append(tmp_path, FLUSHED)
    add_block(tmp_path, FLUSHED, segments=tuple(segments))

    answer = open_directory(tmp_path).search()
    assert [trace.matched for trace in answer.traces] == [1]
    assert answer.body["metrics"]["totalBlocks"] == 1


def test_each_question_sees_what_is_there_then(tmp_path: Path) -> None:
    append(tmp_path, FLUSHED)
    store = open_directory(tmp_path)
    before = names(store)
    append(tmp_path, LIVE)

    assert before == ["flushed"]
    assert names(store) == ["live", "flushed"]


def test_nothing_is_changed(tmp_path: Path) -> None:
    segments = append(tmp_path, FLUSHED)
    add_block(tmp_path, FLUSHED, segments=tuple(segments))
    before = files(tmp_path)
    store = open_directory(tmp_path)
    store.search()
    store.trace("1")

    assert files(tmp_path) == before


def test_order_count_and_pages(tmp_path: Path) -> None:
    """Traces of blocks and log, and one in both."""
    add_block(tmp_path, FLUSHED, request(spans=[span(trace=3, id=1, name="long", duration_ms=900)]))
    append(tmp_path, LIVE, request(spans=[span(trace=1, id=2, parent=1, start_ms=50)]))
    store = open_directory(tmp_path)

    first = store.search(sort="-duration", limit=2, count=True, explain=True)
    rest = store.search(sort="-duration", limit=2, count=True, cursor=first.next_cursor)
    assert [t.root_name for t in (*first.traces, *rest.traces)] == ["long", "flushed", "live"]
    assert first.total == rest.total == Total(traces=3, exact=True)
    assert rest.next_cursor is None
    assert first.explain is not None
    assert first.explain["sources"]["total"] == 2
    with pytest.raises(InvalidRequestError, match="belongs to another query or sort"):
        store.search(sort="duration", cursor=first.next_cursor)


def test_a_block_that_cannot_be_read_fails_a_search_or_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add_block(tmp_path, FLUSHED)
    append(tmp_path, LIVE)
    (damaged,) = tmp_path.rglob("spans.parquet")
    damaged.write_bytes(bytes(damaged.stat().st_size))
    store = open_directory(tmp_path)

    with pytest.raises(CorruptionError, match=damaged.parent.name):
        store.search()
    with caplog.at_level(logging.WARNING):
        found = store.search(partial=True, count=True)
    assert [trace.root_name for trace in found.traces] == ["live"]
    assert found.total == Total(traces=1, exact=False)
    assert not found.is_complete
    assert f"the answer lacks their spans ({damaged.parent.name})" in caplog.text


def test_a_window_bounds_it(tmp_path: Path) -> None:
    append(tmp_path, FLUSHED)
    store = open_directory(tmp_path)

    assert [t.root_name for t in store.search(last="61m").traces] == ["flushed"]
    assert store.search(last="59m").traces == ()


def test_what_cannot_be_read_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    append(tmp_path, FLUSHED, LIVE)
    (path,) = (tmp_path / "wal" / SINGLE_TENANT).glob("*.wal")
    content = bytearray(path.read_bytes())
    content[content.index(b"flushed")] ^= 1
    path.write_bytes(content)

    with caplog.at_level(logging.WARNING):
        assert names(open_directory(tmp_path)) == ["live"]
    assert "the spans in it are missing from the answer" in caplog.text
    assert str(path) in caplog.text


def test_a_torn_end_was_never_acknowledged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    append(tmp_path, FLUSHED, LIVE)
    (path,) = (tmp_path / "wal" / SINGLE_TENANT).glob("*.wal")
    path.write_bytes(path.read_bytes()[:-3])

    assert names(open_directory(tmp_path)) == ["flushed"]
    assert caplog.text == ""


def test_a_log_that_is_elsewhere_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    add_block(tmp_path, FLUSHED)

    assert names(open_directory(tmp_path)) == ["flushed"]
    assert "holds no write-ahead log" in caplog.text


def test_a_flush_in_between_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block is committed after the log was read: its spans must not be counted twice."""
    segments = append(tmp_path, FLUSHED)
    real = module.read_wal
    calls = []

    def read_and_flush(*args: object, **options: object) -> WalView:
        view = real(*args, **options)  # type: ignore[arg-type]  # passed on as they are
        calls.append(view.names)
        if len(calls) == 1:
            add_block(tmp_path, FLUSHED, segments=tuple(segments))
        return view

    monkeypatch.setattr(module, "read_wal", read_and_flush)
    answer = open_directory(tmp_path).search()

    assert calls == [frozenset(segments), frozenset()]
    assert answer.body["metrics"]["totalBlocks"] == 1
    assert [trace.matched for trace in answer.traces] == [1]


def test_a_directory_that_never_rests_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(tmp_path, FLUSHED)

    def gone(*args: object, **options: object) -> WalView:
        raise SegmentGoneError

    monkeypatch.setattr(module, "read_wal", gone)
    with pytest.raises(UnavailableError, match="changed 8 times while it was read"):
        open_directory(tmp_path).search()


def test_a_store_open_for_reading_refuses_to_write(tmp_path: Path) -> None:
    store = LocalObjectStore(tmp_path, read_only=True)

    for change in (
        lambda: store.put("a", b""),
        lambda: store.put_if_absent("a", b""),
        lambda: store.put_file("a", str(tmp_path / "x")),
        lambda: store.delete("a"),
    ):
        with pytest.raises(SettingsError, match=r"cannot change object a: .* is open for reading"):
            change()
    assert list(tmp_path.iterdir()) == []
