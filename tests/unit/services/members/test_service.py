"""Members with a clock that is moved by hand and processes that answer as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from support.clocks import ManualClock

from tracestore.errors import TracestoreError, UnavailableError, UnreachableError
from tracestore.services.members.member import Identity, Role
from tracestore.services.members.service import Members
from tracestore.services.rpc import Peers
from tracestore.settings.members_tree import MembersSettings
from tracestore.telemetry import Metrics


def identity(name: str, *, process: str = "", roles: Sequence[Role] = (Role.INGESTER,)) -> Identity:
    return Identity(
        process=process or f"life of {name}",
        instance=name,
        address=f"{name}:9095",
        roles=frozenset(roles),
        writer=f"writer of {name}",
        ready=True,
    )


class Cluster:
    """Who answers at which address, and one process that looks at it."""

    def __init__(self, **settings: object) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics(version="0")
        self.answers: dict[str, Identity] = {}
        self.own = identity("self")
        self.names: dict[str, list[str] | None] = {}
        self.writers: list[str] = []
        self.members = Members(
            MembersSettings(**settings),  # type: ignore[arg-type]  # checked by the tests themselves
            lambda: self.own,
            Peers(message_bytes_max=1),
            self.metrics,
            self.clock,
            default_port=9095,
            writers=lambda: self.writers,
            lookup=self.look_up,
            ask=self.ask,
        )

    async def ask(self, address: str) -> Identity:
        if address not in self.answers:
            raise UnreachableError(f"{address} does not answer: refused")
        return self.answers[address]

    async def look_up(self, host: str, port: int) -> Sequence[str]:
        found = self.names[host]
        if found is None:
            raise UnavailableError("no resolver")
        return [f"{address}:{port}" for address in found]

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        asyncio.run(self.members.greet_once())

    def start(self) -> None:
        asyncio.run(self.members.start())

    def alive(self) -> list[str]:
        return [member.identity.instance for member in self.members.current().members]


def test_alone_there_is_only_this_process() -> None:
    cluster = Cluster()

    cluster.start()

    (member,) = cluster.members.current().members
    assert member.is_self
    assert cluster.metrics.value("tracestore_members", role="ingester") == 1


def test_a_list_is_asked_and_the_own_entry_is_this_process() -> None:
    cluster = Cluster(static=("a:9095", "self:9095", "b:9095"))
    cluster.answers = {"a:9095": identity("a"), "self:9095": cluster.own}

    cluster.start()

    assert cluster.alive() == ["a", "self"]
    assert [member.is_self for member in cluster.members.current().members] == [False, True]
    (silent,) = cluster.members.current().silent
    assert (silent.address, silent.identity) == ("b:9095", None)
    assert "refused" in silent.reason


def test_a_name_is_looked_up_again_and_kept_while_the_resolver_fails() -> None:
    cluster = Cluster(dns="peers:7000")
    cluster.names["peers"] = ["10.0.0.1"]
    cluster.answers = {f"10.0.0.{i}:7000": identity(f"m{i}") for i in (1, 2)}
    cluster.start()
    assert cluster.alive() == ["m1", "self"]

    cluster.names["peers"] = None
    asyncio.run(cluster.members.look_up_once())
    cluster.pass_time(1)
    assert cluster.alive() == ["m1", "self"]
    assert cluster.metrics.value("tracestore_members_failed_lookups_total") == 1

    cluster.names["peers"] = ["10.0.0.2"]
    asyncio.run(cluster.members.look_up_once())
    cluster.pass_time(1)
    assert cluster.alive() == ["m2", "self"]


def test_a_name_without_a_port_has_that_of_this_process() -> None:
    cluster = Cluster(dns="peers")
    cluster.names["peers"] = ["10.0.0.1"]
    cluster.answers = {"10.0.0.1:9095": identity("m1")}

    cluster.start()

    assert cluster.alive() == ["m1", "self"]


def test_who_does_not_answer_is_gone_after_a_while_and_back_with_its_first_answer() -> None:
    cluster = Cluster(static=("a:9095",), dead_after_s=3.0)
    cluster.answers = {"a:9095": identity("a")}
    cluster.start()

    del cluster.answers["a:9095"]
    cluster.pass_time(2)
    assert cluster.alive() == ["a", "self"]
    cluster.pass_time(1.5)
    assert cluster.alive() == ["self"]
    (silent,) = cluster.members.current().silent
    assert silent.identity == identity("a")

    cluster.answers["a:9095"] = identity("a", process="next life")
    cluster.pass_time(1)
    assert cluster.alive() == ["a", "self"]


def test_who_failed_a_call_is_out_until_it_answers_again() -> None:
    cluster = Cluster(static=("a:9095",))
    cluster.answers = {"a:9095": identity("a")}
    cluster.start()
    member = cluster.members.current().members[0]

    cluster.members.suspect(member, "connection reset")
    assert cluster.alive() == ["self"]

    cluster.pass_time(1)
    assert cluster.alive() == ["a", "self"]


def test_who_took_the_address_of_another_is_not_suspected_for_it() -> None:
    cluster = Cluster(static=("a:9095",))
    cluster.answers = {"a:9095": identity("a")}
    cluster.start()
    old = cluster.members.current().members[0]
    cluster.answers["a:9095"] = identity("a", process="next life")
    cluster.pass_time(1)

    cluster.members.suspect(old, "connection reset")

    assert cluster.alive() == ["a", "self"]


def test_a_process_at_two_addresses_is_one_member() -> None:
    cluster = Cluster(static=("a:9095", "10.0.0.1:9095"))
    cluster.answers = {"a:9095": identity("a"), "10.0.0.1:9095": identity("a")}

    cluster.start()

    assert cluster.alive() == ["a", "self"]


def test_writers_that_the_index_names_are_asked_too() -> None:
    cluster = Cluster()
    cluster.writers = ["a:9095", ""]
    cluster.answers = {"a:9095": identity("a")}

    cluster.start()

    current = cluster.members.current()
    assert cluster.alive() == ["a", "self"]
    member = current.of_writer("writer of a")
    assert member is not None
    assert member.address == "a:9095"
    assert current.of_writer("writer of b") is None
    assert current.of_writer("") is None


def test_only_those_that_are_ready_and_stay_take_anything() -> None:
    cluster = Cluster(static=tuple(f"{name}:9095" for name in "abcd"))
    cluster.answers = {
        "a:9095": identity("a"),
        "b:9095": replace(identity("b"), draining=True),
        "c:9095": replace(identity("c"), ready=False),
        "d:9095": identity("d", roles=[Role.QUERIER]),
    }
    cluster.start()

    current = cluster.members.current()

    assert [m.identity.instance for m in current.taking(Role.INGESTER)] == ["a", "self"]
    assert [m.identity.instance for m in current.with_role(Role.INGESTER)] == [*list("abc"), "self"]


def test_this_process_is_shown_as_it_is_now() -> None:
    cluster = Cluster()
    cluster.start()

    cluster.own = replace(cluster.own, draining=True)

    assert cluster.members.current().members[0].identity.draining


def test_addresses_beyond_the_bound_are_left_out() -> None:
    cluster = Cluster(static=("a:9095", "b:9095"), members_max=1)
    cluster.answers = {"a:9095": identity("a"), "b:9095": identity("b")}

    cluster.start()

    assert cluster.alive() == ["a", "self"]


def test_followers_are_told_who_lives_also_if_suspected() -> None:
    cluster = Cluster(static=("a:9095",))
    cluster.answers = {"a:9095": identity("a")}
    told: list[frozenset[str]] = []
    cluster.members.follow(told.append)
    cluster.start()

    cluster.members.suspect(cluster.members.current().members[0], "too slow")
    del cluster.answers["a:9095"]
    cluster.pass_time(10)

    both, own = {"life of a", "life of self"}, {"life of self"}
    assert told == [both, both, own]


def test_an_identity_comes_back_as_it_was() -> None:
    one = replace(identity("a"), index_sequence=7, draining=True, version="1.2")

    assert Identity.decode(one.encode()) == one


@pytest.mark.parametrize("error", [UnavailableError("x"), UnreachableError("x")])
def test_any_error_of_an_answer_counts_as_none(error: TracestoreError) -> None:
    cluster = Cluster(static=("a:9095",))

    async def refuse(_address: str) -> Identity:
        raise error

    cluster.members._ask = refuse
    cluster.start()

    assert cluster.alive() == ["self"]
