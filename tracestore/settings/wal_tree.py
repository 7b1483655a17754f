"""The write-ahead log: where it is, how much one sync or one object holds, who takes over."""

from __future__ import annotations

from dataclasses import dataclass, field

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketWalSettings:
    """The write-ahead log in the bucket: an object a group commit."""

    commit_interval_s: float = 0.25
    """Longest wait of a record for its object, and the time between two objects while several
    senders wait; a lone one does not. Longer: fewer PUTs, later acknowledgements."""
    commit_bytes_max: int = 4 * MIB
    """Records that one object holds, together; so many are written without any wait."""
    puts_in_flight_max: int = 4
    """Objects being written at a time, 1 to 8. More: more throughput if the bucket is slow."""
    queue_bytes_max: int = 64 * MIB
    """Records that wait for the bucket; more are refused as retryable."""
    answer_wait_s: float = 10.0
    """How long a sender waits while the bucket does not answer; then it is asked to retry, and
    others are refused at once until the bucket answers again."""
    orphan_bytes_max: int = 1024 * MIB
    """Wire bytes that queries keep decoded of logs whose process is gone, until a peer has written
    them as blocks; a query that needs more is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WalSettings:
    """The write-ahead log."""

    store: str = "disk"
    """disk (a lost disk loses what is in no block yet) or bucket (a lost node loses nothing that
    was acknowledged; each acknowledgement waits for a PUT)."""
    path: str = ""
    """Directory of the segments; empty: ``wal`` in the data directory."""
    segment_bytes_max: int = 64 * MIB
    """A segment is sealed at this size. Larger: fewer files, but a longer replay after a crash."""
    commit_bytes_max: int = 16 * MIB
    """Records that one sync may serve, together."""
    compression: str = "auto"
    """none, lz4 (a quarter of the bytes, 7 % more CPU per span), zstd (a fifth of the bytes), or
    auto: none on disk, lz4 in the bucket."""
    adopt_after_s: float = 30.0
    """A log in the bucket whose process has not answered for so long is written as blocks by a
    peer; queries read it from the bucket meanwhile."""
    bucket: BucketWalSettings = field(default_factory=BucketWalSettings)
