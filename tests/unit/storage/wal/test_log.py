import asyncio
import errno
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from support.clocks import ManualClock
from support.disks import FaultyDisk
from support.wal import TENANT, open_wal, payloads, replay_all

from tracestore.errors import InvalidRequestError, SettingsError, UnavailableError
from tracestore.settings.wal_tree import WalSettings
from tracestore.storage.wal import log as log_module

SMALL_SEGMENTS = WalSettings(segment_bytes_max=300, compression="none")


class Metrics:
    def __init__(self) -> None:
        self.appended_records = 0
        self.payload_bytes = 0
        self.stored_bytes = 0
        self.syncs: list[int] = []
        self.failed = 0

    def appended(self, records: int, stored_bytes: int, payload_bytes: int) -> None:
        self.appended_records += records
        self.stored_bytes += stored_bytes
        self.payload_bytes += payload_bytes

    def synced(self, seconds: float, records: int) -> None:
        self.syncs.append(records)

    def commit_failed(self, records: int) -> None:
        self.failed += records

    def corrupt_record(self) -> None:
        raise AssertionError("nothing is corrupt here")

    def torn_tail(self) -> None:
        raise AssertionError("nothing is torn here")

    def replayed(self, records: int, payload_bytes: int) -> None:
        raise AssertionError("nothing is replayed here")


def test_what_is_acknowledged_is_read_back_in_order(tmp_path: Path) -> None:
    wal = open_wal(tmp_path)
    positions = [wal.append(b"%d" % number).result() for number in range(5)]
    wal.close()

    assert payloads(tmp_path) == [b"0", b"1", b"2", b"3", b"4"]
    assert {position.segment for position in positions} == set(wal.segments())
    offsets = [position.offset for position in positions]
    assert offsets == sorted(offsets)


@pytest.mark.parametrize("compression", ["lz4", "zstd", "none"])
def test_each_codec_is_read_back(tmp_path: Path, compression: str) -> None:
    wal = open_wal(tmp_path, settings=WalSettings(compression=compression))
    wal.append(b"spans " * 1000).result()
    wal.close()

    assert payloads(tmp_path) == [b"spans " * 1000]


def test_a_coroutine_can_wait_for_an_append(tmp_path: Path) -> None:
    wal = open_wal(tmp_path)

    async def send() -> list[int]:
        done = [asyncio.wrap_future(wal.append(b"x")) for _ in range(3)]
        return [position.offset for position in await asyncio.gather(*done)]

    assert len(set(asyncio.run(send()))) == 3
    wal.close()


def test_many_threads_share_syncs_and_all_is_durable(tmp_path: Path) -> None:
    metrics = Metrics()
    gate = threading.Event()

    class SlowFirstSync(FaultyDisk):
        def sync(self, descriptor: int) -> None:
            super().sync(descriptor)
            gate.wait(10)

    disk = SlowFirstSync()
    wal = open_wal(tmp_path, disk=disk, metrics=metrics)
    first = wal.append(b"first")
    with ThreadPoolExecutor(64) as pool:
        waiting = list(pool.map(lambda n: wal.append(b"%d" % n), range(64)))
        gate.set()
        for done in [first, *waiting]:
            done.result(10)
    assert disk.counts["sync"] <= 4
    assert metrics.appended_records == 65
    assert sum(metrics.syncs) == 65
    assert sorted(payloads(tmp_path)) == sorted([b"first", *(b"%d" % n for n in range(64))])
    wal.close()


def test_a_sync_serves_no_more_bytes_than_set(tmp_path: Path) -> None:
    gate = threading.Event()

    class SlowSync(FaultyDisk):
        def sync(self, descriptor: int) -> None:
            gate.wait(10)
            super().sync(descriptor)

    metrics = Metrics()
    settings = WalSettings(commit_bytes_max=1000, compression="none")
    wal = open_wal(tmp_path, settings=settings, disk=SlowSync(), metrics=metrics)
    waiting = [wal.append(b"x" * size) for size in (1, 5000, 300, 300, 300)]
    gate.set()
    for done in waiting:
        done.result(10)
    wal.close()

    assert metrics.syncs[-3:] == [1, 2, 1] or metrics.syncs[-2:] == [2, 1]
    assert max(metrics.syncs) <= 2


def test_no_answer_before_the_sync(tmp_path: Path) -> None:
    entered, gate = threading.Event(), threading.Event()

    class Waiting(FaultyDisk):
        def sync(self, descriptor: int) -> None:
            entered.set()
            gate.wait(10)
            super().sync(descriptor)

    wal = open_wal(tmp_path, disk=Waiting())
    done = wal.append(b"x")
    assert entered.wait(10)
    assert not done.done()
    gate.set()
    done.result(10)
    wal.close()


def test_rotation_separates_before_from_after(tmp_path: Path) -> None:
    wal = open_wal(tmp_path)
    before = [wal.append(b"before") for _ in range(5)]
    rotation = wal.request_rotation()
    after = [wal.append(b"after") for _ in range(5)]
    sealed = rotation.result(10)

    assert {done.result().segment for done in before} == set(sealed)
    assert {done.result().segment for done in after}.isdisjoint(sealed)
    found, _ = replay_all(tmp_path)
    assert [found[name] for name in sealed] == [[b"before"] * 5]
    wal.close()


