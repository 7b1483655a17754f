"""An agent's datagrams wait within bounds, and are stored before the process ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import cast

from support.flat_requests import read_request
from support.jaeger import thrift_message

from tracestore.api.jaeger_agent import COMPACT, AgentBounds, AgentReceiver
from tracestore.api.tenant import Intake
from tracestore.errors import UnavailableError
from tracestore.services.blocking import BlockingPool
from tracestore.services.distributor.service import Body, Source
from tracestore.telemetry import Metrics


class Notes:
    """An intake that keeps what it is given, or takes nothing."""

    def __init__(self, *, open_: bool = True) -> None:
        self.requests: list[bytes] = []
        self._open = open_

    async def push(self, orgs: Sequence[str], body: Body, source: Source) -> None:
        assert (list(orgs), source) == ([], COMPACT)
        if not self._open:
            raise UnavailableError("the server is shutting down")
        self.requests.append(bytes(body))


def datagram(id: int) -> bytes:
    span = {"trace": 1, "id": id}
    return thrift_message({"process": {"service_name": "shop"}, "spans": [span]})


class Bench:
    """An agent with its parts."""

    def __init__(self, intake: Notes, *, bytes_max: int = 1000, queue_max: int = 3) -> None:
        self.metrics = Metrics(version="0")
        self.pool = BlockingPool("unpack", threads=1, waiting_max=9, refusal="full")
        self.agent = AgentReceiver(
            COMPACT,
            socket.socket(type=socket.SOCK_DGRAM),
            cast("Intake", intake),
            self.pool,
            self.metrics,
            bounds=AgentBounds(
                datagram_bytes_max=bytes_max, queue_datagrams_max=queue_max, drain_timeout_s=30
            ),
        )

    def refused(self, status: str) -> float:
        labels = f'{{status="{status}",transport="udp_thrift_compact"}}'
        sample = f"tracestore_receiver_refused_requests_total{labels} "
        lines = self.metrics.render().decode().splitlines()
        return sum(float(line.removeprefix(sample)) for line in lines if line.startswith(sample))

    def drain(self) -> None:
        asyncio.run(self.agent.drain())
        self.pool.close()


def test_what_waits_is_stored_in_one_request_at_the_end() -> None:
    intake = Notes()
    bench = Bench(intake)
    for body in (datagram(1), b"none", datagram(2)):
        bench.agent.take(body)

    bench.drain()

    (request,) = intake.requests
    assert [span["id"][-1] for span in read_request(request)] == ["1", "2"]
    assert bench.refused("INVALID_ARGUMENT") == 1


def test_more_than_may_wait_and_what_is_too_long_is_dropped() -> None:
    intake = Notes()
    bench = Bench(intake, bytes_max=len(datagram(1)), queue_max=2)
    for body in (datagram(1), datagram(2), datagram(3), datagram(4) + b"x"):
        bench.agent.take(body)

    bench.drain()

    assert [span["id"][-1] for span in read_request(intake.requests[0])] == ["1", "2"]
    assert (bench.refused("RESOURCE_EXHAUSTED"), bench.refused("INVALID_ARGUMENT")) == (1, 1)


def test_what_cannot_be_stored_is_counted() -> None:
    bench = Bench(Notes(open_=False))
    bench.agent.take(datagram(1))

    bench.drain()

    assert bench.refused("UNAVAILABLE") == 1
