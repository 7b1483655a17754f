import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.clocks import ManualClock
from support.fake_wal import FakeWal
from support.otlp import request, span

from tracestore.errors import MalformedError, OutdatedBlockError, UnavailableError
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import SINGLE_TENANT, new_block_id
from tracestore.model.results import QueryStats
from tracestore.services.ingester.flush import Flusher
from tracestore.services.ingester.head import Head
from tracestore.services.ingester.quarantine import Quarantine
from tracestore.services.ingester.tenant import TenantLive
from tracestore.settings.tree import BlockSettings, IngesterSettings
from tracestore.settings.wal_tree import BucketWalSettings, WalSettings
from tracestore.storage.block.writer import BlockWriter
from tracestore.storage.index.writers import Fence
from tracestore.storage.objects.memory import MemoryObjectStore
from tracestore.telemetry import Metrics


class Setup:
    """A tenant over a store in memory and a log whose syncs the test controls."""

    def __init__(self, directory: Path, **settings: object) -> None:
        self.clock = ManualClock()
        self.wal = FakeWal()
        self.blocks: list[BlockMeta] = []
        self.commit_failures = 0
        self.commit_error: Exception | None = None
        self.woken = 0
        self._rng = random.Random(1)
        self._quarantine = Quarantine(directory)
        metrics = Metrics(version="0")
        writer = BlockWriter(MemoryObjectStore(), BlockSettings(), self.clock)
        self.tenant = TenantLive(
            SINGLE_TENANT,
            IngesterSettings(**settings),  # type: ignore[arg-type]
            self.wal,
            Flusher(writer, self.commit, metrics, self.clock),
            clock=self.clock,
            new_head=self.new_head,
            on_pending=self.wake,
        )

    def new_head(self) -> Head:
        return Head(
            new_block_id(self.clock.now_ns(), self._rng),
            attribute_columns_max=512,
            refresh_s=0.25,
            clock=self.clock,
            quarantine=self._quarantine.keep,
        )

    def commit(self, meta: BlockMeta, fence: Fence | None = None) -> None:
        if self.commit_failures:
            self.commit_failures -= 1
            raise UnavailableError("no space left")
        if self.commit_error is not None:
            raise self.commit_error
        self.blocks.append(meta)

    def wake(self) -> None:
        self.woken += 1

    def flush(self) -> None:
        self.tenant.cut()
        for head in self.tenant.cut_heads:
            self.tenant.flush(head)

    def searchable(self) -> list[int]:
        """First bytes of the trace IDs that live tables and blocks show together."""
        in_list = {meta.id for meta in self.blocks}
        views = [view for view in self.tenant.sources() if view.id not in in_list]
        return sorted(
            number
            for number in range(1, 20)
            for view in views
            if view.find_trace(number.to_bytes(16, "big"), QueryStats()) is not None
        )


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Setup]:
    return lambda **settings: Setup(tmp_path, **settings)


def one(trace: int) -> bytes:
    return request(resource={"service.name": "shop"}, spans=[span(trace=trace, id=1, name="op")])


def test_a_span_is_found_as_soon_as_it_is_durable_and_not_before(
    make: Callable[..., Setup],
) -> None:
    setup = make()
    setup.wal.auto = False

    durable = setup.tenant.append(one(1))
    before = setup.searchable()
    setup.wal.sync()

    assert durable.done()
    assert before == []
    assert setup.searchable() == [1]
    assert setup.woken == 1


def test_a_request_that_the_disk_refused_is_never_found(make: Callable[..., Setup]) -> None:
    setup = make()
    setup.wal.auto = False

    refused = setup.tenant.append(one(1))
    setup.wal.sync(error="disk full")

    assert isinstance(refused.exception(), UnavailableError)
    assert setup.searchable() == []
    assert setup.tenant.live.is_empty
    assert setup.tenant.live.pending_bytes == 0


def test_a_block_that_is_too_old_to_be_committed_is_written_anew_as_another(
    make: Callable[..., Setup],
) -> None:
    setup = make()
    setup.tenant.append(one(1))
    setup.commit_error = OutdatedBlockError("too old")
    old = setup.tenant.live.block_id
    with pytest.raises(OutdatedBlockError):
        setup.flush()
    (head,) = setup.tenant.cut_heads
    assert [view.id for view in setup.tenant.sources()] == [head.block_id]
    assert setup.searchable() == [1]

    setup.commit_error = None
    setup.clock.advance(5)
    setup.tenant.flush(head)
    (meta,) = setup.blocks
    assert meta.id == head.block_id != old
    assert meta.created_ns == setup.clock.now_ns()
    assert setup.tenant.cut_heads == ()
    assert setup.wal.dropped


def test_a_block_holds_what_its_segments_hold(make: Callable[..., Setup]) -> None:
    setup = make()
    setup.wal.auto = False
    setup.tenant.append(one(1))
    setup.tenant.cut()
    setup.tenant.append(one(2))
    setup.wal.sync()
    (head,) = setup.tenant.cut_heads

    setup.tenant.flush(head)

    (meta,) = setup.blocks
    assert meta.id == head.block_id
    assert (meta.spans, meta.wal_segments) == (1, ("segment-0",))
    assert setup.wal.dropped == ["segment-0"]
    assert setup.wal.segments == {"segment-1": [one(2)]}
    assert setup.searchable() == [2]