def test_a_segment_is_sealed_at_its_size_and_rotation_tells_all(tmp_path: Path) -> None:
    wal = open_wal(tmp_path, settings=SMALL_SEGMENTS)
    for _ in range(6):
        wal.append(b"x" * 200).result()
    sealed = wal.rotate()

    assert len(sealed) == 3
    assert sealed == sorted(sealed) == wal.segments()
    assert wal.rotate() == []
    wal.close()


def test_dropped_segments_are_gone(tmp_path: Path) -> None:
    wal = open_wal(tmp_path)
    wal.append(b"old").result()
    sealed = wal.rotate()
    wal.append(b"new").result()
    before = wal.size
    wal.drop(sealed)
    wal.drop(sealed)
    wal.drop(["unknown"])

    assert payloads(tmp_path) == [b"new"]
    assert set(sealed).isdisjoint(wal.segments())
    assert wal.size < before
    with pytest.raises(AssertionError, match="open segment"):
        wal.drop(wal.segments())
    wal.close()


def test_a_segment_of_an_earlier_process_is_kept_but_never_appended_to(tmp_path: Path) -> None:
    clock = ManualClock()
    first = open_wal(tmp_path, clock=clock)
    first.append(b"first").result()
    first.close()
    clock.advance(-3600)
    second = open_wal(tmp_path, clock=clock)
    (old,) = second.segments()
    new = second.append(b"second").result().segment

    assert new > old
    assert second.segments() == [old, new]
    assert payloads(tmp_path) == [b"first", b"second"]
    second.drop([old])
    assert payloads(tmp_path) == [b"second"]
    second.close()


def test_ids_made_within_a_millisecond_still_ascend(tmp_path: Path) -> None:
    wal = open_wal(tmp_path)
    for number in range(20):
        wal.append(b"%d" % number).result()
        wal.rotate()
    wal.close()

    assert payloads(tmp_path) == [b"%d" % number for number in range(20)]


def test_a_closed_log_has_written_what_was_queued_and_takes_no_more(tmp_path: Path) -> None:
    wal = open_wal(tmp_path)
    waiting = [wal.append(b"x") for _ in range(20)]
    wal.close()
    wal.close()

    assert all(done.done() for done in waiting)
    assert payloads(tmp_path) == [b"x"] * 20
    with pytest.raises(UnavailableError, match="closed"):
        wal.append(b"x")
    with pytest.raises(UnavailableError, match="closed"):
        wal.rotate()


def test_a_record_cancelled_in_the_queue_is_not_written(tmp_path: Path) -> None:
    entered, gate = threading.Event(), threading.Event()

    class Waiting(FaultyDisk):
        def sync(self, descriptor: int) -> None:
            entered.set()
            gate.wait(10)

    wal = open_wal(tmp_path, disk=Waiting())
    wal.append(b"first")
    assert entered.wait(10)
    assert wal.append(b"cancelled").cancel()
    last = wal.append(b"last")
    gate.set()
    last.result(10)
    wal.close()

    assert payloads(tmp_path) == [b"first", b"last"]


def test_a_full_queue_refuses_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "QUEUE_BYTES_MAX", 1000)
    entered, gate = threading.Event(), threading.Event()

    class Waiting(FaultyDisk):
        def sync(self, descriptor: int) -> None:
            entered.set()
            gate.wait(10)

    wal = open_wal(tmp_path, disk=Waiting(), settings=WalSettings(compression="none"))
    wal.append(b"written")
    assert entered.wait(10)
    wal.append(b"x" * 900)
    with pytest.raises(UnavailableError, match="waiting for the disk"):
        wal.append(b"x" * 900)
    gate.set()
    wal.close()

    assert payloads(tmp_path) == [b"written", b"x" * 900]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_mistake_in_the_writer_leaves_nobody_waiting(tmp_path: Path) -> None:
    class Broken(FaultyDisk):
        def sync(self, descriptor: int) -> None:
            raise SystemExit

    wal = open_wal(tmp_path, disk=Broken())
    with pytest.raises(UnavailableError, match="has ended"):
        wal.append(b"x").result(10)
    wal.close()
    with pytest.raises(UnavailableError, match="closed"):
        wal.append(b"x")


def test_wrong_settings_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="'gzip'"):
        open_wal(tmp_path, settings=replace(WalSettings(), compression="gzip"))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SettingsError, match="write-ahead log directory"):
        open_wal(tmp_path / "file")


def test_a_payload_beyond_a_record_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracestore.codec.wal_record.PAYLOAD_BYTES_MAX", 10)
    wal = open_wal(tmp_path)

    with pytest.raises(InvalidRequestError):
        wal.append(b"x" * 11)
    wal.close()


def test_a_drop_that_fails_can_be_repeated(tmp_path: Path) -> None:
    disk = FaultyDisk()
    wal = open_wal(tmp_path, disk=disk)
    wal.append(b"x").result()
    sealed = wal.rotate()
    disk.failing["unlink"] = errno.EIO
    with pytest.raises(UnavailableError, match=TENANT):
        wal.drop(sealed)
    disk.failing.clear()
    wal.drop(sealed)

    assert wal.segments() == []
    wal.close()
