"""Series of remote write, with the names that Prometheus has for its own.

Part of ``telemetry.Metrics``; apart for its size. Source: wire contract, section 21.6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import Counter, Gauge, Histogram

_REMOTE = ("tenant", "remote_name", "url")
_REASON = (*_REMOTE, "reason")
_BATCH_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120, 300)


Labels = tuple[str, ...]
MakeCounter = Callable[[str, str, Labels], Counter]
MakeGauge = Callable[[str, str, Labels], Gauge]
MakeHistogram = Callable[[str, str, Labels, Sequence[float]], Histogram]


class RemoteWriteMetrics:
    """Instruments of remote write, by kind of item where there are three of them."""

    def __init__(self, counter: MakeCounter, gauge: MakeGauge, histogram: MakeHistogram) -> None:
        kinds = ("samples", "exemplars", "histograms")

        def counters(suffix: str, text: str, labels: tuple[str, ...]) -> dict[str, Counter]:
            return {
                kind: counter(
                    f"prometheus_remote_storage_{kind}_{suffix}",
                    text.format(kind=kind.capitalize()),
                    labels,
                )
                for kind in kinds
            }

        self.taken = counters("in_total", "{kind} put into the queue.", _REMOTE)
        self.sent = counters(
            "total", "{kind} that were sent, those that were refused included.", _REMOTE
        )
        self.failed = counters(
            "failed_total", "{kind} that the receiver refused for good, or did not take.", _REMOTE
        )
        self.dropped = counters(
            "dropped_total",
            "{kind} that were not sent: dropped_series (rules of relabelling), too_old, "
            "queue_overflow, corrupt_queue, unknown_series, queue_unwritable.",
            _REASON,
        )
        self.retried = counters(
            "retried_total", "{kind} in requests that failed and are made again.", _REMOTE
        )
        self.pending = {
            kind: gauge(
                f"prometheus_remote_storage_{kind}_pending",
                f"{kind.capitalize()} in the queue on disk.",
                _REMOTE,
            )
            for kind in kinds
        }
        self.bytes = counter(
            "prometheus_remote_storage_bytes_total", "Bytes sent, compressed.", _REMOTE
        )
        self.metadata = counter(
            "prometheus_remote_storage_metadata_total",
            "Metrics whose type and help were sent, in remote write 1.0.",
            _REMOTE,
        )
        self.metadata_failed = counter(
            "prometheus_remote_storage_metadata_failed_total",
            "Those that were not taken.",
            _REMOTE,
        )
        self._declare_state(counter, gauge, histogram)

    def _declare_state(
        self, counter: MakeCounter, gauge: MakeGauge, histogram: MakeHistogram
    ) -> None:
        self.highest_taken = gauge(
            "prometheus_remote_storage_highest_timestamp_in_seconds",
            "Latest time of a sample that was put into the queue.",
            _REMOTE,
        )
        self.highest_sent = gauge(
            "prometheus_remote_storage_queue_highest_sent_timestamp_seconds",
            "Time of the latest collection that was sent.",
            _REMOTE,
        )
        self.batch_seconds = histogram(
            "prometheus_remote_storage_sent_batch_duration_seconds",
            "Time of one request.",
            _REMOTE,
            _BATCH_BUCKETS,
        )
        self.shards = gauge(
            "prometheus_remote_storage_shards", "Requests on their way or waiting.", _REMOTE
        )
        self.shards_max = gauge(
            "prometheus_remote_storage_shards_max", "Most of them at a time.", _REMOTE
        )
        self.max_samples_per_send = gauge(
            "prometheus_remote_storage_max_samples_per_send", "Samples of one request.", _REMOTE
        )
        self.protocol = gauge(
            "tracestore_remote_write_protocol_version",
            "Version of remote write that is spoken: 1 or 2.",
            _REMOTE,
        )
        self.queue_bytes = gauge(
            "tracestore_remote_write_queue_bytes", "Bytes of the queue on disk.", ("tenant",)
        )
        self.queue_damages = counter(
            "tracestore_remote_write_queue_damages_total",
            "Parts of the queue that could not be read: torn (the last write before a crash), or "
            "corrupt.",
            ("tenant", "kind"),
        )
