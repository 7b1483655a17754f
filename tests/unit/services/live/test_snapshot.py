"""A snapshot of the cluster: everybody is asked, nobody is left out silently, nothing is double."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace

import pytest
from support.blocks import block_meta
from support.clocks import ManualClock
from support.live_peers import Peer, running_peer
from support.query import run_search
from support.search_cases import place_spans, request_for

from tracestore.errors import UnavailableError
from tracestore.kernel import SpanBuilder
from tracestore.model.ids import SINGLE_TENANT, TenantId, WriterId
from tracestore.query.source import SpanSource
from tracestore.services.ingester.live import LiveSource
from tracestore.services.live.remote import LiveClients
from tracestore.services.live.snapshot import ClusterSnapshots
from tracestore.settings.members_tree import LiveReadSettings
from tracestore.storage.index.blocklist import BlockList, Commit
from tracestore.storage.index.writers import Adoption, WalHome, Writer, WriterChange

OWN, ONE, TWO = (WriterId(f"{n}-0000-7000-8000-000000000000".rjust(36, "0")) for n in "123")
SETTINGS = LiveReadSettings(open_timeout_s=1.0, silent_s=3.0)


def head(id: str) -> LiveSource:
    builder = SpanBuilder()
    builder.append(request_for(place_spans(1, 1), 0))
    return LiveSource(builder.freeze(), id)


class FakeIndex:
    """A list that others add to."""

    def __init__(self) -> None:
        self.seen = BlockList()
        self.ahead = BlockList()

    def commit(self, **changes: object) -> None:
        """Commit without this process knowing it yet."""
        commit = Commit(sequence=self.ahead.sequence + 1, id="c", time_ns=1, writer="w")
        self.ahead = self.ahead.apply(replace(commit, **changes))  # type: ignore[arg-type] # by name

    def current(self) -> BlockList:
        return self.seen

    def fresh(self, age_s: float) -> BlockList:
        return self.seen

    def refresh(self) -> BlockList:
        self.seen = self.ahead
        return self.seen

    def at_least(self, sequence: int) -> BlockList:
        if self.seen.sequence < sequence:
            self.seen = self.ahead
        if self.seen.sequence < sequence:
            raise UnavailableError("not yet")
        return self.seen


class FakeLogs:
    """Logs in the bucket."""

    def __init__(self) -> None:
        self.held: dict[WriterId, Sequence[SpanSource]] = {}
        self.asked = 0

    def sources(
        self, writer: Writer, tenants: Sequence[TenantId], blocks: BlockList
    ) -> Sequence[SpanSource]:
        self.asked += 1
        return self.held[writer.id]


class Own:
    """Live tables of this process."""

    def __init__(self) -> None:
        self.held: list[SpanSource] = []

    def sources(self, tenant: TenantId) -> Sequence[SpanSource]:
        return list(self.held)


class Cluster:
    """This process and two others."""

    def __init__(self, stack: ExitStack) -> None:
        self.index, self.logs, self.own, self.clock = FakeIndex(), FakeLogs(), Own(), ManualClock()
        self.one = stack.enter_context(running_peer(Peer(writers=[ONE]), SETTINGS))
        self.two = stack.enter_context(running_peer(Peer(writers=[TWO]), SETTINGS))
        clients = LiveClients(SETTINGS)
        stack.callback(clients.close)
        self.snapshots = ClusterSnapshots(
            SETTINGS,
            self.index,
            clients,
            self.clock,
            own=self.own,
            own_writers=lambda: [OWN],
            orphans=self.logs,
        )
        writers = (
            self.writer(OWN, "127.0.0.1:1", WalHome.BUCKET),
            self.writer(ONE, self.one.address, WalHome.BUCKET),
            self.writer(TWO, self.two.address, WalHome.DISK),
        )
        self.index.commit(writers=WriterChange(open=writers))
        self.index.at_least(1)

    def writer(self, id: WriterId, address: str, wal: WalHome) -> Writer:
        return Writer(id=id, instance=f"pod-{id}", address=address, wal=wal, owner=id)

    def take(self) -> list[str]:
        with self.snapshots.take([SINGLE_TENANT]) as taken:
            return sorted(source.id for source in taken.live)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(stack)


def test_live_tables_of_all_are_taken_and_let_go(cluster: Cluster) -> None:
    cluster.own.held = [head("a")]
    cluster.one.sources, cluster.two.sources = [head("b"), head("c")], [head("d")]
    for _ in range(SETTINGS.pins_max + 1):
        assert cluster.take() == ["a", "b", "c", "d"]


def test_the_list_is_as_new_as_the_processes(cluster: Cluster) -> None:
    """A head that was flushed a moment ago is gone there: its block must be in the list."""
    meta = block_meta("b")
    cluster.index.commit(add=(meta,))
    cluster.one.sequence = 2
    with cluster.snapshots.take([meta.tenant]) as taken:
        assert taken.blocks.blocks(meta.tenant) == (meta,)


def test_a_head_whose_block_is_in_the_list_is_left_out(cluster: Cluster) -> None:
    meta = replace(block_meta("b"), tenant=SINGLE_TENANT)
    cluster.one.sources = [head(meta.id)]
    cluster.one.on_open = lambda: cluster.index.commit(add=(meta,))
    cluster.two.sequence = 2
    assert cluster.take() == []


def test_the_log_of_who_does_not_answer_is_read(cluster: Cluster) -> None:
    cluster.two.sources = [head("d")]
    cluster.logs.held[ONE] = [head("log")]
    cluster.one.is_ready = False
    assert cluster.take() == ["d", "log"]
    cluster.one.is_ready = True
    assert cluster.take() == ["d", "log"]  # not asked again at once
    cluster.clock.advance(4)
    assert cluster.take() == ["d"]


def test_blocks_that_hold_the_log_by_now_are_waited_for(cluster: Cluster) -> None:
    cluster.one.is_ready = False
    cluster.logs.held[ONE] = []
    segments = (f"{ONE}/1-5",)
    meta = replace(block_meta("b", wal_segments=segments), tenant=SINGLE_TENANT)
    cluster.index.commit(add=(meta,))
    with cluster.snapshots.take([SINGLE_TENANT]) as taken:
        assert taken.blocks.blocks(SINGLE_TENANT) == (meta,)
    assert cluster.logs.asked == 2


def test_a_log_on_a_disk_that_nobody_serves_makes_the_answer_fail(cluster: Cluster) -> None:
    cluster.one.sources = [head("b")]
    cluster.two.is_ready = False
    with cluster.snapshots.take([SINGLE_TENANT]) as taken:
        assert sorted(source.id for source in taken.live) == ["b", f"writer:{TWO}"]
        with pytest.raises(UnavailableError, match=r"pod-.*3-.*: .*starting"):
            run_search(taken.live, "{ }", limit=5)
        with pytest.raises(UnavailableError, match=f"writer:{TWO}"):
            run_search(taken.live, "{ name = `nobody` }", limit=5)


def test_an_adopter_answers_for_the_adopted(cluster: Cluster) -> None:
    cluster.index.commit(writers=WriterChange(adopt=(Adoption(writer=ONE, owner=TWO, epoch=1),)))
    cluster.index.at_least(2)
    cluster.logs.held[ONE] = [head("log")]
    cluster.two.sources = [head("d")]
    assert cluster.take() == ["d", "log"]  # it has not read the log yet
    cluster.two.sources, cluster.two.writers = [head("d"), head("adopted")], [TWO, ONE]
    assert cluster.take() == ["adopted", "d"]


def test_a_process_that_has_just_come_is_asked(cluster: Cluster) -> None:
    new = WriterId("new")
    cluster.index.commit(
        writers=WriterChange(open=(cluster.writer(new, cluster.one.address, WalHome.DISK),))
    )
    cluster.two.sequence = 2
    cluster.one.writers = [ONE]

    def come() -> None:
        cluster.one.writers = [ONE, new]
        cluster.one.sources = [head("fresh")]

    cluster.two.on_open = come
    assert "writer:new" not in cluster.take()


def test_a_writer_that_closed_meanwhile_needs_no_answer(cluster: Cluster) -> None:
    cluster.one.is_ready = False
    cluster.index.commit(writers=WriterChange(close=(ONE,)))
    cluster.two.sequence = 2
    assert cluster.take() == []


def test_a_process_does_not_ask_itself(cluster: Cluster) -> None:
    """While it adopts a log, that log is its own in the list, and not yet in its live tables."""
    adopted = WriterChange(adopt=(Adoption(writer=ONE, owner=OWN, epoch=1),))
    cluster.index.commit(writers=adopted)
    cluster.index.at_least(2)
    cluster.own.held = [head("a")]
    cluster.logs.held[ONE] = [head("log")]
    assert cluster.take() == ["a", "log"]
    assert not cluster.snapshots._silent_until_ns


def test_a_process_that_is_asked_twice_gives_what_it_has_last(cluster: Cluster) -> None:
    new = WriterId("00000000-0000-7000-8000-000000000009")
    cluster.index.commit(
        writers=WriterChange(open=(cluster.writer(new, cluster.one.address, WalHome.BUCKET),))
    )
    cluster.two.sequence = 2
    cluster.one.sources = [head("b")]
    cluster.logs.held[new] = []
    assert cluster.take() == ["b"]
