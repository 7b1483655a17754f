"""What all streaming methods share: a query in a pool thread, its partial answers, its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from google.protobuf.message import DecodeError

from tracestore.api.feed import Feed, Packets, stream
from tracestore.api.streaming import Send
from tracestore.errors import InvalidRequestError
from tracestore.model.ids import TenantId
from tracestore.model.results import QueryStats
from tracestore.query.jobs.operation import Operation
from tracestore.services.querier.runner import Asking, QueryRunner


class Answer(Protocol):
    """What every answer has."""

    @property
    def stats(self) -> QueryStats: ...


A = TypeVar("A", bound=Answer)
M = TypeVar("M")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamedQuery(Generic[A]):
    """One request, ready to be evaluated. All of it is called in a pool thread."""

    operation: Operation[A]
    render_new: Callable[[A], Packets]
    """Messages of what was in no partial answer before."""
    render_all: Callable[[A], Packets]
    """Messages of the whole answer."""

    async def run(self, runner: QueryRunner, tenants: tuple[TenantId, ...], send: Send) -> None:
        """Answer the request.

        Raises: what ``QueryRunner.run`` raises; ConnectionError if the client is gone.
        """
        feed = Feed(self.render_new, runner.settings.streaming, runner.clock)
        await stream(
            lambda cancelled: runner.run(
                Asking(tenants=tenants, cancelled=cancelled), self.operation, self.render_all, feed
            ),
            feed,
            send,
        )


def read_message(parse: Callable[[bytes], M], request: bytes) -> M:
    """Parse a request. Raises: InvalidRequestError."""
    try:
        return parse(request)
    except DecodeError as error:
        message = f"the request is not the message of this method: {error}"
        raise InvalidRequestError(message) from error


def with_one_job(stats: QueryStats) -> QueryStats:
    """Show a search of nothing as one job that is done: clients divide by the number of jobs."""
    return stats if stats.total_jobs else replace(stats, total_jobs=1, completed_jobs=1)


def given(number: int) -> str:
    """Write a number as a parameter; 0 is none."""
    return str(number) if number else ""
