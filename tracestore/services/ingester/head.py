"""A head: the live tables of one future block, from the first span to the commit.

States: growing -> cut -> flushed. A growing head takes requests; a cut one waits for its block to
be written, and is searched until the block is in the block list. Its block ID is given at birth, so
that a reader who sees both head and block knows that they are the same.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from tracestore.clock import Clock
from tracestore.errors import MalformedError
from tracestore.kernel import RequestCheck, SpanBuilder
from tracestore.model.ids import BlockId
from tracestore.model.tables import Table
from tracestore.services.ingester.live import LiveSource
from tracestore.storage.index.writers import Fence

log = logging.getLogger(__name__)

FRESH_SPANS_MAX = 32768
"""A view of fewer spans is made anew for each query that finds new ones (about 1 µs a span)."""

Request = bytes | bytearray


class Tap(Protocol):
    """What looks at spans as they are decoded, under the lock of the head. It never raises."""

    def take(self, builder: SpanBuilder) -> None:
        """See what was appended since the last call."""

    def skip(self, builder: SpanBuilder) -> None:
        """Do not see it."""


class Head:
    """Spans on their way into one block. Thread-safe.

    ``lock`` of the tenant guards what is waiting; ``_decoding`` guards the builder and the view.
    """

    def __init__(
        self,
        block_id: BlockId,
        *,
        attribute_columns_max: int,
        refresh_s: float,
        clock: Clock,
        quarantine: Callable[[Request, MalformedError], None],
        fence: Fence | None = None,
        tap: Tap | None = None,
    ) -> None:
        """Start empty.

        Args:
            refresh_s: age up to which an expensive view may serve although spans were added since.
            quarantine: keeps an acknowledged request that the decoder refuses; it must not be lost.
            fence: what the commit of its block depends on; None: nothing.
            tap: sees the spans as they come, those that ``load`` replays aside.
        """
        self.block_id = block_id
        self.fence = fence
        self.born_ns: int | None = None
        """Monotonic time of the first request."""
        self.segments: tuple[str, ...] = ()
        """WAL segments known to hold records of this head; complete once it is cut and settled."""
        self.retry_at_ns = 0
        """Monotonic time before which a failed flush is not tried again."""
        self._columns_max = attribute_columns_max
        self._refresh_ns = int(refresh_s * 1e9)
        self._clock = clock
        self._quarantine = quarantine
        self._changed = threading.Condition()
        self._awaited = 0
        self._pending: deque[tuple[Request, RequestCheck | None, bool]] = deque()
        self._pending_bytes = 0
        self._wire_bytes = 0
        self._tap = tap
        self._decoding = threading.Lock()
        self._builder: SpanBuilder | None = SpanBuilder()
        self._view: LiveSource | None = None
        self._view_requests = 0
        self._view_made_ns = 0
        self._decoded_requests = 0

    @property
    def pending_bytes(self) -> int:
        """Bytes that are durable or nearly so, and not decoded."""
        return self._pending_bytes

    @property
    def wire_bytes(self) -> int:
        """Bytes of all requests taken."""
        return self._wire_bytes

    @property
    def is_empty(self) -> bool:
        """Whether no request was ever taken, or all failed."""
        with self._changed:
            return not self._awaited and not self._pending and not self._decoded_requests

    @property
    def spans(self) -> int:
        """Decoded spans, repeated ones included."""
        builder = self._builder
        return builder.spans if builder is not None else 0

    def expect(self, request: Request) -> None:
        """Count a request whose WAL record is being written."""
        with self._changed:
            if self.born_ns is None:
                self.born_ns = self._clock.monotonic_ns()
            self._awaited += 1
            self._pending_bytes += len(request)
            self._wire_bytes += len(request)

    def settle(
        self,
        request: Request,
        checked: RequestCheck | None = None,
        *,
        durable: bool,
        tapped: bool = True,
    ) -> bool:
        """Take an expected request if its record is durable, forget it otherwise.

        Args:
            checked: what ``check`` said of it, if it was asked.
            tapped: whether the tap sees its spans.

        Returns: whether it is the first that waits for decoding.
        """
        with self._changed:
            first = durable and not self._pending
            self._awaited -= 1
            if durable:
                self._pending.append((request, checked, tapped))
            else:
                self._pending_bytes -= len(request)
                self._wire_bytes -= len(request)
            self._changed.notify_all()
            return first

    def load(self, request: Request) -> None:
        """Take and decode a request that is in the log already; for the replay."""
        self.expect(request)
        self.settle(request, durable=True, tapped=False)
        self.decode()

    def wait_settled(self) -> None:
        """Block until no request is expected any more; for a head that was cut."""
        with self._changed:
            self._changed.wait_for(lambda: self._awaited == 0)

    def decode(self) -> int:
        """Decode what is durable. Returns the bytes decoded.

        Cost: the kernel's, without the GIL; queries of this head wait meanwhile.
        """
        with self._decoding:
            return self._decode()

    def _decode(self) -> int:
        with self._changed:
            batch, self._pending = self._pending, deque()
        if not batch:
            return 0
        builder = self._builder
        assert builder is not None, f"head {self.block_id} takes spans after its last view"
        size = 0
        for tapped, requests in itertools.groupby(batch, key=lambda one: one[2]):
            for request, checked, _ in requests:
                size += len(request)
                try:
                    builder.append(request, checked)
                except MalformedError as error:
                    # check() let it pass: a mistake of ours, and it was acknowledged
                    self._quarantine(request, error)
            if self._tap is not None:
                (self._tap.take if tapped else self._tap.skip)(builder)
        self._decoded_requests += len(batch)
        with self._changed:
            self._pending_bytes -= size
        return size

    def view(self) -> LiveSource | None:
        """Get the live tables, with all that was durable when a fresh view was last due.

        A small view is always fresh; a large one is at most ``refresh_s`` old. None: no spans.
        """
        with self._decoding:
            age_ns = self._clock.monotonic_ns() - self._view_made_ns
            large = self._view is not None and self._view.rows(Table.SPANS) >= FRESH_SPANS_MAX
            if large and age_ns < self._refresh_ns:
                return self._view
            self._decode()
            return self._freeze()

    def seal(self) -> LiveSource | None:
        """Decode the rest and make the last view; for a head that was cut. None: no spans.

        The builder is let go, what the view holds stays.
        """
        self.wait_settled()
        with self._decoding:
            if self._builder is not None:
                self._decode()
                self._freeze()
                self._builder = None
            return self._view

    def rename(self, block_id: BlockId) -> None:
        """Become another block: what was written under the ID so far may be gone."""
        with self._decoding:
            self.block_id = block_id
            if self._view is not None:
                self._view = LiveSource(self._view.frozen, block_id)

    def _freeze(self) -> LiveSource | None:
        if self._builder is None or self._view_requests == self._decoded_requests:
            return self._view
        if self._builder.spans == 0:
            return None
        self._view = None  # its memory may go before the next view needs its own
        frozen = self._builder.freeze(attribute_columns_max=self._columns_max)
        self._view = LiveSource(frozen, self.block_id)
        self._view_made_ns = self._clock.monotonic_ns()
        self._view_requests = self._decoded_requests
        return self._view
