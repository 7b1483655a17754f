"""What the write-ahead log in the bucket costs against the one on disk, on a real S3 server.

Both servers keep blocks and index in the bucket; they take turns, so that CPU seconds of the same
run can be compared. Counted are the requests and bytes of the log alone (before the flush), the
server's CPU time with and without the flush, and how long one request at a time waits.

    python bench/bucket_wal.py --spans 300000 --runs 3
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

import grpc

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from ingest import EXPORT, call, cpu_seconds, send, start, wait_ready
from load import requests
from support.s3 import S3Server, place_in, running_s3

LONE_REQUESTS = 100


def lone_ms(target: str, payloads: list[bytes]) -> float:
    """Send one request after the other. Returns: the median time of one, in milliseconds."""
    times = []
    with grpc.insecure_channel(target) as channel:
        export = channel.unary_unary(EXPORT)
        for payload in payloads:
            started = time.perf_counter()
            export(payload)
            times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times)


def sample(text: str, name: str, labels: str) -> float:
    """Add up the samples of a series whose labels match."""
    found = re.findall(rf"^{name}{{{labels}}} (\S+)$", text, re.MULTILINE)
    return sum(map(float, found))


def put_counts(url: str) -> tuple[float, float]:
    """Get the conditional PUTs of the server so far, and the bytes that they sent."""
    text = call(f"{url}/metrics").decode()
    puts = sample(
        text, "tempodb_backend_request_duration_seconds_count", '.*operation="PUT_IF_ABSENT".*'
    )
    sent = sample(text, "tracestore_backend_transfer_bytes_total", '.*operation="PUT_IF_ABSENT".*')
    return puts, sent


def measure(
    server: S3Server, store: str, payloads: list[bytes], lone: list[bytes], spans: int
) -> dict[str, float]:
    """Take the load once."""
    flags = [*place_in(server).flags(), f"--ingester.wal.store={store}"]
    with tempfile.TemporaryDirectory() as directory:
        process, url, target = start(directory, flags)
        try:
            wait_ready(url, process)
            before_puts, before_sent = put_counts(url)
            idle, started = cpu_seconds(process.pid), time.monotonic()
            send(target, payloads)
            acknowledged_s = time.monotonic() - started
            after_puts, after_sent = put_counts(url)
            while "tracestore_pending_bytes 0" not in call(f"{url}/metrics").decode():
                time.sleep(0.05)
            searchable = cpu_seconds(process.pid) - idle
            call(f"{url}/flush")
            flushed = cpu_seconds(process.pid) - idle
            return {
                "spans per CPU s, until searchable": round(spans / searchable),
                "spans per CPU s, with the block": round(spans / flushed),
                "acknowledged after s": round(acknowledged_s, 2),
                "PUTs per million spans": round((after_puts - before_puts) / spans * 1e6),
                "MB sent per million spans": round((after_sent - before_sent) / spans, 1),
                "a lone request, median ms": round(lone_ms(target, lone), 1),
            }
        finally:
            process.terminate()
            process.wait(60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=300_000)
    parser.add_argument("--request", type=int, default=1000, help="spans in a request")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    payloads = list(requests(arguments.spans, spans_per_request=arguments.request))
    lone = list(requests(LONE_REQUESTS * 10, spans_per_request=10))
    print(f"{arguments.spans} spans of {sum(map(len, payloads)) / arguments.spans:.1f} bytes")
    runs: dict[str, list[dict[str, float]]] = {"disk": [], "bucket": []}
    with tempfile.TemporaryDirectory() as directory, running_s3(Path(directory)) as server:
        for _ in range(arguments.runs):
            for store, found in runs.items():
                found.append(measure(server, store, payloads, lone, arguments.spans))
    print(f"{'median of the runs':36} {'disk':>10} {'bucket':>10}")
    for name in runs["disk"][0]:
        medians = [statistics.median(run[name] for run in found) for found in runs.values()]
        print(f"{name:36} {medians[0]:10} {medians[1]:10}")


if __name__ == "__main__":
    main()
