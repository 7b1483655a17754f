"""Live tables of another process give what they give at home, over real gRPC."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.live_peers import Peer, running_peer
from support.query import run_metrics, run_search
from support.search_cases import place_spans, request_for

from tracestore.errors import InvalidRequestError, UnavailableError, UnreachableError
from tracestore.kernel import SpanBuilder
from tracestore.model.ids import SINGLE_TENANT, WriterId
from tracestore.model.results import QueryStats
from tracestore.model.series import Grid
from tracestore.model.tables import Table
from tracestore.query.source import SpanSource
from tracestore.services.ingester.live import LiveSource
from tracestore.services.live.remote import LiveClients, RemoteSource
from tracestore.settings.members_tree import LiveReadSettings

SETTINGS = LiveReadSettings(pins_max=2, pin_s=10.0)
QUERIES = (
    "{ }",
    "{ status = error } | count() > 1",
    "{ span.a = 1 || resource.a = `x` } >> { }",
    "{ event:name != nil } | select(span.b, link:traceID)",
    "{ .a != nil } | by(name) | avg(duration) > 0ns",
)
METRICS = (
    "{ } | rate() by (name)",
    "{ } | quantile_over_time(duration, .9)",
    "{ } | count_over_time()",
)


def live_source(seed: int, id: str = "head", chunk: int = 7) -> LiveSource:
    builder = SpanBuilder()
    placed = place_spans(seed, 1)
    builder.append(request_for(placed, 0))
    return LiveSource(builder.freeze(attribute_columns_max=3), id, spans_per_chunk=chunk)


@pytest.fixture
def clients() -> Iterator[LiveClients]:
    made = LiveClients(SETTINGS)
    yield made
    made.close()


def open_remote(clients: LiveClients, peer: Peer) -> list[RemoteSource]:
    opened = clients.opened(peer.address, clients.open(peer.address, [SINGLE_TENANT]))
    return [RemoteSource(clients, peer.address, opened.token, head) for head in opened.sources]


@pytest.mark.parametrize("seed", range(8))
def test_a_source_is_the_same_from_afar(clients: LiveClients, seed: int) -> None:
    at_home = live_source(seed)
    with running_peer(Peer(sources=[at_home]), SETTINGS) as peer:
        (afar,) = open_remote(clients, peer)
        assert same_source(afar, at_home)
        for query in QUERIES:
            assert shown(afar, query) == shown(at_home, query)
        for query in METRICS:
            assert counted(afar, query) == counted(at_home, query)


def shown(source: SpanSource, query: str) -> object:
    return repr(run_search([source], query, limit=100).traces)  # NaN is not equal to itself


def counted(source: SpanSource, query: str) -> object:
    step_ns = max(1, (source.end_ns - source.start_ns) // 4)
    grid = Grid(origin_ns=source.start_ns - step_ns, step_ns=step_ns, count=7)
    found = run_metrics([source], query, grid).series
    return [(one.labels, one.points.tolist(), one.values.tolist()) for one in found]


def same_source(afar: SpanSource, at_home: SpanSource) -> bool:
    stats = QueryStats()
    assert (afar.id, afar.start_ns, afar.end_ns) == (at_home.id, at_home.start_ns, at_home.end_ns)
    assert afar.is_live
    assert list(afar.chunks()) == list(at_home.chunks())
    ids: set[bytes] = set()
    for table in Table:
        assert afar.rows(table) == at_home.rows(table)
        assert afar.schema(table).equals(at_home.schema(table), check_metadata=True)
        names = at_home.schema(table).names
        chunked = table not in (Table.RESOURCES, Table.SCOPES)
        for chunk in (None, *(at_home.chunks() if chunked else ())):
            for _ in range(2):  # the second time from what was kept
                columns = zip(
                    names,
                    afar.read(table, names, chunk, stats),
                    at_home.read(table, names, chunk, stats),
                    strict=True,
                )
                for name, remote, local in columns:
                    assert remote.type == local.type, name
                    assert remote.to_pylist() == local.to_pylist(), name
        if table is Table.TRACES:
            ids.update(at_home.read(table, ["trace_id"], None, stats)[0].to_pylist())
    for trace_id in (*sorted(ids), b"\xff" * 16):
        found, expected = afar.find_trace(trace_id, stats), at_home.find_trace(trace_id, stats)
        assert (found is None) == (expected is None)
        if found is not None and expected is not None:
            for table in Table:
                assert found.table(table).equals(expected.table(table))
    return True


def test_a_snapshot_stays_while_the_tables_grow(clients: LiveClients) -> None:
    first = live_source(1)
    with running_peer(Peer(sources=[first]), SETTINGS) as peer:
        (afar,) = open_remote(clients, peer)
        peer.sources = [live_source(2)]
        assert same_source(afar, first)
        assert same_source(open_remote(clients, peer)[0], peer.sources[0])


def test_pins_are_bounded_and_end(clients: LiveClients) -> None:
    with running_peer(Peer(sources=[live_source(1)]), SETTINGS) as peer:
        first, _second = open_remote(clients, peer)[0], open_remote(clients, peer)[0]
        with pytest.raises(UnavailableError, match="2 queries of other processes"):
            open_remote(clients, peer)
        peer.clock.advance(11)
        open_remote(clients, peer)
        with pytest.raises(UnreachableError, match="not held any more"):
            first.read(Table.SPANS, ["name"], None, QueryStats())


def test_letting_go_makes_room(clients: LiveClients) -> None:
    with running_peer(Peer(sources=[live_source(1)]), SETTINGS) as peer:
        for _ in range(5):
            opened = clients.opened(peer.address, clients.open(peer.address, [SINGLE_TENANT]))
            clients.release(peer.address, opened.token).result(5)


def test_a_process_without_spans_pins_nothing(clients: LiveClients) -> None:
    with running_peer(Peer(writers=[WriterId("w")], sequence=7), SETTINGS) as peer:
        opened = clients.opened(peer.address, clients.open(peer.address, [SINGLE_TENANT]))
        assert (opened.token, opened.writers, opened.index_sequence) == ("", ("w",), 7)


def test_who_is_gone_or_starting_is_unreachable(clients: LiveClients) -> None:
    with running_peer(Peer(sources=[live_source(1)]), SETTINGS) as peer:
        (afar,) = open_remote(clients, peer)
        peer.is_ready = False
        with pytest.raises(UnreachableError, match="starting"):
            open_remote(clients, peer)
    with pytest.raises(UnreachableError):
        open_remote(clients, peer)
    with pytest.raises(UnreachableError):
        run_search([afar], "{ name = `x` }", limit=10)


def test_requests_that_make_no_sense_are_refused(clients: LiveClients) -> None:
    with running_peer(Peer(sources=[live_source(1)]), SETTINGS) as peer:
        for method in ("Read", "FindTraces"):
            with pytest.raises(InvalidRequestError):
                clients.stream(peer.address, method, b"{}")
            with pytest.raises(InvalidRequestError):
                clients.stream(peer.address, method, b"\xff")
        (afar,) = open_remote(clients, peer)
        with pytest.raises(InvalidRequestError, match="no column"):
            afar.read(Table.SPANS, ["nobody"], None, QueryStats())
