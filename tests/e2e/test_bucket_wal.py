"""The write-ahead log in a real bucket: killed, paused and returning processes lose nothing."""

import random
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import httpx
from support.cluster import Cluster, running_cluster
from support.otlp import EPOCH_NS, request, span
from support.s3 import S3Place, s3, s3_server  # noqa: F401 - fixtures
from support.server import Server, wait_ready, wait_until
from support.stored import stored

from tracestore.storage.objects.layout import parse_wal_key

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
TRACES = 12
IN_FLIGHT = 8

Key = tuple[int, int]


class Sender:
    """Sends requests, many at a time, and knows which spans were acknowledged."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._next_span = 1
        self.acknowledged: set[Key] = set()
        self.sent: set[Key] = set()

    def _body(self) -> tuple[bytes, frozenset[Key]]:
        keys = [(self._rng.randint(1, TRACES), self._next_span + i) for i in range(12)]
        self._next_span += len(keys)
        spans = [
            span(trace=trace, id=number, name="checkout", start_ms=number, duration_ms=5)
            for trace, number in keys
        ]
        self.sent.update(keys)
        return request(resource={"service.name": "shop"}, spans=spans), frozenset(keys)

    def send(self, server: Server, requests: int, *, kill: bool = False) -> None:
        """Send until so many are acknowledged; then kill, if asked, with others under way."""
        with grpc.insecure_channel(server.otlp_grpc) as channel:
            export = channel.unary_unary(EXPORT)
            under_way = []
            while requests > 0:
                while len(under_way) < IN_FLIGHT:
                    body, keys = self._body()
                    under_way.append((export.future(body, timeout=30), keys))
                future, keys = under_way.pop(0)
                future.result()
                self.acknowledged |= keys
                requests -= 1
            if kill:
                server.kill()
            for future, keys in under_way:
                if future.exception() is None:
                    self.acknowledged |= keys


def counted(server: Server) -> float:
    """Spans, as a metrics query counts them."""
    start = EPOCH_NS // 10**9 - 60
    reply = httpx.get(
        f"{server.api_url}/api/metrics/query",
        params={"q": "{} | count_over_time()", "start": start, "end": start + 3600},
        timeout=30,
    )
    assert reply.status_code == 200, reply.text
    return sum(float(series["value"]) for series in reply.json()["series"])


def check(sender: Sender, *servers: Server) -> None:
    """See that each answers with every acknowledged span, once, and all alike."""
    answers = [stored(server, TRACES) for server in servers]
    for found, server in zip(answers, servers, strict=True):
        assert not sender.acknowledged - found.keys()
        assert not found.keys() - sender.sent
        assert set(found.values()) == {1}
        assert counted(server) == len(found)
    assert all(found == answers[0] for found in answers)


def logs_in(place: S3Place) -> Counter[str]:
    """Objects of each log in the bucket."""
    found = (parse_wal_key(info.key) for info in place.store().list("wal/"))
    return Counter(each[0] for each in found if each is not None)


@contextmanager
def two_nodes(root: Path, place: S3Place, adopt_after_s: float) -> Iterator[Cluster]:
    flags = [
        *place.flags(),
        "--ingester.wal.store=bucket",
        f"--ingester.wal.adopt-after-s={adopt_after_s}",
        "--ingester.max-block-duration-s=3",
        "--query.live.index-age-max-s=0.5",
        "--distributor.push.leave-s=0.1",
    ]
    with running_cluster(root, {"one": "all", "two": "all"}, *flags) as cluster:
        yield cluster


def test_what_a_killed_process_acknowledged_is_found_before_and_after_it_returns(
    s3: S3Place,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    sender = Sender(1)
    with two_nodes(tmp_path, s3, adopt_after_s=600) as cluster:
        for requests in (10, 25):
            sender.send(cluster["one"], requests, kill=True)
            check(sender, cluster["two"])  # nobody has adopted the log: it is read from the bucket
            cluster.start("one")
            wait_ready(cluster["one"])
            check(sender, cluster["two"], cluster["one"])
        wait_until(lambda: "adopted log is written" in cluster["one"].log())
        sender.send(cluster["two"], 10)
        check(sender, cluster["one"], cluster["two"])
    assert max(logs_in(s3).values()) == 1, "more than tombstones is left"


def test_a_peer_adopts_the_log_of_a_process_that_does_not_return(
    s3: S3Place,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    sender = Sender(2)
    with two_nodes(tmp_path, s3, adopt_after_s=3) as cluster:
        sender.send(cluster["one"], 30, kill=True)
        wait_until(lambda: "adopted log is written" in cluster["two"].log())
        check(sender, cluster["two"])
        cluster["two"].kill()
        cluster.start("two")
        wait_ready(cluster["two"])
        check(sender, cluster["two"])


def test_a_paused_process_does_no_harm_when_it_wakes_up(
    s3: S3Place,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    sender = Sender(3)
    with two_nodes(tmp_path, s3, adopt_after_s=3) as cluster:
        paused = cluster["one"]
        sender.send(paused, 30)
        paused.process.send_signal(signal.SIGSTOP)
        try:
            wait_until(lambda: "adopted log is written" in cluster["two"].log())
            sender.send(cluster["two"], 10)
        finally:
            paused.process.send_signal(signal.SIGCONT)
        check(sender, cluster["two"])
        assert paused.process.wait(30) != 0
        assert "has to be started again" in paused.log()
        cluster.start("one")
        cluster.wait_ready()
        sender.send(cluster["one"], 10)
        check(sender, cluster["one"], cluster["two"])
