"""Jobs of queries that other processes were asked: a querier evaluates them on their snapshot.

Who has sent a job cancels the call if the answer is not needed any more; that stops the thread at
the next look at its control.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from tracestore.clock import Clock
from tracestore.codec.job_wire import FrameKind, JobRequest, SnapshotNames, cut_frames
from tracestore.errors import LimitExceededError, TracestoreError, UnavailableError
from tracestore.model.block_meta import BlockMeta
from tracestore.query.control import QueryControl
from tracestore.query.jobs.answers import encode_answer
from tracestore.query.jobs.operation import Operation, Share, Site
from tracestore.query.jobs.questions import operation_from_wire
from tracestore.query.source import SpanSource
from tracestore.services.blocking import BlockingPool
from tracestore.services.live.pins import LivePins
from tracestore.services.live.remote import LiveClients, RemoteSource
from tracestore.services.live.snapshot import LostSource
from tracestore.services.rpc import Metadata, Send, Sending, write_error
from tracestore.services.turns import Turns
from tracestore.storage.block.cache import BlockCache
from tracestore.telemetry import Metrics
from tracestore.tracing import Tracing

SHOW_INTERVAL_S = 0.1
"""Partial answers are sent no more often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSources:
    """Opens what a job names."""

    open_block: Callable[[BlockMeta], SpanSource]
    reading: Callable[[Sequence[SpanSource]], AbstractContextManager[Sequence[SpanSource]]]
    """As that of ``Querier``."""
    clients: LiveClients
    pins: LivePins
    own_address: str

    @contextmanager
    def open(self, names: SnapshotNames) -> Iterator[list[SpanSource]]:
        """Get all sources, in the order in which a query of this process would have them."""
        live: list[SpanSource] = []
        for one in names.pinned:
            here = one.address == self.own_address
            own = self.pins.find(one.token, one.head.id) if here else None
            live.append(own or RemoteSource(self.clients, one.address, one.token, one.head))
        lost = [LostSource(one.id, one.reason) for one in names.lost]
        with self.reading([self.open_block(meta) for meta in names.blocks]) as blocks:
            yield [*live, *lost, *blocks]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryJobs:
    """Serves ``Jobs``."""

    sources: JobSources
    pool: BlockingPool
    turns: Turns
    cache: BlockCache
    clock: Clock
    metrics: Metrics
    tracing: Tracing
    is_ready: Callable[[], bool]

    @property
    def methods(self) -> dict[str, Sending]:
        """What others ask of this process."""
        return {"Run": self.run}

    async def run(self, request: bytes, _metadata: Metadata, send: Send) -> None:
        """Evaluate a job; sends partial answers if they are wanted, then the answer or its failure.

        Raises: what keeps the job from being evaluated here: UnavailableError, LimitExceededError
            if too many wait, InvalidRequestError.
        """
        if not self.is_ready():
            raise UnavailableError("the querier is starting")
        job = JobRequest.decode(request)
        frames: asyncio.Queue[bytes | None] = asyncio.Queue()
        cancelled = threading.Event()
        timeout_ns = None if job.timeout_s is None else int(job.timeout_s * 1e9)
        control = QueryControl(
            clock=self.clock,
            deadline_ns=None if timeout_ns is None else self.clock.monotonic_ns() + timeout_ns,
            cancelled=cancelled,
            bytes_max=job.bytes_max,
            answer_bytes_max=job.answer_bytes_max,
        )
        shown = _Shown(frames, self.clock) if job.shows else None
        started_ns = self.clock.monotonic_ns()
        refused: LimitExceededError | None = None
        content: Sequence[bytes] = ()
        try:
            async with self.turns.turn("|".join(job.tenants)), asyncio.TaskGroup() as tasks:
                tasks.create_task(_send_all(frames, send))
                try:
                    content = await self.pool.run(self._evaluate, job, control, shown)
                except LimitExceededError as error:  # carried around the task group
                    refused = error
                finally:
                    frames.put_nowait(None)
            if refused is not None:
                raise refused
            for frame in content:
                await send(frame)
        finally:
            cancelled.set()
            seconds = (self.clock.monotonic_ns() - started_ns) / 1e9
            self.metrics.job_seconds.observe(seconds)

    def _evaluate(
        self, job: JobRequest, control: QueryControl, shown: _Shown | None
    ) -> Sequence[bytes]:
        """Make the last frames."""
        try:
            control.check()
            with self.tracing.step("job") as span:
                operation = operation_from_wire(job.operation)
                with self.sources.open(SnapshotNames.decode(job.snapshot)) as sources:
                    span.set_attributes(
                        {
                            "tracestore.tenant": "|".join(job.tenants),
                            "tracestore.sources": len(sources),
                        }
                    )
                    site = Site(control=control, cache=self.cache)
                    content = _content(job, operation, sources, site, shown)
                return list(cut_frames(FrameKind.ANSWER, content))
        except TracestoreError as error:
            return list(cut_frames(FrameKind.FAILURE, write_error(error)))


def _content(
    job: JobRequest,
    operation: Operation[Any],
    sources: Sequence[SpanSource],
    site: Site,
    shown: _Shown | None,
) -> bytes:
    """Make what is sent: the answer, or a part of it that others are added to."""
    if job.primary is None:
        return encode_answer(operation.answer(sources, site, shown))
    share = Share(primary=frozenset(job.primary), without=frozenset(job.without))
    return operation.part(sources, site, share)


async def _send_all(frames: asyncio.Queue[bytes | None], send: Send) -> None:
    while (frame := await frames.get()) is not None:
        await send(frame)


class _Shown:
    """The ``Progress`` of a job: frames, made in its thread."""

    def __init__(self, frames: asyncio.Queue[bytes | None], clock: Clock) -> None:
        """To be made in the event loop."""
        self._frames = frames
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._interval_ns = int(SHOW_INTERVAL_S * 1e9)
        self._due_ns = clock.monotonic_ns() + self._interval_ns

    def is_due(self) -> bool:
        """Tell whether enough time has passed, and what was shown before is on its way."""
        return self._frames.empty() and self._clock.monotonic_ns() > self._due_ns

    def show(self, partial: Any) -> None:
        """Send what is known."""
        for frame in cut_frames(FrameKind.SHOWN, encode_answer(partial)):
            self._loop.call_soon_threadsafe(self._frames.put_nowait, frame)
        self._due_ns = self._clock.monotonic_ns() + self._interval_ns
