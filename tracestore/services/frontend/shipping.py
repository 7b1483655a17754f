"""Has one query on one snapshot done by queriers: as one job, or as several whose parts add up."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, cast

from tracestore.codec.job_wire import JobRequest
from tracestore.errors import InvalidRequestError, LimitExceededError, UnavailableError
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import TenantId
from tracestore.model.results import QueryStats, SearchResult
from tracestore.query.control import QueryControl
from tracestore.query.jobs.answers import decode_answer
from tracestore.query.jobs.operation import Operation, Site
from tracestore.query.jobs.search import SearchTraces
from tracestore.query.progress import Progress
from tracestore.query.source import SpanSource
from tracestore.services.blocking import BlockingPool
from tracestore.services.frontend.cut import Piece
from tracestore.services.frontend.dispatch import Dispatcher, Shipment, Show
from tracestore.services.frontend.held import HeldSnapshot
from tracestore.services.turns import Turns
from tracestore.telemetry import Metrics

R = TypeVar("R")

ROUNDS_MAX = 4
"""How often jobs are done again because others could not read what they could."""
Finish = Callable[[], R]
"""Makes the answer; to be called in a pool thread."""
NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Generic[R]):
    """One query on one snapshot."""

    tenants: tuple[TenantId, ...]
    operation: Operation[R]
    taken: HeldSnapshot
    control: QueryControl
    progress: Progress[R] | None

    @property
    def site(self) -> Site:
        """Where parts are put together."""
        return Site(control=self.control)

    @property
    def newest(self) -> SearchTraces | None:
        """Get the search, if some parts may be all it needs: those with the newest traces."""
        one: object = self.operation
        if not isinstance(one, SearchTraces) or one.params.explain:
            return None
        return one if one.params.is_newest_alone else None

    @property
    def is_looked_at(self) -> bool:
        """Whether it matters what some of its parts say."""
        return self.progress is not None or self.newest is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Package:
    """What all jobs of a query have in common."""

    operation: bytes
    snapshot: bytes


@dataclass(slots=True)
class _Parts(Generic[R]):
    """What jobs have given so far."""

    by_place: dict[int, bytes]
    whole: list[R]
    """The answer, if it needs no more parts."""
    failure: Exception | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipping:
    """Has queries done."""

    dispatcher: Dispatcher
    turns: Turns
    """Of jobs, over all queries."""
    pool: BlockingPool
    metrics: Metrics

    async def answer(self, question: Question[R]) -> Finish[R]:
        """Have a query answered. Raises: what ``Dispatcher.run`` raises, and ``combine``."""
        package = await self.pool.run(_pack, question)
        pieces = question.taken.pieces
        kind = question.operation.kind.value
        self.metrics.jobs_per_query.labels(kind).observe(len(pieces) or 1)
        if pieces:
            return await self._divided(question, package)
        # the same question goes to the same querier, which has read the columns before
        key = hashlib.blake2b(package.operation, digest_size=16).hexdigest()
        show = None if question.progress is None else self._shower(question, question.progress)
        content = await self._job(question, package, key, show=show)
        return lambda: _read(question.operation, content)

    async def _job(
        self,
        question: Question[R],
        package: _Package,
        key: str,
        *,
        primary: frozenset[str] | None = None,
        without: frozenset[str] = NOTHING,
        show: Show | None = None,
    ) -> bytes:
        control = question.control

        def encode(left_s: float | None) -> bytes:
            return JobRequest(
                tenants=question.tenants,
                operation=package.operation,
                snapshot=package.snapshot,
                primary=None if primary is None else tuple(sorted(primary)),
                without=tuple(sorted(without)),
                timeout_s=left_s,
                bytes_max=control.bytes_max,
                answer_bytes_max=control.answer_bytes_max,
                shows=show is not None,
            ).encode()

        shipment = Shipment(key=key, encode=encode, deadline_ns=control.deadline_ns)
        async with self.turns.turn("|".join(question.tenants)):
            return await self.dispatcher.run(shipment, show)

    def _shower(self, question: Question[R], progress: Progress[R]) -> Show:
        def show_in_thread(content: bytes) -> None:
            if progress.is_due():
                progress.show(_read(question.operation, content))

        async def show(content: bytes) -> None:
            await self.pool.run(show_in_thread, content)

        return show

    # --- a query in parts --------------------------------------------------------------------

    async def _divided(self, question: Question[R], package: _Package) -> Finish[R]:
        pieces = question.taken.pieces
        parts: dict[int, bytes] = {}
        todo: Sequence[int] = range(len(pieces))
        without = NOTHING
        for _ in range(ROUNDS_MAX):
            made = await self._round(question, package, todo, without, parts)
            if made.whole:
                (whole,) = made.whole
                return lambda: whole
            parts = made.by_place
            missing = await self.pool.run(_missing, question.operation, parts)
            without = frozenset[str]().union(*missing.values())
            todo = [place for place, its in missing.items() if its != without]
            if not todo:
                content = [parts[place] for place in range(len(pieces))]
                return lambda: question.operation.combine(content, question.site)
        raise UnavailableError("sources of the query become unreadable one after another")

    async def _round(
        self,
        question: Question[R],
        package: _Package,
        todo: Sequence[int],
        without: frozenset[str],
        known: Mapping[int, bytes],
    ) -> _Parts[R]:
        """Have jobs done; parts that are known are kept. Raises: what a job raises first."""
        again = set(todo)
        made = _Parts[R]({p: part for p, part in known.items() if p not in again}, [])
        ended: asyncio.Queue[tuple[int, bytes | Exception]] = asyncio.Queue()

        async def job(place: int, piece: Piece) -> None:
            try:
                part: bytes | Exception = await self._job(
                    question, package, piece.key, primary=piece.primary, without=without
                )
            except Exception as error:  # noqa: BLE001 - carried around the task group, raised below
                part = error
            ended.put_nowait((place, part))

        async with asyncio.TaskGroup() as tasks:
            pieces = question.taken.pieces
            jobs = [tasks.create_task(job(place, pieces[place])) for place in todo]
            try:
                for _ in jobs:
                    place, part = await ended.get()
                    if isinstance(part, Exception):
                        made.failure = part
                        break
                    made.by_place[place] = part
                    if await self._is_enough(question, made):
                        break
            finally:
                for one in jobs:
                    one.cancel()
        if made.failure is not None:
            raise made.failure
        return made

    async def _is_enough(self, question: Question[R], made: _Parts[R]) -> bool:
        """Show what is sure by now, and tell whether that is the whole answer."""
        pieces = question.taken.pieces
        left = [piece for place, piece in enumerate(pieces) if place not in made.by_place]
        if not left or not question.is_looked_at:
            return False
        latest_ns = max(piece.end_ns for piece in left)
        parts = list(made.by_place.values())
        try:
            made.whole += await self.pool.run(_look, question, parts, latest_ns)
        except LimitExceededError as error:
            made.failure = error
            return True
        return bool(made.whole)


def _pack(question: Question[Any]) -> _Package:
    operation, names = question.operation.to_wire(), question.taken.name()
    return _Package(operation=operation, snapshot=names.encode())


def _read(operation: Operation[R], content: bytes) -> R:
    try:
        return decode_answer(operation, content)
    except InvalidRequestError as error:  # not the client's fault
        raise UnavailableError(f"the answer of a querier cannot be read: {error}") from error


def _missing(operation: Operation[Any], parts: Mapping[int, bytes]) -> dict[int, frozenset[str]]:
    return {place: operation.missing_of(part) for place, part in parts.items()}


def _look(question: Question[R], parts: Sequence[bytes], latest_ns: int) -> list[R]:
    """Show what is sure; get the whole answer if that is all, nothing else.

    Raises: LimitExceededError if more has been read by now than may be.
    """
    operation, progress, newest = question.operation, question.progress, question.newest
    is_due = progress is not None and progress.is_due()
    if not is_due and newest is None:
        return []
    if len({operation.missing_of(part) for part in parts}) > 1:
        return []  # some are made again
    try:
        sure = operation.settled(operation.combine(parts, question.site), latest_ns)
    except LimitExceededError:
        if newest is not None:
            raise
        return []  # the whole answer may still keep to it
    found: object = sure
    if newest is not None and isinstance(found, SearchResult) and _is_full(found, newest):
        whole = replace(found, stats=_with_all(found.stats, newest, question.taken))
        return [cast("R", whole)]
    if sure is not None and progress is not None and is_due:
        progress.show(sure)
    return []


def _is_full(found: SearchResult, search: SearchTraces) -> bool:
    return len(found.traces) >= search.params.limit


def _with_all(stats: QueryStats, operation: SearchTraces, taken: HeldSnapshot) -> QueryStats:
    """Count the sources that nothing was asked of: the rest has nothing to add."""
    window = operation.params.window

    def is_inside(one: BlockMeta | SpanSource) -> bool:
        return window is None or window.overlaps(one.start_ns, one.end_ns)

    metas = [meta for meta in taken.metas if is_inside(meta)]
    jobs = len(metas) + sum(1 for source in taken.live if is_inside(source))
    return replace(
        stats,
        total_blocks=len(metas),
        total_block_bytes=sum(meta.stored_bytes for meta in metas),
        total_jobs=jobs,
        completed_jobs=jobs,
    )
