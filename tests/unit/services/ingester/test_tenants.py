from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import pytest

from tracestore.errors import LimitExceededError
from tracestore.model.ids import TenantId
from tracestore.services.ingester.tenant import TenantLive
from tracestore.services.ingester.tenants import Tenants
from tracestore.settings.tree import IngesterSettings

SECOND_NS = 10**9


@dataclass
class FakeLive:
    """What the registry asks of a tenant."""

    tenant: TenantId
    pending_bytes: int = 0
    wire_bytes: int = 0
    closed: bool = False
    refuses: bool = False
    """Whether it gets spans just before it would be let go."""

    @property
    def is_empty(self) -> bool:
        return self.wire_bytes == 0

    def retire(self) -> bool:
        return not self.refuses

    def close(self) -> None:
        self.closed = True


class Setup:
    def __init__(self, tenants_max: int = 2) -> None:
        self.made: list[FakeLive] = []
        self.tenants = Tenants(
            cast("Callable[[TenantId], TenantLive]", self.make),
            tenants_max=tenants_max,
            idle_s=10,
        )

    def make(self, tenant: TenantId) -> FakeLive:
        self.made.append(FakeLive(tenant))
        return self.made[-1]

    def open(self, name: str, **state: int) -> FakeLive:
        live = cast("FakeLive", self.tenants.open(TenantId(name)))
        for key, value in state.items():
            setattr(live, key, value)
        return live

    def close_idle(self, now_s: int, *keep: str) -> tuple[str, ...]:
        return self.tenants.close_idle(now_s * SECOND_NS, keep=frozenset(map(TenantId, keep)))

    def pressure(self, live: FakeLive, **settings: int) -> str | None:
        return self.tenants.pressure(
            cast("TenantLive", live),
            IngesterSettings(**settings),  # type: ignore[arg-type]
        )


def test_a_tenant_is_made_once_and_their_number_is_bounded() -> None:
    setup = Setup(tenants_max=2)

    assert setup.open("a") is setup.open("a")
    setup.open("b")
    with pytest.raises(LimitExceededError, match=r"^2 tenants have live traces, the limit is 2"):
        setup.open("c")

    assert [live.tenant for live in setup.made] == ["a", "b"]


def test_who_was_replayed_is_beyond_the_bound() -> None:
    setup = Setup(tenants_max=1)
    setup.tenants.put([cast("TenantLive", FakeLive(TenantId(n))) for n in ("a", "b", "c")])

    assert len(setup.tenants.all()) == 3
    with pytest.raises(LimitExceededError):
        setup.open("d")


def test_a_tenant_goes_after_it_was_empty_for_long() -> None:
    setup = Setup()
    idle, busy = setup.open("idle"), setup.open("busy", wire_bytes=1)

    assert setup.close_idle(100) == ()
    assert setup.close_idle(109) == ()
    assert setup.close_idle(110, "idle") == ()
    assert setup.close_idle(111) == ()
    assert setup.close_idle(121) == ("idle",)
    assert (idle.closed, busy.closed) == (True, False)
    assert setup.open("idle") is not idle


def test_one_that_gets_spans_at_the_last_moment_stays() -> None:
    setup = Setup()
    live = setup.open("a")
    live.refuses = True
    setup.close_idle(100)

    assert setup.close_idle(200) == ()
    assert setup.tenants.get(TenantId("a")) is live  # type: ignore[comparison-overlap]


def test_each_is_sure_of_its_share_whatever_the_others_do() -> None:
    setup = Setup()
    loud, quiet = setup.open("loud", pending_bytes=95), setup.open("quiet", pending_bytes=5)

    assert setup.pressure(quiet, pending_bytes_max=100) is None
    message = setup.pressure(loud, pending_bytes_max=100)
    assert message == "100 bytes of 2 tenants wait for decoding, much of it of loud"
    quiet.pending_bytes = 50
    assert setup.pressure(quiet, pending_bytes_max=100) is not None
    loud.pending_bytes = 0
    assert setup.pressure(quiet, pending_bytes_max=100) is None


def test_the_bound_of_memory_is_shared_too() -> None:
    setup = Setup()
    loud, quiet = setup.open("loud", wire_bytes=95), setup.open("quiet", wire_bytes=5)

    assert setup.pressure(quiet, live_bytes_max=100) is None
    message = setup.pressure(loud, live_bytes_max=100)
    assert message == "100 bytes of 2 tenants wait to be written, much of it of loud"


def test_a_single_tenant_has_its_own_bounds_alone() -> None:
    setup = Setup()
    live = setup.open("a", wire_bytes=10**12)

    assert setup.pressure(live) is None
