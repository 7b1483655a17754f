"""Short cuts for tests of the write-ahead log."""

from __future__ import annotations

from pathlib import Path

from support.clocks import ManualClock

from tracestore.model.ids import TenantId
from tracestore.settings.wal_tree import WalSettings
from tracestore.storage.disk import OS_DISK, Disk
from tracestore.storage.wal.log import WriteAheadLog
from tracestore.storage.wal.metrics import NO_WAL_METRICS, WalMetrics
from tracestore.storage.wal.replay import Replay, ReplayStats

TENANT = TenantId("shop")


def open_wal(
    directory: Path,
    *,
    settings: WalSettings | None = None,
    clock: ManualClock | None = None,
    disk: Disk = OS_DISK,
    metrics: WalMetrics = NO_WAL_METRICS,
) -> WriteAheadLog:
    """Open the log of one tenant."""
    return WriteAheadLog(
        directory,
        settings or WalSettings(),
        clock or ManualClock(),
        TENANT,
        disk=disk,
        metrics=metrics,
    )


def replay_all(
    directory: Path, skip: frozenset[str] = frozenset()
) -> tuple[dict[str, list[bytes]], ReplayStats]:
    """Read all payloads back by segment, with the statistics."""
    replay = Replay(directory, skip)
    found = {name: [record.payload for record in records] for name, records in replay.segments()}
    return found, replay.stats


def payloads(directory: Path) -> list[bytes]:
    """Read all payloads back, in order, from segments in which nothing else is."""
    found, stats = replay_all(directory)
    assert (stats.torn, stats.quarantined) == (0, 0)
    return [payload for records in found.values() for payload in records]
