"""All-in cost of ingest: one server process, OTLP/gRPC in, WAL, live tables, blocks.

Starts ``tracestore serve`` on a fresh data directory, sends the synthetic load of ``bench/load.py``
from this process, flushes, and reads the server's own CPU time and peak memory from the kernel.

    python bench/ingest.py --spans 1000000
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import deque
from pathlib import Path

import grpc

sys.path.insert(0, str(Path(__file__).parent))
from load import requests

IN_FLIGHT = 16
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--keep", help="data directory to leave behind for other benchmarks")
    parser.add_argument("flags", nargs="*", help="further flags of the server, after --")
    arguments = parser.parse_args()
    payloads = list(requests(arguments.spans))
    wire = sum(map(len, payloads))
    directory = arguments.keep or tempfile.mkdtemp()
    api, otlp, http = free_port(), free_port(), free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-P", "-m", "tracestore.cli.main", "serve"),
            f"--storage.path={directory}",
            f"--server.http-listen-port={api}",
            f"--distributor.receivers.grpc.endpoint=127.0.0.1:{otlp}",
            f"--distributor.receivers.http.endpoint=127.0.0.1:{http}",
            *arguments.flags,
        ]
    )
    try:
        url = f"http://127.0.0.1:{api}"
        wait_ready(url, process)
        idle = cpu_seconds(process.pid)
        started = time.monotonic()
        send(f"127.0.0.1:{otlp}", payloads)
        acknowledged = time.monotonic() - started
        call(f"{url}/flush")
        wall = time.monotonic() - started
        cpu = cpu_seconds(process.pid) - idle
        blocks = sum(f.stat().st_size for f in Path(directory, "blocks").rglob("*") if f.is_file())
        found = json.loads(call(f"{url}/api/search?q=%7B%7D&limit=5"))
        report = {
            "spans": arguments.spans,
            "wire bytes a span": round(wire / arguments.spans, 1),
            "start-up CPU s": round(idle, 2),
            "CPU s": round(cpu, 2),
            "spans per CPU second": round(arguments.spans / cpu),
            "acknowledged after s": round(acknowledged, 2),
            "flushed after s": round(wall, 2),
            "peak memory MB": round(peak_bytes(process.pid) / 1e6),
            "stored bytes a span": round(blocks / arguments.spans, 1),
            "blocks": len(list(Path(directory, "blocks").rglob("meta.json"))),
            "newest traces found": len(found["traces"]),
        }
        for name, value in report.items():
            print(f"{name:24} {value}")
    finally:
        process.terminate()
        process.wait(60)


if __name__ == "__main__":
    main()
