"""What the first answer of a cold process costs: a server just started, and the command line.

A data directory with one block of the synthetic load; before each run the pages of its files are
given back to the system, so that they are read from the disk. A server is asked once it says that
it is ready. CPU seconds are those of the process that answers; wall time depends on what else the
machine does.

    python bench/cold.py --spans 1000000 --runs 3
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from load import requests

from tracestore.clock import SystemClock
from tracestore.kernel import SpanBuilder
from tracestore.model.ids import SINGLE_TENANT, BlockId
from tracestore.settings.tree import BlockSettings
from tracestore.storage.block.writer import BlockIdentity, BlockWriter
from tracestore.storage.index.commits import CommitLog
from tracestore.storage.objects.local import LocalObjectStore

QUERIES = [
    "{ }",
    "{ status = error }",
    '{ resource.service.name = "cart-api" && duration > 50ms }',
    '{ span.url.path =~ "/api/v1/items/1.*" }',
    '{ span.no.such.key = "x" }',
    "{ kind = server } >> { status = error }",
    "{} | by(resource.service.name) | avg(duration) > 20ms",
]
COMMAND = [sys.executable, "-P", "-m", "tracestore.cli.main"]
READY_TIMEOUT_S = 120.0


def write_directory(directory: Path, spans: int) -> None:
    """Make a data directory as a server would leave it behind."""
    builder = SpanBuilder()
    for payload in requests(spans):
        builder.append(payload)
    clock = SystemClock()
    store = LocalObjectStore(directory)
    identity = BlockIdentity(id=BlockId(f"{1:032x}"), tenant=SINGLE_TENANT)
    meta = BlockWriter(store, BlockSettings(), clock).write(builder.freeze(), identity)
    commits = CommitLog(store, clock, random.Random(1), writer="bench")
    commits.commit(commits.new_change(add=(meta,)))


def forget_pages(directory: Path) -> None:
    """Give the pages of all files back to the system."""
    for path in directory.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def command_line(directory: Path, text: str) -> tuple[float, float]:
    """Search by ``tracestore query``, start of the process included: wall and CPU seconds."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [*COMMAND, "query", text, "--data", str(directory)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def first_of_server(directory: Path, text: str) -> tuple[float, float]:
    """Search as the first thing that a server is asked: wall and CPU seconds from there on."""
    ports = free_ports(7)
    names = ["server.http", "server.grpc"]
    flags = [f"--{name}-listen-address=127.0.0.1" for name in names]
    flags += [f"--{name}-listen-port={port}" for name, port in zip(names, ports, strict=False)]
    receivers = ["grpc", "http", "zipkin", "jaeger.thrift-http", "jaeger.grpc"]
    for name, port in zip(receivers, ports[2:], strict=True):
        flags.append(f"--distributor.receivers.{name}.endpoint=127.0.0.1:{port}")
    url = f"http://127.0.0.1:{ports[0]}"
    command = [*COMMAND, "serve", f"--storage.path={directory}", *flags]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_ready(f"{url}/ready", process)
        spent, begin = cpu_seconds(process.pid), time.monotonic()
        fetch(f"{url}/api/search?q={urllib.parse.quote(text)}")
        return time.monotonic() - begin, cpu_seconds(process.pid) - spent
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def free_ports(count: int) -> list[int]:
    """Find ports that nobody uses at the moment."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=READY_TIMEOUT_S) as answer:
        content: bytes = answer.read()
    return content


def wait_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until a server says so. Raises: TimeoutError."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            fetch(url)
        except urllib.error.URLError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("the server does not become ready")


def cpu_seconds(pid: int) -> float:
    """Get the CPU time of a process, from Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    ways: dict[str, Callable[[Path, str], tuple[float, float]]] = {
        "server, from ready to answer": first_of_server,
        "command line, whole process": command_line,
    }
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary) / "data"
        write_directory(directory, options.spans)
        for name, ask in ways.items():
            print(f"\n{name:64} {'wall s':>8} {'CPU s':>8}")
            for text in QUERIES:
                runs = []
                for _ in range(options.runs):
                    forget_pages(directory)
                    runs.append(ask(directory, text))
                wall, cpu = (statistics.median(column) for column in zip(*runs, strict=True))
                print(f"{text:64} {wall:8.2f} {cpu:8.2f}")


if __name__ == "__main__":
    main()
