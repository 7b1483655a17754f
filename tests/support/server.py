"""The real server as a process of its own, on free ports and a given data directory.

with running_server(tmp_path, "--ingester.max-block-bytes=200KiB") as server:
    httpx.get(f"{server.api_url}/api/echo")
"""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
POLL_S = 0.02
KEEP = "--compactor.compaction.block-retention=87600h"
"""Spans of tests are years old; without it they go as soon as retention comes around."""
FIRST_PORT, PORTS_PER_WORKER, WORKERS_MAX = 20_000, 3000, 4
_rng = random.Random(os.getpid())
OWN_GRPC = "{otlp_grpc}"
"""Stands in a flag for the address of the server's own receiver."""


@dataclass
class Server:
    """A running process, and where it answers."""

    process: subprocess.Popen[bytes]
    api_url: str
    otlp_grpc: str
    """host:port"""
    otlp_http: str
    """URL without path"""
    grpc: str
    """host:port of the streaming API"""
    zipkin: str
    """URL without path"""
    jaeger_http: str
    """URL without path"""
    jaeger_grpc: str
    """host:port"""
    log_path: Path

    def kill(self) -> None:
        """SIGKILL: nothing is finished, nothing flushed."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and wait for the drain. Returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_TIMEOUT_S)

    def metric(self, sample: str) -> float:
        """Read one sample without labels, or the sum over its labels; 0 if there is none."""
        text = httpx.get(f"{self.api_url}/metrics", timeout=30).text
        found = re.findall(rf"^{re.escape(sample)}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        return sum(float(value) for value in found)

    def wait_until_decoded(self, timeout_s: float = 30.0) -> None:
        """Wait until nothing that was acknowledged waits for decoding."""
        wait_until(lambda: self.metric("tracestore_pending_bytes") == 0, timeout_s)

    def log(self) -> str:
        """Read what the process has logged so far."""
        return self.log_path.read_text(errors="replace")


def wait_until(condition, timeout_s: float = 30.0) -> None:  # type: ignore[no-untyped-def]
    """Poll a condition. Raises: TimeoutError."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not true within {timeout_s} s: {condition}")
        time.sleep(POLL_S)


def free_ports(count: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> list[int]:
    """Find ports that nobody uses at the moment.

    They lie below those that the system gives to clients, and each worker of pytest-xdist has a
    range of its own: nobody takes them before the server that they are for.
    """
    worker = int(os.getenv("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = FIRST_PORT + PORTS_PER_WORKER * (worker % WORKERS_MAX)
    found: list[int] = []
    while len(found) < count:
        port = first + _rng.randrange(PORTS_PER_WORKER)
        with socket.socket(type=kind) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found += [port] if port not in found else []
    return found


def free_udp_port() -> int:
    """Find a port for datagrams that nobody uses at the moment."""
    (port,) = free_ports(1, socket.SOCK_DGRAM)
    return port


def start_server(
    data: Path, *flags: str, log_path: Path | None = None, grpc_port: int | None = None
) -> Server:
    """Start a process; it may still be replaying when this returns.

    Args:
        grpc_port: of the streaming API and of other processes; None: a free one.
    """
    api, free_port, grpc, http, zipkin, jaeger_http, jaeger_grpc = free_ports(7)
    queries = grpc_port or free_port
    log_path = log_path or data.parent / f"{data.name}.log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "tracestore.cli.main", "serve"),
                f"--storage.path={data}",
                KEEP,
                "--server.http-listen-address=127.0.0.1",
                f"--server.http-listen-port={api}",
                "--server.grpc-listen-address=127.0.0.1",
                f"--server.grpc-listen-port={queries}",
                f"--distributor.receivers.grpc.endpoint=127.0.0.1:{grpc}",
                f"--distributor.receivers.http.endpoint=127.0.0.1:{http}",
                f"--distributor.receivers.zipkin.endpoint=127.0.0.1:{zipkin}",
                f"--distributor.receivers.jaeger.thrift-http.endpoint=127.0.0.1:{jaeger_http}",
                f"--distributor.receivers.jaeger.grpc.endpoint=127.0.0.1:{jaeger_grpc}",
                *(flag.replace(OWN_GRPC, f"127.0.0.1:{grpc}") for flag in flags),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    return Server(
        process=process,
        api_url=f"http://127.0.0.1:{api}",
        otlp_grpc=f"127.0.0.1:{grpc}",
        otlp_http=f"http://127.0.0.1:{http}",
        grpc=f"127.0.0.1:{queries}",
        zipkin=f"http://127.0.0.1:{zipkin}",
        jaeger_http=f"http://127.0.0.1:{jaeger_http}",
        jaeger_grpc=f"127.0.0.1:{jaeger_grpc}",
        log_path=log_path,
    )


def wait_ready(server: Server) -> None:
    """Wait until the process answers, or tell what it logged."""

    def ready() -> bool:
        if server.process.poll() is not None:
            raise RuntimeError(f"the server ended:\n{server.log()}")
        try:
            return httpx.get(f"{server.api_url}/ready", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    wait_until(ready, START_TIMEOUT_S)


@contextmanager
def running_server(data: Path, *flags: str) -> Iterator[Server]:
    """Start a server, wait until it is ready, and stop it at the end.

    A server that was killed in between is left at that; one that stops badly fails the test.
    """
    server = start_server(data, *flags)
    try:
        wait_ready(server)
        yield server
        if server.process.poll() is None:
            code = server.stop()
            assert code == 0, f"exit code {code}:\n{server.log()}"
    finally:
        if server.process.poll() is None:
            server.kill()
