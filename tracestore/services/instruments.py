"""What storage reports of itself, turned into the series of the process."""

from __future__ import annotations

from dataclasses import dataclass

from tracestore.telemetry import Metrics


@dataclass(frozen=True, slots=True)
class WalInstruments:
    """``storage.wal.metrics.WalMetrics`` over the series of the process."""

    metrics: Metrics

    def appended(self, records: int, stored_bytes: int, payload_bytes: int) -> None:
        """Count records made durable."""
        self.metrics.wal_records.inc(records)
        self.metrics.wal_bytes.inc(stored_bytes)

    def synced(self, seconds: float, records: int) -> None:
        """Observe one sync and the records that shared it."""
        self.metrics.wal_sync_seconds.observe(seconds)
        self.metrics.wal_records_per_sync.observe(records)

    def commit_failed(self, records: int) -> None:
        """Count records refused because the disk did not take them."""
        self.metrics.wal_failures.inc(records)

    def corrupt_record(self) -> None:
        """Count a damaged range of a segment, put in quarantine."""
        self.metrics.wal_corrupt_records.inc()

    def torn_tail(self) -> None:
        """Count a segment whose last write was cut off."""
        self.metrics.wal_torn_tails.inc()

    def replayed(self, records: int, payload_bytes: int) -> None:
        """Count records read back at a start."""
        self.metrics.wal_replayed_records.inc(records)

    def adopted(self) -> None:
        """Count a log of another process that was written as blocks."""
        self.metrics.wal_adopted_logs.inc()


@dataclass(frozen=True, slots=True)
class StoreInstruments:
    """``storage.objects.measured.StoreMetrics`` over the series of the process."""

    metrics: Metrics

    def request(
        self, operation: str, outcome: str, seconds: float, sent_bytes: int, received_bytes: int
    ) -> None:
        """Count a finished request."""
        name = operation.upper()
        self.metrics.backend_seconds.labels(name, _STATUS[outcome]).observe(seconds)
        if sent_bytes:
            self.metrics.backend_transfer.labels(name, "sent").inc(sent_bytes)
        if received_bytes:
            self.metrics.backend_transfer.labels(name, "received").inc(received_bytes)


_STATUS = {"ok": "200", "not_found": "404", "conflict": "409", "slow_down": "503", "error": "500"}
