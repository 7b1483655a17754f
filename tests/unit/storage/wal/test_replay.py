import logging
from pathlib import Path

import google_crc32c
import pytest
from support.wal import open_wal, replay_all

from tracestore.errors import CorruptionError
from tracestore.storage.wal.replay import Replay
from tracestore.storage.wal.segment import segment_path


class Metrics:
    def __init__(self) -> None:
        self.corrupt = 0
        self.torn = 0
        self.records = 0

    def appended(self, records: int, stored_bytes: int, payload_bytes: int) -> None:
        raise AssertionError("nothing is appended here")

    def synced(self, seconds: float, records: int) -> None:
        raise AssertionError("nothing is synced here")

    def commit_failed(self, records: int) -> None:
        raise AssertionError("nothing is committed here")

    def corrupt_record(self) -> None:
        self.corrupt += 1

    def torn_tail(self) -> None:
        self.torn += 1

    def replayed(self, records: int, payload_bytes: int) -> None:
        self.records += records


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A log of two segments, of the records 0 to 2 and 3 to 5."""
    directory = tmp_path / "wal" / "shop"
    wal = open_wal(directory)
    for number in range(6):
        wal.append(b"record %d" % number).result()
        if number == 2:
            wal.rotate()
    wal.close()
    return directory


def test_records_come_back_by_segment_with_their_time_and_tenant(directory: Path) -> None:
    replay = Replay(directory)
    segments = [(name, list(records)) for name, records in replay.segments()]

    assert [name for name, _ in segments] == sorted(path.stem for path in directory.iterdir())
    assert [[record.payload for record in records] for _, records in segments] == [
        [b"record 0", b"record 1", b"record 2"],
        [b"record 3", b"record 4", b"record 5"],
    ]
    assert {record.tenant for _, records in segments for record in records} == {"shop"}
    assert segments[0][1][0].received_ns == 1_700_000_000_000_000_000
    assert (replay.stats.records, replay.stats.payload_bytes) == (6, 48)


def test_segments_that_a_block_holds_are_deleted_unread(directory: Path) -> None:
    first, second = sorted(path.stem for path in directory.iterdir())
    segment_path(directory, first).write_bytes(b"whatever")
    found, stats = replay_all(directory, frozenset({first, "long gone"}))

    assert list(found) == [second]
    assert not segment_path(directory, first).exists()
    assert (stats.skipped, stats.segments) == (1, 1)


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    assert replay_all(tmp_path / "missing")[0] == {}


def test_a_corrupt_record_is_kept_counted_logged_and_passed_over(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = min(path.stem for path in directory.iterdir())
    path = segment_path(directory, name)
    content = bytearray(path.read_bytes())
    content[content.index(b"record 1")] ^= 1
    path.write_bytes(content)
    metrics = Metrics()
    replay = Replay(directory, metrics=metrics)
    with caplog.at_level(logging.INFO, "tracestore.wal"):
        found = [record.payload for _, records in replay.segments() for record in records]

    assert found == [b"record %d" % number for number in (0, 2, 3, 4, 5)]
    assert (metrics.corrupt, metrics.torn, metrics.records) == (1, 0, 5)
    assert replay.stats.quarantined == 1
    (entry,) = caplog.records
    kept = directory.parent / "@quarantine" / f"{name}-{entry.offset}.bin"
    assert entry.levelno == logging.ERROR
    assert entry.file == str(path)
    assert kept.read_bytes() == content[entry.offset : entry.offset + entry.bytes]
    assert b"ecord 1" in kept.read_bytes()
    assert [path.suffix for path in kept.parent.iterdir()] == [".bin"]


def test_a_quarantine_that_cannot_be_written_does_not_stop_the_start(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (directory.parent / "@quarantine").write_bytes(b"in the way")
    path = min(directory.iterdir())
    content = bytearray(path.read_bytes())
    content[content.index(b"record 0")] ^= 1
    path.write_bytes(content)
    found, stats = replay_all(directory)

    assert sum(map(len, found.values())) == 5
    assert stats.quarantined == 1
    assert "could not be put in quarantine" in caplog.text


def test_a_torn_tail_is_cut_off_and_counted(directory: Path) -> None:
    path = max(directory.iterdir())
    path.write_bytes(path.read_bytes()[:-3])
    metrics = Metrics()
    replay = Replay(directory, metrics=metrics)
    found = [record.payload for _, records in replay.segments() for record in records]

    assert found == [b"record %d" % number for number in range(5)]
    assert (metrics.torn, metrics.corrupt) == (1, 0)
    assert not (directory.parent / "@quarantine").exists()


def test_an_empty_file_is_a_segment_without_records(directory: Path) -> None:
    (directory / "zzz.wal").write_bytes(b"")
    found, stats = replay_all(directory)

    assert found["zzz"] == []
    assert stats.quarantined == 0


def test_a_segment_of_a_newer_version_stops_the_start(directory: Path) -> None:
    head = b"TSWALSEG\x02\x00\x00\x00"
    crc = google_crc32c.value(head).to_bytes(4, "little")
    (directory / "zzz.wal").write_bytes(head + crc + b"...")
    with pytest.raises(CorruptionError, match="version 2"):
        replay_all(directory)
