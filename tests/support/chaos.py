"""Three nodes on one bucket under load, while nodes and bucket are being broken.

What was acknowledged is written down; at any time answers must hold it, or fail openly. At the end
each acknowledged span must be there, once, by ID, in search and in metrics.
"""

from __future__ import annotations

import random
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from support.fault_proxy import Faults, running_proxy
from support.server import Server, free_ports, start_server, wait_until

from tracestore.clock import SystemClock

NODES = 3
SPANS_PER_REQUEST = 20
TRACES_PER_REQUEST = 5
REPLY_TIMEOUT_S = 30.0
FLAGS = (
    "--ingester.wal.store=bucket",
    "--ingester.wal.adopt-after-s=4",
    "--ingester.max-block-duration-s=4",
    "--compactor.compaction.compaction-cycle=1s",
    "--compactor.compaction.min-input-blocks=2",
    "--compactor.compaction.lease-s=4",
    "--compactor.compaction.compacted-block-retention=20s",
    "--query.live.open-timeout-s=1",
    "--server.drain-timeout-s=10",
    "--server.log-level=info",
)


@dataclass
class Ledger:
    """What was sent, and what was promised. Thread-safe."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    sent: dict[bytes, set[bytes]] = field(default_factory=dict)
    """Span IDs by trace ID, also of requests that were refused or never answered."""
    acknowledged: dict[bytes, set[bytes]] = field(default_factory=dict)
    acknowledged_spans: int = 0
    sent_spans: int = 0
    refused: int = 0

    def send(self, spans: dict[bytes, set[bytes]]) -> None:
        """Write down what is about to be sent."""
        with self.lock:
            for trace, ids in spans.items():
                self.sent.setdefault(trace, set()).update(ids)
            self.sent_spans += sum(len(ids) for ids in spans.values())

    def promise(self, spans: dict[bytes, set[bytes]]) -> None:
        """Write down what was acknowledged."""
        with self.lock:
            for trace, ids in spans.items():
                self.acknowledged.setdefault(trace, set()).update(ids)
            self.acknowledged_spans += sum(len(ids) for ids in spans.values())

    def sample(self, rng: random.Random) -> tuple[bytes, set[bytes]] | None:
        """Take a trace of which something was acknowledged."""
        with self.lock:
            if not self.acknowledged:
                return None
            trace = rng.choice(list(self.acknowledged))
            return trace, set(self.acknowledged[trace])


@dataclass
class Report:
    """What happened."""

    faults: Counter[str] = field(default_factory=Counter)
    queries: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    """Answers that were wrong or silently partial: there must be none."""
    sent_spans: int = 0
    acknowledged_spans: int = 0
    found_spans: int = 0
    refused_requests: int = 0
    merges: int = 0
    """Merges of blocks that were committed, by all nodes together."""

    def __str__(self) -> str:
        lines = [
            f"spans: {self.sent_spans} sent, {self.acknowledged_spans} acknowledged",
            f"found: {self.found_spans}; requests given up: {self.refused_requests}",
            f"merges of blocks: {self.merges}",
            "faults: " + ", ".join(f"{name} {n}" for name, n in sorted(self.faults.items())),
            "queries: " + ", ".join(f"{name} {n}" for name, n in sorted(self.queries.items())),
            f"wrong answers: {len(self.wrong)}",
            *self.wrong[:20],
        ]
        return "\n".join(lines)


class Cluster:
    """Nodes that can be broken and are started again."""

    def __init__(self, directory: Path, flags: list[str]) -> None:
        self._directory = directory
        self._ports = free_ports(NODES)
        members = ",".join(f"127.0.0.1:{port}" for port in self._ports)
        self._flags = [*flags, *FLAGS, f"--members.static={members}"]
        self._lock = threading.Lock()
        self.nodes: list[Server] = [self._start(node) for node in range(NODES)]

    def _start(self, node: int) -> Server:
        return start_server(
            self._directory / f"node-{node}",
            *self._flags,
            log_path=self._directory / f"node-{node}.log",
            grpc_port=self._ports[node],
        )

    def any(self, rng: random.Random) -> Server:
        """Take a node, whatever state it is in."""
        with self._lock:
            return rng.choice(self.nodes)

    def kill(self, node: int) -> None:
        """SIGKILL."""
        self.nodes[node].kill()

    def pause(self, node: int) -> None:
        """SIGSTOP."""
        self.nodes[node].process.send_signal(signal.SIGSTOP)

    def wake(self, node: int) -> None:
        """SIGCONT."""
        self.nodes[node].process.send_signal(signal.SIGCONT)

    def revive(self, node: int) -> bool:
        """Start a node again if it has ended. Returns: whether it had."""
        if self.nodes[node].process.poll() is None:
            return False
        server = self._start(node)
        with self._lock:
            self.nodes[node] = server
        return True

    def is_ready(self, node: int) -> bool:
        """Ask a node."""
        try:
            return httpx.get(f"{self.nodes[node].api_url}/ready", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def heal(self, timeout_s: float = 90.0) -> None:
        """Start what has ended, until all are ready."""

        def healthy() -> bool:
            for node in range(NODES):
                self.revive(node)
            return all(self.is_ready(node) for node in range(NODES))

        wait_until(healthy, timeout_s)

    def stop(self) -> None:
        """Stop all of them."""
        for node in range(NODES):
            if self.nodes[node].process.poll() is None:
                self.wake(node)
                self.nodes[node].process.terminate()
        for server in self.nodes:
            if server.process.poll() is None:
                try:
                    server.process.wait(40)
                except subprocess.TimeoutExpired:
                    server.kill()


class Chaos:
    """One run."""

    def __init__(self, cluster: Cluster, faults: Faults, seed: int, *, rate: float) -> None:
        """Args:
        rate: requests a second, in all.
        """
        self.cluster = cluster
        self.faults = faults
        self.ledger = Ledger()
        self.report = Report(faults=faults.done)
        self._rate = rate
        self._rng = random.Random(seed)
        self._stop = threading.Event()
        self._began_s = int(SystemClock().now_ns() // 10**9)

    def run(self, duration_s: float) -> Report:
        """Load, break and ask for a while, then look at everything."""
        threads = [
            threading.Thread(target=self._repeat, args=(work, self._rng.getrandbits(32)))
            for work in (self._send, self._send, self._ask)
        ]
        breaker = threading.Thread(target=self._break, args=(self._rng.getrandbits(32),))
        for thread in (*threads, breaker):
            thread.start()
        self._stop.wait(duration_s)
        self._stop.set()
        for thread in (*threads, breaker):
            thread.join()
        for name in ("refuse", "reset", "lose", "delay"):
            setattr(self.faults, name, 0.0)
        self.cluster.heal()
        self.verify()
        return self.report

    def _repeat(self, work: Callable[[random.Random], None], seed: int) -> None:
        rng = random.Random(seed)
        try:
            while not self._stop.is_set():
                work(rng)
        except Exception as error:  # a thread that ends unseen would check nothing any more
            self.report.wrong.append(f"{work.__name__} ended: {error!r}")
            self._stop.set()

    # --- load ---------------------------------------------------------------------------------

    def _send(self, rng: random.Random) -> None:
        """Send one request to one node; parts of its traces go with the next ones, elsewhere."""
        traces = [rng.randbytes(16) for _ in range(TRACES_PER_REQUEST)]
        for _ in range(2):
            self._send_part(rng, traces)
        self._stop.wait(2 * 2 / self._rate)

    def _send_part(self, rng: random.Random, traces: list[bytes]) -> None:
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        service = resource.resource.attributes.add(key="service.name")
        service.value.string_value = f"service-{rng.randrange(5)}"
        scope = resource.scope_spans.add()
        spans: dict[bytes, set[bytes]] = {}
        now_ns = SystemClock().now_ns()
        for number in range(SPANS_PER_REQUEST):
            trace, id = traces[number % len(traces)], rng.randbytes(8)
            scope.spans.append(
                Span(
                    trace_id=trace,
                    span_id=id,
                    name=f"operation {number % 7}",
                    start_time_unix_nano=now_ns,
                    end_time_unix_nano=now_ns + 1_000_000,
                )
            )
            spans.setdefault(trace, set()).add(id)
        self.ledger.send(spans)
        body = request.SerializeToString()
        for _ in range(3):  # as an exporter does: the same again, maybe elsewhere
            node = self.cluster.any(rng)
            try:
                answer = httpx.post(
                    f"{node.otlp_http}/v1/traces",
                    content=body,
                    headers={"content-type": "application/x-protobuf"},
                    timeout=REPLY_TIMEOUT_S / 3,
                )
            except httpx.HTTPError:
                continue
            if answer.status_code == 200:
                self.ledger.promise(spans)
                return
            if answer.status_code not in (429, 502, 503, 504):
                self.report.wrong.append(f"push: {answer.status_code} {answer.text[:200]}")
            self._stop.wait(0.2)
        with self.ledger.lock:
            self.ledger.refused += 1

    # --- breaking -----------------------------------------------------------------------------

    def _break(self, seed: int) -> None:
        rng = random.Random(seed)
        while not self._stop.wait(rng.uniform(0.5, 2.5)):
            node = rng.randrange(NODES)
            others = [other for other in range(NODES) if other != node]
            if not all(self.cluster.is_ready(other) for other in others):
                for other in range(NODES):
                    self.cluster.revive(other)
                continue  # one at a time is lost
            if rng.random() < 0.5:
                self.faults.done["kill -9"] += 1
                self.cluster.kill(node)
                self._stop.wait(rng.uniform(0, 6))
            elif rng.random() < 0.7:
                self.faults.done["pause"] += 1
                self.cluster.pause(node)
                self._stop.wait(rng.uniform(1, 8))
                self.cluster.wake(node)
            else:
                self.faults.done["restart"] += 1
                self.cluster.nodes[node].process.terminate()
                self._stop.wait(rng.uniform(0, 6))
            self.cluster.revive(node)

    # --- asking -------------------------------------------------------------------------------

    def _ask(self, rng: random.Random) -> None:
        self._stop.wait(0.1)
        node = self.cluster.any(rng)
        try:
            if rng.random() < 0.5:
                self._ask_for_trace(node, rng)
            else:
                self._ask_for_count(node)
        except httpx.HTTPError:
            self.report.queries["no answer"] += 1

    def _ask_for_trace(self, node: Server, rng: random.Random) -> None:
        sample = self.ledger.sample(rng)
        if sample is None:
            return
        trace, promised = sample
        answer = httpx.get(f"{node.api_url}/api/traces/{trace.hex()}", timeout=REPLY_TIMEOUT_S)
        if answer.status_code in (503, 504):
            self.report.queries["refused openly"] += 1
            return
        self.report.queries["trace by ID"] += 1
        if answer.status_code != 200:
            text = f"trace {trace.hex()}: {answer.status_code} {answer.text[:200]}"
            self.report.wrong.append(text)
            return
        found = list(span_ids(answer.json()))
        if not promised <= set(found) or len(set(found)) != len(found):
            self.report.wrong.append(
                f"trace {trace.hex()} of {node.api_url}: {len(promised - set(found))} of "
                f"{len(promised)} acknowledged spans are missing, {len(found)} in the answer"
            )

    def _ask_for_count(self, node: Server) -> None:
        with self.ledger.lock:
            least = self.ledger.acknowledged_spans
        found = self.count(node)
        with self.ledger.lock:
            most = self.ledger.sent_spans
        if found is None:
            self.report.queries["refused openly"] += 1
            return
        self.report.queries["metrics"] += 1
        if not least <= found <= most:
            self.report.wrong.append(
                f"count of {node.api_url}: {found}, acknowledged {least}, sent {most}"
            )

    def count(self, node: Server) -> int | None:
        """Count all spans; None if the node says that it cannot."""
        window = {
            "start": str(self._began_s - 60),
            "end": str(int(SystemClock().now_ns() // 10**9) + 60),
        }
        params = {"q": "{ } | count_over_time()", **window}
        url = f"{node.api_url}/api/metrics/query"
        answer = httpx.get(url, params=params, timeout=REPLY_TIMEOUT_S)
        if answer.status_code in (503, 504):
            return None
        assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
        return int(sum(series.get("value", 0) for series in answer.json().get("series", [])))

    # --- the end ------------------------------------------------------------------------------

    def verify(self) -> None:
        """Look for every span that was ever sent: by ID, in search, in metrics, on each node."""
        ledger, report = self.ledger, self.report
        report.sent_spans, report.acknowledged_spans = ledger.sent_spans, ledger.acknowledged_spans
        report.refused_requests = ledger.refused
        report.merges = sum(node.log().count("blocks were merged") for node in self.cluster.nodes)
        found_spans, found_traces = 0, set()
        with httpx.Client(timeout=REPLY_TIMEOUT_S) as client:
            for number, (trace, sent) in enumerate(ledger.sent.items()):
                url = self.cluster.nodes[number % NODES].api_url
                answer = client.get(f"{url}/api/traces/{trace.hex()}")
                ids = list(span_ids(answer.json())) if answer.status_code == 200 else []
                promised = ledger.acknowledged.get(trace, set())
                if not promised <= set(ids) or len(ids) != len(set(ids)) or not set(ids) <= sent:
                    report.wrong.append(
                        f"at the end trace {trace.hex()}: {answer.status_code}, {len(ids)} spans, "
                        f"{len(promised - set(ids))} of {len(promised)} acknowledged ones missing"
                    )
                if ids:
                    found_traces.add(trace)
                found_spans += len(set(ids))
            report.found_spans = found_spans
            for node in self.cluster.nodes:
                counted = self.count(node)
                if counted != found_spans:
                    report.wrong.append(f"at the end metrics count {counted}, found {found_spans}")
                listed = self._search(client, node)
                if listed != found_traces:
                    lacking = len(found_traces - listed)
                    report.wrong.append(f"at the end search lacks {lacking} traces")

    def _search(self, client: httpx.Client, node: Server) -> set[bytes]:
        params = {"q": "{ }", "limit": str(len(self.ledger.sent) + 1), "spss": "1"}
        answer = client.get(f"{node.api_url}/api/search", params=params)
        assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
        ids = [bytes.fromhex(t["traceID"].zfill(32)) for t in answer.json()["traces"]]
        assert len(ids) == len(set(ids))
        return set(ids)


def span_ids(trace: dict) -> Iterator[bytes]:  # type: ignore[type-arg] # JSON
    """Get the IDs of the spans of a trace by ID, version 1 of the API."""
    import base64

    for batch in trace.get("batches", trace.get("resourceSpans", [])):
        for scope in batch.get("scopeSpans", []):
            for span in scope.get("spans", []):
                yield base64.b64decode(span["spanId"])


@contextmanager
def running_chaos(
    directory: Path, flags: Callable[[str], list[str]], upstream: str, *, seed: int, rate: float
) -> Iterator[Chaos]:
    """Start the nodes behind a proxy.

    Args:
        flags: of a process whose bucket is at an endpoint, host:port.
        upstream: host:port of the S3 server.
    """
    faults = Faults()
    with running_proxy(upstream, faults, seed) as proxy:
        cluster = Cluster(directory, flags(proxy.endpoint))
        try:
            cluster.heal()
            yield Chaos(cluster, faults, seed, rate=rate)
        finally:
            cluster.stop()
