"""The live state of one tenant: its log, the head that grows, the heads that wait for their blocks.

One rule holds everything together: a record is in the WAL segments of the head that decodes it, and
of no other. So choosing the head and queueing the record are one step under one lock, and so are
the rotation of the log and the change of heads.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from tracestore.clock import Clock
from tracestore.errors import FencedError, OutdatedBlockError, UnavailableError
from tracestore.kernel import RequestCheck
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import TenantId
from tracestore.services.ingester.flush import Flusher
from tracestore.services.ingester.head import Head, Request
from tracestore.services.ingester.live import LiveSource
from tracestore.services.ingester.sampling import Verdict
from tracestore.settings.tree import IngesterSettings
from tracestore.storage.block.kept import KeptTraces
from tracestore.storage.block.table_reader import TableReader
from tracestore.storage.wal.log import WalPosition

log = logging.getLogger(__name__)


class Log(Protocol):
    """What a tenant needs of ``WriteAheadLog``."""

    def append(self, payload: Request) -> Future[WalPosition]:
        """Queue a record; the future ends when it is durable."""

    def request_rotation(self) -> Future[tuple[str, ...]]:
        """Queue a rotation behind the appends made so far; gives the segments sealed."""

    def drop(self, segments: tuple[str, ...]) -> None:
        """Delete segments."""

    def close(self) -> None:
        """Write what is queued, then end."""


@dataclass(slots=True, kw_only=True)
class _CutHead:
    """A head that takes nothing any more, and how far its flush has come."""

    head: Head
    rotation: Future[tuple[str, ...]]
    turn: threading.Lock
    judge_at_ns: int
    """Monotonic time up to which late spans of its traces are waited for."""
    is_adopted: bool = False
    """Whether another life or process took its spans."""
    is_judged: bool = False
    verdict: Verdict | None = None
    """What of it is stored; None: all."""
    meta: BlockMeta | None = None


class Judging(Protocol):
    """What a tenant needs of ``Sampling``."""

    def wait_ns(self, tenant: TenantId) -> int:
        """Tell how long to wait for late spans."""

    def judge(
        self,
        tenant: TenantId,
        head: LiveSource,
        others: Callable[[], Sequence[LiveSource]],
        segments: Sequence[str],
        *,
        adopted: bool,
    ) -> Verdict | None:
        """Decide which traces are stored; None: all."""

    def count(self, tenant: TenantId, verdict: Verdict) -> None:
        """Count what became of a head."""


WAITS_PARTS = 4
"""A head waits for late spans until the next one is full to one part in so many."""


class RetiredError(Exception):
    """The tenant was let go between finding it and writing to it: open it again."""


class TenantLive:
    """All that is acknowledged and not yet in a block. Thread-safe."""

    def __init__(
        self,
        tenant: TenantId,
        settings: IngesterSettings,
        wal: Log,
        flusher: Flusher,
        *,
        clock: Clock,
        new_head: Callable[[], Head],
        on_pending: Callable[[], None],
        sampling: Judging | None = None,
    ) -> None:
        """Args:
        new_head: makes an empty head with an ID of its own.
        on_pending: told when a request starts to wait for decoding; called from any thread.
        sampling: decides which traces are stored; None: all.
        """
        self.tenant = tenant
        self._settings = settings
        self._wal = wal
        self._flusher = flusher
        self._clock = clock
        self._sampling = sampling
        self._new_head = new_head
        self._on_pending = on_pending
        self._lock = threading.Lock()
        self._live = new_head()
        self._cut: tuple[_CutHead, ...] = ()
        self._retired = False

    @property
    def heads(self) -> tuple[Head, ...]:
        """Every head whose block may not be in the block list yet, oldest first."""
        with self._lock:
            return (*(cut.head for cut in self._cut), self._live)

    @property
    def cut_heads(self) -> tuple[Head, ...]:
        """The heads that wait for their blocks, oldest first."""
        return tuple(cut.head for cut in self._cut)

    @property
    def live(self) -> Head:
        """The head that grows."""
        return self._live

    def append(
        self, request: Request, checked: RequestCheck | None = None, *, tapped: bool = True
    ) -> Future[WalPosition]:
        """Queue a request for the log; once it is durable it waits for decoding.

        Args: tapped: whether the tap of the head sees its spans.

        Raises: UnavailableError if the log does not take it, RetiredError.
        Cost: compression, under the lock; the disk is not waited for.
        """
        with self._lock:
            if self._retired:
                raise RetiredError
            head = self._live
            head.expect(request)
            try:
                durable = self._wal.append(request)
            except BaseException:
                head.settle(request, durable=False)
                raise
        durable.add_done_callback(lambda done: self._settle(head, request, checked, done, tapped))
        return durable

    def _settle(
        self,
        head: Head,
        request: Request,
        checked: RequestCheck | None,
        done: Future[WalPosition],
        tapped: bool,
    ) -> None:
        durable = not done.cancelled() and done.exception() is None
        if head.settle(request, checked, durable=durable, tapped=tapped):
            self._on_pending()

    def decode(self) -> int:
        """Decode all that waits. Returns its bytes."""
        return sum(head.decode() for head in self.heads)

    def sources(self) -> list[LiveSource]:
        """Get the live tables. Read the block list after this, and leave out what is in both."""
        views = (head.view() for head in self.heads)
        return [view for view in views if view is not None]

    @property
    def is_empty(self) -> bool:
        """Whether all that was taken is in blocks."""
        return self._live.is_empty and not self._cut

    @property
    def pending_bytes(self) -> int:
        """Bytes that wait for decoding."""
        return sum(head.pending_bytes for head in self.heads)

    @property
    def wire_bytes(self) -> int:
        """Bytes of all requests that are in no block yet."""
        return sum(head.wire_bytes for head in self.heads)

    def retire(self) -> bool:
        """Take nothing any more, if there is nothing now. Returns: whether that is so."""
        with self._lock:
            self._retired = self._live.is_empty and not self._cut
            return self._retired

    def pressure(self) -> str | None:
        """Say why senders should wait, None if they need not."""
        heads = self.heads
        pending = sum(head.pending_bytes for head in heads)
        if pending >= self._settings.pending_bytes_max:
            return f"{pending} bytes of tenant {self.tenant} wait for decoding"
        full = heads[-1].wire_bytes >= self._settings.max_block_bytes
        if full and len(heads) >= self._settings.unflushed_blocks_max:
            return f"{len(heads)} blocks of tenant {self.tenant} wait to be written"
        return None

    @property
    def is_stuck(self) -> bool:
        """Whether a head waits for its block whose last flush failed: there is no room soon."""
        return any(head.retry_at_ns for head in self.cut_heads)

    def adopt(self, head: Head) -> None:
        """Take over a head that a replay has filled, as one that waits for its block.

        Raises: RetiredError.
        """
        nothing: Future[tuple[str, ...]] = Future()
        nothing.set_result(())
        with self._lock:
            if self._retired:
                raise RetiredError
            cut = self._cut_head(head, nothing)
            cut.is_adopted = True
            self._cut = (*self._cut, cut)

    def grow(self, head: Head) -> None:
        """Go on with a head that the replay has filled; before the first ``append``."""
        with self._lock:
            assert self._live.is_empty
            self._live = head

    def is_due(self, now_ns: int) -> bool:
        """Tell whether the growing head is old or large enough for a block, and may be cut."""
        if len(self._cut) >= max(1, self._settings.unflushed_blocks_max - 1):
            return False
        head = self._live
        if head.born_ns is None:
            return False
        age_s = (now_ns - head.born_ns) / 1e9
        large = head.wire_bytes >= self._settings.max_block_bytes
        return large or age_s >= self._settings.max_block_duration_s

    def cut(self) -> None:
        """Begin a new head; the old one, unless it is empty, waits for its block.

        Raises: UnavailableError if the log is closed.
        """
        with self._lock:
            if self._live.is_empty:
                return
            cut = self._cut_head(self._live, self._wal.request_rotation())
            self._cut = (*self._cut, cut)
            self._live = self._new_head()

    def _cut_head(self, head: Head, rotation: Future[tuple[str, ...]]) -> _CutHead:
        wait_ns = 0 if self._sampling is None else self._sampling.wait_ns(self.tenant)
        return _CutHead(
            head=head,
            rotation=rotation,
            turn=threading.Lock(),
            judge_at_ns=self._clock.monotonic_ns() + wait_ns if wait_ns else 0,
        )

    def is_waiting(self, head: Head, now_ns: int) -> bool:
        """Tell whether a head that was cut should wait for late spans of its traces a while longer.

        Only while there is room: not if the next head is filling up, or another one waits, too.
        """
        cuts = self._cut
        filling = self._live.wire_bytes >= self._settings.max_block_bytes // WAITS_PARTS
        if filling or len(cuts) > 1:
            return False
        waiting = (cut for cut in cuts if cut.head is head and not cut.is_judged)
        return any(now_ns < cut.judge_at_ns for cut in waiting)

    def flush(self, head: Head) -> None:
        """Write the block of a head that was cut, commit it, and drop its segments.

        Harmless if it is flushed already. After a failure the head stays as searchable as it was,
        and the next attempt goes on where this one stopped.

        Raises: UnavailableError, FencedError; OutdatedBlockError if it took so long that the block
            has to be written again.
        """
        found = [cut for cut in self._cut if cut.head is head]
        if not found:
            return
        (cut,) = found
        with cut.turn:
            if cut not in self._cut:
                return
            segments = self._segments(cut)
            view = head.seal()
            stored = None if view is None else self._stored(cut, view, segments)
            if stored is not None:
                if cut.meta is None:
                    cut.meta = self._flusher.write(self.tenant, head.block_id, stored, segments)
                try:
                    self._flusher.commit(cut.meta, head.fence)
                except FencedError:
                    self._let_go(cut)  # another process answers for its spans
                    raise
                except OutdatedBlockError:
                    # its objects may be deleted by now: the next attempt writes another block
                    cut.meta = None
                    head.rename(self._new_head().block_id)
                    raise
            self._let_go(cut)
        if self._sampling is not None and cut.verdict is not None:
            self._sampling.count(self.tenant, cut.verdict)
        self._drop(segments)

    def _stored(
        self, cut: _CutHead, view: LiveSource, segments: tuple[str, ...]
    ) -> TableReader | None:
        """Get what of a head is stored, which is decided once; None: nothing."""
        if self._sampling is not None and not cut.is_judged:
            cut.verdict = self._sampling.judge(
                *(self.tenant, view, lambda: self._views_without(cut.head), segments),
                adopted=cut.is_adopted,
            )
            cut.is_judged = True
        if cut.verdict is None or cut.verdict.keeps_all:
            return view.frozen
        if cut.verdict.keeps_none:
            return None
        return KeptTraces(view.frozen, cut.verdict.weights)

    def _views_without(self, head: Head) -> list[LiveSource]:
        views = (other.view() for other in self.heads if other is not head)
        return [view for view in views if view is not None]

    def _let_go(self, cut: _CutHead) -> None:
        with self._lock:
            self._cut = tuple(other for other in self._cut if other is not cut)

    def _segments(self, cut: _CutHead) -> tuple[str, ...]:
        """Collect the segments of a head, its last ones as soon as they are sealed."""
        head = cut.head
        try:
            sealed = cut.rotation.result(self._settings.wal.bucket.answer_wait_s)
        except TimeoutError as error:
            raise UnavailableError(
                f"the write-ahead log of tenant {self.tenant} does not get to its rotation"
            ) from error
        head.segments += tuple(name for name in sealed if name not in head.segments)
        return head.segments

    def _drop(self, segments: tuple[str, ...]) -> None:
        try:
            self._wal.drop(segments)
        except UnavailableError as error:
            # the next start drops them: the commit says that a block holds their records
            log.warning(
                "WAL segments of a block were not dropped",
                extra={"tenant": self.tenant, "segments": len(segments), "error": str(error)},
            )

    def close(self) -> None:
        """End the log; what is not flushed is replayed by the next start."""
        self._wal.close()
