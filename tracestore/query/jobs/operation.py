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


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a part of an answer is about."""

    primary: frozenset[str]
    """IDs of the sources that are answered for. The others are there for what they have of the same
    traces: of a trace in several sources all that is said is of the whole trace, and a span that is
    in several counts where the source of the lowest ID is primary."""
    without: frozenset[str] = frozenset()
    """IDs of sources that another part could not read: they are left out here, too, and named."""

    def of(self, sources: Sequence[SpanSource]) -> Sequence[SpanSource]:
        """Leave out what could not be read."""
        return [one for one in sources if one.id not in self.without] if self.without else sources


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

    @property
    def is_divisible(self) -> bool:
        """Whether parts of the answer may be made apart.

        Not if the answer, or whether there is one, depends on the order of the sources.

        Raises: InvalidRequestError for a question that is none.
        """

    def part(self, sources: Sequence[SpanSource], site: Site, share: Share) -> bytes:
        """Answer for some of the sources, in a form that ``combine`` takes, here or elsewhere.

        Raises: as ``answer``.
        """

    def missing_of(self, part: bytes) -> frozenset[str]:
        """Get the sources that a part is without. If parts differ in it, some are to be made again.

        Raises: CorruptionError for bytes that are no part.
        """

    def combine(self, parts: Sequence[bytes], site: Site) -> R:
        """Make the answer of all parts, in any order, the same as ``answer`` gives of all sources.

        Of some parts it makes an answer as far as it is known.

        Args:
            parts: every source is primary in one of them; at least one.

        Raises: CorruptionError for bytes that are no part of this; LimitExceededError.
        """

    def settled(self, answer: R, latest_ns: int) -> R | None:
        """Keep what is sure of the answer of some parts; None: nothing.

        Args:
            latest_ns: no source that is primary in a missing part ends later.
        """

    def to_wire(self) -> bytes:
        """Write the question down. Raises: InvalidRequestError if its texts are no Unicode."""

    def stats_of(self, answer: R) -> QueryStats | None:
        """Tell what was looked at for an answer; None if metrics do not count that."""
