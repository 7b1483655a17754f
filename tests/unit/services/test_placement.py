"""Who has what: the same in all processes, whatever order they were met in."""

from __future__ import annotations

from support.otlp import request, span

from tracestore.services.members.member import Identity, Member
from tracestore.services.placement import Placement, rank_names

NAMES = ["ingester-0", "ingester-1", "ingester-2"]
BODY = request(resource={}, spans=[span(trace=n, id=n) for n in range(1, 100)])


def member(name: str, process: str = "p") -> Member:
    identity = Identity(process=process, instance=name, address=name, roles=frozenset())
    return Member(identity=identity, address=name)


def shares(*members: Member) -> dict[str, bytes]:
    placed = Placement.among(members).shard(BODY, 99)
    return {member.identity.instance: bytes(body) for member, body in placed}


def test_the_order_in_which_members_were_met_does_not_matter() -> None:
    members = [member(name) for name in NAMES]

    assert shares(*members) == shares(*reversed(members))
    assert len(shares(*members)) == 3


def test_a_process_that_comes_back_under_its_name_has_the_same_traces() -> None:
    before = shares(*(member(name, "first life") for name in NAMES))

    assert shares(*(member(name, "next life") for name in NAMES)) == before


def test_one_alone_has_all_untouched() -> None:
    ((_, body),) = Placement.among([member("a")]).shard(BODY, 99)

    assert body is BODY


def test_leaving_one_out_moves_only_what_was_its_own() -> None:
    placement = Placement.among([member(name) for name in NAMES])
    left = placement.only(lambda one: one.identity.instance != "ingester-1")
    stayed = dict.fromkeys(["ingester-0", "ingester-2"], 0)

    for one, body in placement.shard(BODY, 99):
        for next_home, part in left.shard(body, 99):
            name = one.identity.instance
            if name in stayed:
                assert (next_home.identity.instance, part) == (name, body)
                stayed[name] += 1

    assert stayed == {"ingester-0": 1, "ingester-2": 1}


def test_names_are_ranked_for_a_key_alike_in_any_order() -> None:
    key = "018f-a-block"
    ranked = [NAMES[i] for i in rank_names(key, NAMES)]

    assert sorted(ranked) == NAMES
    backwards = NAMES[::-1]
    assert [backwards[i] for i in rank_names(key, backwards)] == ranked
    without_home = [name for name in NAMES if name != ranked[0]]
    assert [without_home[i] for i in rank_names(key, without_home)] == ranked[1:]
