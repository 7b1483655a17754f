"""All-in cost of ingest: one server process, OTLP/gRPC in, WAL, live tables, blocks.

Starts ``tracestore serve`` on a fresh data directory, sends the synthetic load of ``bench/load.py``
from this process, flushes, and reads the server's own CPU time and peak memory from the kernel.
Then asks for traces by ID, once cold and then warm.

CPU seconds grow on a machine that others use too. So each run also times a fixed piece of work
(zlib, level 1, over 16 MB of the load), and of several runs the best and the median are shown.

    python bench/ingest.py --spans 1000000 --runs 3
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import zlib
from collections import deque
from pathlib import Path

import grpc

sys.path.insert(0, str(Path(__file__).parent))
from load import requests

IN_FLIGHT = 16
LOOKUPS = 200
YARDSTICK_BYTES = 16_000_000
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and the children it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def peak_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM")


def call(url: str, timeout_s: float = 120.0) -> bytes:
    with urllib.request.urlopen(url, timeout=timeout_s) as reply:
        return bytes(reply.read())


def wait_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            call(f"{url}/ready", 1)
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def send(target: str, payloads: list[bytes]) -> None:
    """Send all requests, at most ``IN_FLIGHT`` unanswered at a time."""
    with grpc.insecure_channel(
        target, options=[("grpc.max_send_message_length", 1 << 27)]
    ) as channel:
        export = channel.unary_unary(EXPORT)
        waiting: deque[grpc.Future] = deque()
        for payload in payloads:
            if len(waiting) >= IN_FLIGHT:
                waiting.popleft().result()
            waiting.append(export.future(payload))
        for future in waiting:
            future.result()


def yardstick(payloads: list[bytes]) -> float:
    """Do the fixed piece of work. Returns: MB per CPU second."""
    content = b"".join(payloads[: 40_000_000 // len(payloads[0])])[:YARDSTICK_BYTES]
    started = time.process_time()
    zlib.compress(content, 1)
    return len(content) / 1e6 / (time.process_time() - started)


def start(directory: str, flags: list[str]) -> tuple[subprocess.Popen[bytes], str, str]:
    """Start a server on free ports. Returns: process, URL of the API, OTLP/gRPC target."""
    api, otlp = free_port(), free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-P", "-m", "tracestore.cli.main", "serve"),
            f"--storage.path={directory}",
            f"--server.http-listen-port={api}",
            "--server.grpc-listen-port=0",
            f"--distributor.receivers.grpc.endpoint=127.0.0.1:{otlp}",
            "--distributor.receivers.http.endpoint=127.0.0.1:0",
            "--server.log-level=warn",
            *flags,
        ]
    )
    return process, f"http://127.0.0.1:{api}", f"127.0.0.1:{otlp}"


def lookups(url: str, process: int) -> dict[str, float]:
    """Ask for traces by ID, all of them twice. Returns: figures of the second, warm pass."""
    found = json.loads(call(f"{url}/api/search?q=%7B%7D&limit={LOOKUPS}"))["traces"]
    for _ in ("cold", "warm"):
        times, cpu = [], cpu_seconds(process)
        for trace in found:
            started = time.perf_counter()
            call(f"{url}/api/traces/{trace['traceID']}")
            times.append((time.perf_counter() - started) * 1e3)
        cpu = cpu_seconds(process) - cpu
    return {
        "trace by ID, median ms": round(statistics.median(times), 1),
        "trace by ID, 95 % ms": round(sorted(times)[len(times) * 95 // 100], 1),
        "trace by ID, CPU ms": round(cpu / len(found) * 1e3, 1),
    }


def measure(
    payloads: list[bytes], spans: int, directory: str, flags: list[str]
) -> dict[str, float]:
    """Take the load once."""
    fixed = yardstick(payloads)
    process, url, target = start(directory, flags)
    try:
        wait_ready(url, process)
        idle = cpu_seconds(process.pid)
        started = time.monotonic()
        send(target, payloads)
        acknowledged = time.monotonic() - started
        call(f"{url}/flush")
        wall = time.monotonic() - started
        cpu = cpu_seconds(process.pid) - idle
        peak = peak_bytes(process.pid)
        blocks = sum(f.stat().st_size for f in Path(directory, "blocks").rglob("*") if f.is_file())
        return {
            "spans per CPU second": round(spans / cpu),
            "peak memory MB": round(peak / 1e6),
            "stored bytes a span": round(blocks / spans, 1),
            "blocks": len(list(Path(directory, "blocks").rglob("meta.json"))),
            "CPU s": round(cpu, 2),
            "start-up CPU s": round(idle, 2),
            "acknowledged after s": round(acknowledged, 2),
            "flushed after s": round(wall, 2),
            **lookups(url, process.pid),
            "yardstick MB per CPU s": round(fixed, 1),
        }
    finally:
        process.terminate()
        process.wait(60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--request", type=int, default=1000, help="spans in a request")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--keep", help="data directory to leave behind for other benchmarks")
    parser.add_argument("flags", nargs="*", help="further flags of the server, after --")
    arguments = parser.parse_args()
    payloads = list(requests(arguments.spans, spans_per_request=arguments.request))
    print(f"{arguments.spans} spans of {sum(map(len, payloads)) / arguments.spans:.1f} bytes")
    runs = []
    for _ in range(arguments.runs):
        directory = arguments.keep or tempfile.mkdtemp()
        runs.append(measure(payloads, arguments.spans, directory, arguments.flags))
        if not arguments.keep:
            shutil.rmtree(directory)
    print(f"{'':24} {'least':>10} {'median':>10} {'most':>10}")
    for name in runs[0]:
        values = [run[name] for run in runs]
        print(f"{name:24} {min(values):10} {statistics.median(values):10} {max(values):10}")


if __name__ == "__main__":
    main()
