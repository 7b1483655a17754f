import asyncio
from collections.abc import Callable
from concurrent.futures import Future

import pytest
from support.clocks import ManualClock
from support.otlp import request, span

from tracestore.errors import InvalidRequestError, LimitExceededError, UnavailableError
from tracestore.kernel import RequestCheck
from tracestore.model.ids import SINGLE_TENANT, TenantId
from tracestore.services.blocking import BlockingPool
from tracestore.services.distributor.appending import LocalAppender
from tracestore.services.distributor.service import OTLP_GRPC, Distributor
from tracestore.settings.tree import DistributorSettings, ReceiverSettings
from tracestore.storage.wal.log import WalPosition
from tracestore.telemetry import Metrics

GOOD = request(resource={}, spans=[span(trace=1, id=1), span(trace=1, id=2)])


class FakeIngester:
    """Keeps requests until the test lets them be durable."""

    is_ready = True

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.error: Exception | None = None
        self.refusal: Exception | None = None

    def has(self, tenant: TenantId) -> bool:
        return True

    def append(
        self,
        tenant: TenantId,
        request: bytes | bytearray,
        checked: RequestCheck,
        *,
        counted: bool = True,
    ) -> Future[object]:
        assert tenant == SINGLE_TENANT
        if self.refusal is not None:
            raise self.refusal
        done: Future[object] = Future()
        if self.error is not None:
            done.set_exception(self.error)
            return done
        self.taken.append(bytes(request))
        done.set_result(WalPosition(segment="s", offset=checked.spans))
        return done

    async def wait_for_room(self, tenant: TenantId) -> None:
        assert tenant == SINGLE_TENANT


class Setup:
    def __init__(self, inflight_bytes_max: int = 1 << 20) -> None:
        self.ingester = FakeIngester()
        self.metrics = Metrics(version="0")
        self.pool = BlockingPool("p", threads=1, waiting_max=4, refusal="full")
        receivers = ReceiverSettings(inflight_bytes_max=inflight_bytes_max)
        self.distributor = Distributor(
            DistributorSettings(receivers=receivers),
            LocalAppender(self.ingester),
            self.pool,
            self.metrics,
            ManualClock(),
        )

    def push(self, body: bytes) -> None:
        asyncio.run(self.distributor.push(SINGLE_TENANT, body, OTLP_GRPC))

    def accepted(self) -> float:
        labels = {"receiver": OTLP_GRPC.receiver, "transport": "grpc"}
        return self.metrics.value("tempo_receiver_accepted_spans", **labels)


@pytest.fixture
def make() -> Callable[..., Setup]:
    return Setup


def test_a_good_request_passes_through_untouched(make: Callable[..., Setup]) -> None:
    setup = make()

    setup.push(GOOD)

    assert setup.ingester.taken == [GOOD]
    assert setup.accepted() == 2


def test_a_request_without_spans_stores_nothing(make: Callable[..., Setup]) -> None:
    setup = make()

    setup.push(b"")

    assert setup.ingester.taken == []


def test_one_bad_span_refuses_all_of_them(make: Callable[..., Setup]) -> None:
    setup = make()

    with pytest.raises(InvalidRequestError, match=r"^trace ids must be 128 bit, received 0 bits$"):
        setup.push(GOOD + request(resource={}, spans=[span(trace=0, id=1)]))

    assert setup.ingester.taken == []
    labels = {"reason": "invalid_trace_id", "tenant": SINGLE_TENANT}
    assert setup.metrics.value("tempo_discarded_spans_total", **labels) == 3


def test_what_the_disk_refuses_is_not_accepted(make: Callable[..., Setup]) -> None:
    setup = make()
    setup.ingester.error = UnavailableError("disk full")

    with pytest.raises(UnavailableError, match="disk full"):
        setup.push(GOOD)

    assert setup.accepted() == 0


def test_a_tenant_too_many_is_refused_and_counted(make: Callable[..., Setup]) -> None:
    setup = make()
    setup.ingester.refusal = LimitExceededError("too many tenants", limit="tenants_max")

    with pytest.raises(LimitExceededError, match="too many tenants"):
        setup.push(GOOD)

    labels = {"reason": "too_many_tenants", "tenant": SINGLE_TENANT}
    assert setup.metrics.value("tempo_discarded_spans_total", **labels) == 2
    assert setup.accepted() == 0


@pytest.mark.parametrize(
    ("start_s", "end_s", "warnings"),
    [(0, 0, 0), (-119, 119, 0), (-121, 0, 1), (0, 121, 1), (-(10**8), 10**8, 1)],
)
def test_requests_with_spans_far_from_now_are_kept_and_counted(
    make: Callable[..., Setup], start_s: int, end_s: int, warnings: int
) -> None:
    setup = make()
    now_ns = ManualClock().now_ns()
    one = span(trace=1, id=1)
    one.start_time_unix_nano = now_ns + start_s * 10**9
    one.end_time_unix_nano = now_ns + end_s * 10**9

    setup.push(request(resource={}, spans=[one]))

    labels = {"reason": "outside_ingestion_time_slack", "tenant": SINGLE_TENANT}
    assert setup.metrics.value("tempo_warnings_total", **labels) == warnings
    assert len(setup.ingester.taken) == 1


def test_bytes_in_flight_are_bounded_but_one_request_is_always_let_in(
    make: Callable[..., Setup],
) -> None:
    setup = make(inflight_bytes_max=10)

    with (
        setup.distributor.hold(50),
        pytest.raises(UnavailableError, match="50 bytes of requests are in flight"),
    ):
        setup.push(GOOD)
    setup.push(GOOD)

    assert setup.ingester.taken == [GOOD]


def test_while_draining_senders_are_sent_away(make: Callable[..., Setup]) -> None:
    setup = make()
    setup.distributor.refuse_new_work()

    with pytest.raises(UnavailableError, match="shutting down"):
        setup.push(GOOD)