def test_a_failed_flush_leaves_all_searchable_and_is_done_later(
    make: Callable[..., Setup],
) -> None:
    setup = make()
    setup.commit_failures = 1
    setup.tenant.append(one(1))

    with pytest.raises(UnavailableError):
        setup.flush()
    setup.tenant.append(one(2))
    between = setup.searchable()
    kept = dict(setup.wal.segments)
    setup.flush()

    assert between == [1, 2]
    assert len(kept) == 2
    assert sum(meta.spans for meta in setup.blocks) == 2
    assert setup.wal.segments == {}
    assert setup.searchable() == []


def test_a_head_is_searchable_until_its_block_is_in_the_list(make: Callable[..., Setup]) -> None:
    setup = make()
    seen: list[list[int]] = []
    setup.tenant.append(one(1))
    commit = setup.commit

    def look_while_committing(meta: BlockMeta, fence: Fence | None) -> None:
        seen.append(setup.searchable())
        commit(meta, fence)
        # the head is still there, and left out by its ID: no double
        assert [head.block_id for head in setup.tenant.cut_heads] == [meta.id]
        seen.append(setup.searchable())

    setup.tenant._flusher._commit = look_while_committing  # type: ignore[assignment]
    setup.flush()

    assert seen == [[1], []]


def test_an_empty_head_makes_no_block(make: Callable[..., Setup]) -> None:
    setup = make()

    setup.flush()

    assert setup.blocks == []
    assert setup.tenant.cut_heads == ()


def test_flushing_twice_makes_one_block(make: Callable[..., Setup]) -> None:
    setup = make()
    setup.tenant.append(one(1))
    setup.tenant.cut()
    (head,) = setup.tenant.cut_heads

    both = [threading.Thread(target=setup.tenant.flush, args=(head,)) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()

    assert len(setup.blocks) == 1


def test_a_head_is_due_by_age_and_by_size(make: Callable[..., Setup]) -> None:
    setup = make(max_block_duration_s=300, max_block_bytes=2 * len(one(1)))
    now = setup.clock.monotonic_ns

    assert not setup.tenant.is_due(now())
    setup.tenant.append(one(1))
    assert not setup.tenant.is_due(now())
    setup.clock.advance(300)
    assert setup.tenant.is_due(now())
    setup.flush()
    setup.tenant.append(one(2))
    assert not setup.tenant.is_due(now())
    setup.tenant.append(one(3))
    assert setup.tenant.is_due(now())


def test_senders_are_held_back_while_memory_is_full(make: Callable[..., Setup]) -> None:
    setup = make(max_block_bytes=1, unflushed_blocks_max=2)
    setup.tenant.append(one(1))
    alone = setup.tenant.pressure()
    setup.tenant.cut()
    setup.tenant.append(one(2))
    full = setup.tenant.pressure()
    (head,) = setup.tenant.cut_heads
    setup.tenant.flush(head)

    assert alone is None
    assert full == "2 blocks of tenant single-tenant wait to be written"
    assert setup.tenant.pressure() is None


def test_undecoded_bytes_hold_senders_back(make: Callable[..., Setup]) -> None:
    setup = make(pending_bytes_max=1)
    setup.tenant.append(one(1))
    before = setup.tenant.pressure()
    decoded = setup.tenant.decode()

    assert before == f"{len(one(1))} bytes of tenant single-tenant wait for decoding"
    assert decoded == len(one(1))
    assert setup.tenant.pressure() is None


def test_replayed_segments_go_with_the_head_that_goes_on(make: Callable[..., Setup]) -> None:
    setup = make()
    setup.wal.segments = {"old": [one(1)]}
    head = setup.new_head()
    head.segments = ("old",)
    head.load(one(1))
    setup.tenant.grow(head)
    setup.tenant.append(one(2))

    setup.flush()

    (meta,) = setup.blocks
    assert meta.wal_segments == ("old", "segment-1")
    assert meta.spans == 2
    assert setup.wal.segments == {}


def test_an_acknowledged_request_that_cannot_be_decoded_is_kept(
    make: Callable[..., Setup], tmp_path: Path
) -> None:
    setup = make()
    setup.tenant.append(b"\x0a\xff")
    setup.tenant.append(one(1))

    assert setup.searchable() == [1]
    (kept,) = tmp_path.glob("undecodable-*.otlp")
    assert kept.read_bytes() == b"\x0a\xff"


def test_a_log_that_does_not_answer_does_not_hold_up_a_flush_for_ever(tmp_path: Path) -> None:
    bucket = BucketWalSettings(answer_wait_s=0.02)
    setup = Setup(tmp_path, wal=WalSettings(store="bucket", bucket=bucket))
    setup.tenant.append(request(spans=[span(trace=1, id=1)]))
    setup.wal.auto = False

    with pytest.raises(UnavailableError, match="does not get to its rotation"):
        setup.flush()
    assert setup.searchable() == [1]
    setup.wal.sync()
    setup.flush()
    assert setup.searchable() == []
    assert len(setup.blocks) == 1


def test_what_cannot_be_decoded_is_kept_in_the_bucket_if_the_log_is_there(tmp_path: Path) -> None:
    store = MemoryObjectStore()
    Quarantine(tmp_path, store).keep(b"bad", MalformedError("no such field", 7))
    (info,) = store.list("wal-quarantine/undecodable/")
    assert store.get(info.key) == b"bad"
    assert not list(tmp_path.iterdir())
