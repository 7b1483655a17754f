"""What the write-ahead log costs: CPU and bytes per MB of OTLP, by codec, with group commit.

``python bench/wal.py [--megabytes 200] [--senders 8] [--directory DIR]``
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
import time
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tracestore.clock import SystemClock
from tracestore.model.ids import SINGLE_TENANT
from tracestore.settings.wal_tree import MIB, WalSettings
from tracestore.storage.wal.log import WriteAheadLog
from tracestore.storage.wal.replay import Replay

SPANS = 800
"""Spans of a request, some 360 KB: what a collector's batch processor sends."""


def make_request(rng: random.Random) -> bytes:
    """Build a request of spans with a dozen attributes, some of them random."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    attribute = resource_spans.resource.attributes.add()
    attribute.key, attribute.value.string_value = "service.name", f"service-{rng.randrange(20)}"
    spans = resource_spans.scope_spans.add().spans
    for _ in range(SPANS):
        span = spans.add()
        span.trace_id, span.span_id = rng.randbytes(16), rng.randbytes(8)
        span.parent_span_id = rng.randbytes(8)
        span.name = f"GET /api/items/{rng.randrange(100)}"
        span.start_time_unix_nano = 1_700_000_000_000_000_000 + rng.randrange(10**9)
        span.end_time_unix_nano = span.start_time_unix_nano + rng.randrange(10**8)
        for number in range(6):
            entry = span.attributes.add()
            entry.key = f"http.request.attribute_{number}"
            entry.value.string_value = f"value-{number}-{rng.randrange(50)}"
        for number in range(6):
            entry = span.attributes.add()
            entry.key = f"http.response.number_{number}"
            entry.value.int_value = rng.randrange(10**6 if number == 0 else 600)
    return request.SerializeToString()


class CountingMetrics:
    """Adds up what the log reports."""

    def __init__(self) -> None:
        self.stored_bytes = 0
        self.payload_bytes = 0
        self.syncs = 0
        self.records = 0

    def appended(self, records: int, stored_bytes: int, payload_bytes: int) -> None:
        self.records += records
        self.stored_bytes += stored_bytes
        self.payload_bytes += payload_bytes

    def synced(self, seconds: float, records: int) -> None:
        self.syncs += 1

    def commit_failed(self, records: int) -> None:
        raise RuntimeError("the disk refused records")

    def corrupt_record(self) -> None:
        raise RuntimeError("a record is corrupt")

    def torn_tail(self) -> None:
        raise RuntimeError("a segment is torn")

    def replayed(self, records: int, payload_bytes: int) -> None:
        return


def measure(codec: str, requests: list[bytes], total: int, senders: int, parent: Path) -> None:
    """Append ``total`` requests from some threads, read them back, and print one line."""
    metrics = CountingMetrics()
    directory = parent / codec
    clock = SystemClock()
    settings = WalSettings(compression=codec)
    wal = WriteAheadLog(directory, settings, clock, SINGLE_TENANT, metrics=metrics)

    def send(first: int) -> None:
        for number in range(first, total, senders):
            wal.append(requests[number % len(requests)]).result()

    threads = [threading.Thread(target=send, args=(number,)) for number in range(senders)]
    cpu, wall = time.process_time(), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wal.close()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    replay_cpu = time.process_time()
    records = sum(1 for _, segment in Replay(directory).segments() for _ in segment)
    replay_cpu = time.process_time() - replay_cpu
    if records != total:
        raise RuntimeError(f"{records} of {total} records came back")
    megabytes = metrics.payload_bytes / 1e6
    print(
        f"{codec:5} {cpu / megabytes * 1e3:8.2f} {replay_cpu / megabytes * 1e3:8.2f} "
        f"{megabytes / wall:8.0f} {metrics.payload_bytes / metrics.stored_bytes:6.2f} "
        f"{metrics.records / metrics.syncs:8.2f} {total * SPANS / cpu / 1e6:8.2f}"
    )


def main() -> None:
    """Parse the command line and measure every codec."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--senders", type=int, default=8)
    parser.add_argument("--directory", default=None)
    arguments = parser.parse_args()
    rng = random.Random(1)
    requests = [make_request(rng) for _ in range(8)]
    total = max(arguments.senders, arguments.megabytes * 1_000_000 // len(requests[0]))
    print(f"{total} requests of {len(requests[0]) / 1e3:.0f} KB, {SPANS} spans each;", end=" ")
    print(f"segments of {WalSettings().segment_bytes_max // MIB} MiB")
    print("codec   ms/MB  read ms/MB   MB/s  ratio  per sync  Mspans/CPU-s")
    with tempfile.TemporaryDirectory(dir=arguments.directory) as parent:
        for codec in ("none", "lz4", "zstd"):
            measure(codec, requests, total, arguments.senders, Path(parent))


if __name__ == "__main__":
    main()
