"""A simulated shop: what happens in a request, as planned spans on a virtual clock.

Pure: a seeded ``random.Random`` in, plans out. ``shop_traffic.py`` makes spans of them with the
OpenTelemetry SDK. Attribute names follow the OpenTelemetry semantic conventions.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Attribute = str | int | float | bool
_PORTS = {"postgresql": 5432, "redis": 6379, "elasticsearch": 9200}


class Kind(enum.Enum):
    """Kinds of spans, by the names of the SDK."""

    INTERNAL = enum.auto()
    SERVER = enum.auto()
    CLIENT = enum.auto()
    PRODUCER = enum.auto()
    CONSUMER = enum.auto()


class PaymentDeclinedError(Exception):
    """The bank said no."""


class GatewayTimeoutError(Exception):
    """The bank said nothing."""


class OutOfStockError(Exception):
    """Nothing left to sell."""


class DeadlockDetectedError(Exception):
    """Two transactions waited for each other."""


class SearchTimeoutError(Exception):
    """The search cluster was too slow."""


class SmtpServerDisconnectedError(Exception):
    """The mail server hung up."""


@dataclass(slots=True, kw_only=True)
class Happening:
    """An event of a span; with ``error`` a recorded exception."""

    at_s: float
    name: str
    attributes: dict[str, Attribute] = field(default_factory=dict)
    error: Exception | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class PlannedSpan:
    """A span to be. Times are seconds since the start of the visit."""

    service: str
    name: str
    kind: Kind
    parent: PlannedSpan | None
    start_s: float
    end_s: float = 0.0
    attributes: dict[str, Attribute] = field(default_factory=dict)
    happenings: list[Happening] = field(default_factory=list)
    links: list[PlannedSpan] = field(default_factory=list)
    """Spans of this or an earlier visit."""
    error: str | None = None
    """Status message of a span that failed."""


class Visit:
    """One request and all that it causes, planned in the order of the starts."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.now_s = 0.0
        self.spans: list[PlannedSpan] = []
        self._open: list[PlannedSpan] = []

    @property
    def duration_s(self) -> float:
        return max(span.end_s for span in self.spans)

    def likely(self, probability: float) -> bool:
        return self.chance.random() < probability

    def work(self, low_ms: float, high_ms: float) -> None:
        """Let time pass, more often little than much."""
        self.now_s += (low_ms + (high_ms - low_ms) * self.chance.random() ** 2) / 1000

    @contextmanager
    def span(
        self, service: str, name: str, kind: Kind, attributes: dict[str, Attribute] | None = None
    ) -> Iterator[PlannedSpan]:
        """Open a span below the one that is open."""
        planned = PlannedSpan(
            service=service,
            name=name,
            kind=kind,
            parent=self._open[-1] if self._open else None,
            start_s=self.now_s,
            attributes=dict(attributes or {}),
        )
        self.spans.append(planned)
        self._open.append(planned)
        try:
            yield planned
        finally:
            planned.end_s = self.now_s
            self._open.pop()

    def fail(self, span: PlannedSpan, error: Exception) -> None:
        """Record an exception on a span, which fails with it."""
        span.happenings.append(Happening(at_s=self.now_s, name="exception", error=error))
        span.error = f"{type(error).__name__}: {error}"

    def note(self, span: PlannedSpan, name: str, **attributes: Attribute) -> None:
        """Add an event to a span."""
        span.happenings.append(Happening(at_s=self.now_s, name=name, attributes=attributes))

    def together(self, *parts: Callable[[], object]) -> None:
        """Do several things at once; it takes as long as the longest."""
        start_s = self.now_s
        end_s = start_s
        for part in parts:
            self.now_s = start_s
            part()
            end_s = max(end_s, self.now_s)
        self.now_s = end_s

    @contextmanager
    def serve(self, service: str, method: str, route: str, path: str) -> Iterator[PlannedSpan]:
        """Handle an HTTP request from outside or from another service; status 200 unless set."""
        attributes: dict[str, Attribute] = {
            "http.request.method": method,
            "http.route": route,
            "url.path": path,
            "url.scheme": "http",
            "server.address": service,
            "server.port": 8080,
            "network.protocol.version": "1.1",
        }
        with self.span(service, f"{method} {route}", Kind.SERVER, attributes) as server:
            self.work(0.2, 3)
            yield server
            self.work(0.1, 2)
            answer(server, int(server.attributes.get("http.response.status_code", 200)))

    @contextmanager
    def call(
        self, caller: str, callee: str, method: str, route: str, path: str
    ) -> Iterator[PlannedSpan]:
        """Call another service over HTTP; yields the span of the callee."""
        attributes: dict[str, Attribute] = {
            "http.request.method": method,
            "url.full": f"http://{callee}:8080{path}",
            "server.address": callee,
            "server.port": 8080,
            "peer.service": callee,
        }
        with self.span(caller, method, Kind.CLIENT, attributes) as client:
            self.work(0.1, 1)
            with self.serve(callee, method, route, path) as server:
                yield server
            self.work(0.1, 1)
            status = int(server.attributes["http.response.status_code"])
            client.attributes["http.response.status_code"] = status
            if status >= 400:
                client.error = f"HTTP {status}"

    @contextmanager
    def rpc(self, caller: str, callee: str, service: str, method: str) -> Iterator[PlannedSpan]:
        """Call another service over gRPC; yields the span of the callee."""
        attributes: dict[str, Attribute] = {
            "rpc.system": "grpc",
            "rpc.service": f"shop.{service}",
            "rpc.method": method,
        }
        name = f"shop.{service}/{method}"
        with self.span(caller, name, Kind.CLIENT, attributes | {"peer.service": callee}) as client:
            self.work(0.1, 1)
            with self.span(callee, name, Kind.SERVER, attributes) as server:
                self.work(0.1, 2)
                yield server
                server.attributes.setdefault("rpc.grpc.status_code", 2 if server.error else 0)
            self.work(0.1, 1)
            client.attributes["rpc.grpc.status_code"] = server.attributes["rpc.grpc.status_code"]
            client.error = server.error

    def query(
        self, service: str, statement: str, *, system: str = "postgresql", slow: float = 0.01
    ) -> PlannedSpan:
        """Ask a database; with the probability ``slow`` it takes its time."""
        operation, _, rest = statement.partition(" ")
        table = rest.split(" FROM ")[-1].removeprefix("INTO ").split(" ")[0].partition(":")[0]
        attributes: dict[str, Attribute] = {
            "db.system": system,
            "db.name": "shop",
            "db.operation": operation,
            "db.statement": statement,
            "server.address": f"{system}.shop.svc",
            "server.port": _PORTS[system],
        }
        with self.span(service, f"{operation} {table}", Kind.CLIENT, attributes) as span:
            self.work(0.3, 12)
            if self.likely(slow):
                self.work(150, 900)
                self.note(span, "lock.wait", **{"db.lock.mode": "RowExclusiveLock"})
        return span


def answer(span: PlannedSpan, status: int) -> None:
    """Give a server span its HTTP status; from 500 it is an error of the server."""
    span.attributes["http.response.status_code"] = status
    if status >= 500 and span.error is None:
        span.error = f"HTTP {status}"
