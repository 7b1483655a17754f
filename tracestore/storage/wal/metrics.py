"""What the write-ahead log reports of itself, as a protocol that telemetry implements."""

from __future__ import annotations

from typing import Protocol


class WalMetrics(Protocol):
    """Called from any thread; must not block and must not raise."""

    def appended(self, records: int, stored_bytes: int, payload_bytes: int) -> None:
        """Count records made durable, as stored and before compression."""

    def synced(self, seconds: float, records: int) -> None:
        """Observe one sync and the records that shared it."""

    def commit_failed(self, records: int) -> None:
        """Count records refused because the disk did not take them."""

    def corrupt_record(self) -> None:
        """Count a damaged range of a segment, put in quarantine."""

    def torn_tail(self) -> None:
        """Count a segment whose last write was cut off."""

    def replayed(self, records: int, payload_bytes: int) -> None:
        """Count records read back at a start, or of an adopted log."""

    def adopted(self) -> None:
        """Count a log of another process that was written as blocks."""


class NoWalMetrics:
    """Reports nothing."""

    def appended(self, records: int, stored_bytes: int, payload_bytes: int) -> None:
        """Ignore."""

    def synced(self, seconds: float, records: int) -> None:
        """Ignore."""

    def commit_failed(self, records: int) -> None:
        """Ignore."""

    def corrupt_record(self) -> None:
        """Ignore."""

    def torn_tail(self) -> None:
        """Ignore."""

    def replayed(self, records: int, payload_bytes: int) -> None:
        """Ignore."""

    def adopted(self) -> None:
        """Ignore."""


NO_WAL_METRICS = NoWalMetrics()
