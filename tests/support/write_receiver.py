"""A receiver of remote write over real HTTP, 1.0 and 2.0, that reads with the protobuf library.

It behaves as the specification says, or badly on demand: refuses a version, is old and reads 2.0 as
an empty 1.0 request, answers with any status.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pyarrow as pa

from tracestore.codec.proto.remote_write_v1_pb2 import WriteRequest
from tracestore.codec.proto.remote_write_v2_pb2 import Request

V2 = "proto=io.prometheus.write.v2.Request"


def decompress(block: bytes) -> bytes:
    """Undo a snappy block: its length is a varint at its start."""
    length, shift = 0, 0
    for byte in block:
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return pa.Codec("snappy").decompress(block, length, asbytes=True)


@dataclass
class Receiver:
    """What was received, and what is answered."""

    versions: tuple[int, ...] = (1, 2)
    """That it takes; it says 415 to others."""
    is_old: bool = False
    """Whether it knows nothing of 2.0 and reads everything as 1.0."""
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """Statuses and headers of the next requests, which are then not taken."""
    samples: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    """Labels as text -> time in ms and value, in the order of arrival."""
    repeated: int = 0
    """Samples equal to the one before: taken in silence, as Prometheus does."""
    disordered: list[tuple[str, int, float]] = field(default_factory=list)
    """Samples that are not later than the one before."""
    requests: list[tuple[int, int, dict[str, str]]] = field(default_factory=list)
    """Version, status and headers of each request."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Name of a metric -> help, of 1.0."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    def take(self, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str]]:
        """Read a request and say what is answered."""
        version = 2 if V2 in headers["content-type"] else 1
        with self.lock:
            if self.answers:
                status, extra = self.answers.pop(0)
            elif version not in self.versions and not self.is_old:
                status, extra = 415, {}
            else:
                status, extra = 204, self._read(version, body)
            self.requests.append((version, status, headers))
            return status, extra

    def _read(self, version: int, body: bytes) -> dict[str, str]:
        message = decompress(body)
        if version == 1 or self.is_old:
            request = WriteRequest.FromString(message)
            for one in request.timeseries:
                self._add([(label.name, label.value) for label in one.labels], one.samples)
            self.metadata |= {m.metric_family_name: m.help for m in request.metadata}
            return {}
        request = Request.FromString(message)
        texts = request.symbols
        assert texts[0] == ""
        written = {"Samples": 0, "Histograms": 0, "Exemplars": 0}
        for one in request.timeseries:
            named = [texts[ref] for ref in one.labels_refs]
            self._add(list(zip(named[::2], named[1::2], strict=True)), one.samples)
            written["Samples"] += len(one.samples)
            written["Histograms"] += len(one.histograms)
            written["Exemplars"] += len(one.exemplars)
        return {f"X-Prometheus-Remote-Write-{k}-Written": str(n) for k, n in written.items()}

    def _add(self, labels: list[tuple[str, str]], samples: Any) -> None:
        assert labels == sorted(labels)
        text = ",".join(f"{name}={value}" for name, value in labels)
        of = self.samples.setdefault(text, [])
        for sample in samples:
            one = (sample.timestamp, sample.value)
            if of and one == of[-1]:
                self.repeated += 1
            elif of and sample.timestamp <= of[-1][0]:
                self.disordered.append((text, *one))
            else:
                of.append(one)


@contextmanager
def running_receiver(receiver: Receiver, *, port: int = 0) -> Iterator[Receiver]:
    """Serve until the end of the block.

    Args:
        port: 0: a free one.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, extra = receiver.take(headers, body)
            self.send_response(status)
            text = b"" if status == 204 else b"no\n"
            for name, value in extra.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_port}/write"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
