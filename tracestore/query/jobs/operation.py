"""A question to the engine as a value, which says all there is to it but the sources.

So the one who asks need not be where the sources are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

from tracestore.model.results import QueryStats
from tracestore.query.control import QueryControl
from tracestore.query.progress import Progress
from tracestore.query.source import SpanSource
from tracestore.storage.block.cache import BlockCache

R = TypeVar("R")


class QueryKind(StrEnum):
    """Kinds of query, as metrics call them."""

    TRACES = "traces"
    SEARCH = "search"
    METADATA = "metadata"
    """Names and values of tags."""
    METRICS = "metrics"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where an operation is evaluated: what stops it, and what is remembered there."""

    control: QueryControl
    cache: BlockCache | None = None
    """Keeps what was counted in blocks."""


class Operation(Protocol[R]):
    """A question; ``R`` is its answer."""

    @property
    def kind(self) -> QueryKind:
        """How metrics call it."""

    def answer(
        self, sources: Sequence[SpanSource], site: Site, progress: Progress[R] | None = None
    ) -> R:
        """Answer over some sources, in a pool thread: a text is read here, too.

        Raises: InvalidRequestError for a question that is none; DeadlineError; LimitExceededError;
        what a source raises that cannot be read.
        """

    def stats_of(self, answer: R) -> QueryStats | None:
        """Tell what was looked at for an answer; None if metrics do not count that."""
