"""``kill -9`` under load at random moments: nothing acknowledged is lost, nothing appears twice."""

import random
from collections import Counter
from pathlib import Path

import grpc
import httpx
import pytest
from support.otlp import request, span
from support.server import Server, running_server
from support.stored import stored

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
ROUNDS = 14
TRACES = 150
SPANS_IN_REQUEST = 24
IN_FLIGHT = 8

Key = tuple[int, int]


class Sender:
    """Sends what was never acknowledged until it is, as a Collector does."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._next_span = 1
        self.acknowledged: set[Key] = set()
        self.sent: set[Key] = set()
        self.unanswered: list[tuple[bytes, frozenset[Key]]] = []

    def new_request(self) -> tuple[bytes, frozenset[Key]]:
        keys = [
            (self._rng.randint(1, TRACES), self._next_span + i) for i in range(SPANS_IN_REQUEST)
        ]
        self._next_span += SPANS_IN_REQUEST
        spans = [
            span(
                trace=trace,
                id=number,
                name=f"operation {number % 7}",
                start_ms=number,
                duration_ms=5,
                attributes={"number": number, "padding": "x" * (number % 300)},
            )
            for trace, number in keys
        ]
        self.sent.update(keys)
        return request(resource={"service.name": "shop"}, spans=spans), frozenset(keys)

    def send_until(self, server: Server, acknowledgements: int) -> None:
        """Send until so many requests were acknowledged, then kill with requests in flight."""
        with grpc.insecure_channel(server.otlp_grpc) as channel:
            export = channel.unary_unary(EXPORT)
            again, self.unanswered = self.unanswered, []
            in_flight = []
            while acknowledgements > 0:
                while len(in_flight) < IN_FLIGHT:
                    item = again.pop() if again else self.new_request()
                    in_flight.append((export.future(item[0], timeout=30), item))
                future, item = in_flight.pop(0)
                future.result()
                self.acknowledged |= item[1]
                acknowledgements -= 1
            server.kill()
            for future, item in in_flight:
                if future.exception() is None:
                    self.acknowledged |= item[1]
                else:
                    self.unanswered.append(item)
            self.unanswered += again


def searched(server: Server) -> dict[int, int]:
    """Matched spans of each trace, as a search counts them."""
    reply = httpx.get(
        f"{server.api_url}/api/search", params={"q": "{}", "limit": 10 * TRACES}, timeout=30
    )
    assert reply.status_code == 200, reply.text
    return {int(t["traceID"], 16): t["spanSet"]["matched"] for t in reply.json()["traces"]}


@pytest.mark.timeout(400)
def test_no_acknowledged_span_is_lost_or_doubled_by_kills(tmp_path: Path) -> None:
    rng = random.Random(20220822)
    sender = Sender(rng)
    flags = ["--ingester.max-block-duration-s=1", "--ingester.max-block-bytes=200KiB"]
    for _ in range(ROUNDS):
        with running_server(tmp_path, *flags) as server:
            sender.send_until(server, rng.randint(1, 120))

    with running_server(tmp_path, *flags) as server:
        found = stored(server, TRACES)
        counts = searched(server)

    assert not sender.acknowledged - found.keys()
    assert not found.keys() - sender.sent
    assert set(found.values()) == {1}
    assert counts == Counter(trace for trace, _ in found)
    assert list((tmp_path / "blocks").rglob("meta.json")), "no block was cut: the test is too mild"
