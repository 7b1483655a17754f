"""Names and values of tags.

Source: wire contract, section 9; TraceQL reference, section 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import traceql
from traceql import TagFilter
from traceql.attributes import (
    SCOPED_INTRINSICS,
    SERVICE_NAME,
    UNSCOPED_INTRINSICS,
    Attribute,
    Field,
    Intrinsic,
    Scope,
)
from tracestore.errors import InvalidRequestError
from tracestore.model.results import QueryStats
from tracestore.model.tags import TagNames, TagScope, TagType, TagValues
from tracestore.model.times import TimeRange
from tracestore.query.jobs.operation import QueryKind, Share, Site
from tracestore.query.jobs.wire import read, write
from tracestore.query.progress import Progress
from tracestore.query.source import SpanSource
from tracestore.query.tag_columns import TEXT_INTRINSICS
from tracestore.query.tag_names import NamesPart, combine_names, names_part, tag_names
from tracestore.query.tag_spans import Lookup
from tracestore.query.tag_values import (
    FIXED_VALUES,
    ValuesPart,
    combine_values,
    tag_values,
    values_part,
)

_OF_RESOURCES = frozenset(
    {
        SERVICE_NAME.name,
        "k8s.cluster.name",
        "k8s.namespace.name",
        "k8s.pod.name",
        "k8s.container.name",
    }
)
"""Names that the first version looks for in resources alone."""
_LEGACY: dict[str, Intrinsic] = {
    "status.code": Intrinsic.STATUS,
    "root.name": Intrinsic.ROOT_NAME,
    "root.service.name": Intrinsic.ROOT_SERVICE_NAME,
}


_ERRORS = TagValues(types=(TagType.BOOL,), texts=("true",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowing:
    """What narrows an answer; of a number, 0 is no bound."""

    filter: str = ""
    """A query that may be half typed."""
    groups_max: int = 0
    """Alternatives that the filter may have."""
    window: TimeRange | None = None
    reach_ns: int | None = None
    limit: int = 0
    stale_max: int = 0
    bytes_max: int = 0

    def lookup(self, tag: Field | None) -> Lookup:
        """Read the filter. Raises: InvalidRequestError if it has too many alternatives."""
        return Lookup(
            filter=self._filter(tag),
            window=self.window,
            reach_ns=self.reach_ns,
            limit=self.limit,
            stale_max=self.stale_max,
            bytes_max=self.bytes_max,
        )

    def _filter(self, tag: Field | None) -> TagFilter | None:
        """Read the filter. An unscoped tag is looked for in two places, which is twice the work."""
        found = traceql.parse_tag_filter(self.filter)
        if found is None or not self.groups_max:
            return found
        is_unscoped = isinstance(tag, Attribute) and tag.scope is Scope.NONE
        if found.groups * (1 + is_unscoped) > self.groups_max:
            raise InvalidRequestError(
                f"maximum condition groups reached (limit: {self.groups_max}). "
                "Reduce the number of OR conditions in the query"
            )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ListNames:
    """The names of tags, by scope."""

    scopes: tuple[TagScope, ...]
    narrowing: Narrowing

    NAME: ClassVar = "names"
    PART: ClassVar = "part of names"

    @property
    def kind(self) -> QueryKind:
        """How metrics call it."""
        return QueryKind.METADATA

    def answer(
        self, sources: Sequence[SpanSource], site: Site, progress: Progress[TagNames] | None = None
    ) -> TagNames:
        """List the names. Raises: as ``Operation`` and ``tag_names`` say."""
        lookup = self.narrowing.lookup(None)
        return tag_names(sources, self.scopes, lookup, site.control, progress=progress)

    @property
    def is_divisible(self) -> bool:
        """Whether it is; not if it ends at names that are known already."""
        return not self.narrowing.stale_max

    def part(self, sources: Sequence[SpanSource], site: Site, share: Share) -> bytes:
        """Answer for some of the sources; see ``Operation``."""
        lookup = self.narrowing.lookup(None)
        part = names_part(sources, self.scopes, lookup, site.control, share.primary)
        return write(self.PART, part)

    def missing_of(self, part: bytes) -> frozenset[str]:
        """Get the sources that a part is without."""
        return frozenset()

    def combine(self, parts: Sequence[bytes], site: Site) -> TagNames:
        """Make the answer of all parts; see ``Operation``."""
        read_parts = [read(part, self.PART, NamesPart) for part in parts]
        return combine_names(read_parts, self.scopes, self.narrowing.lookup(None))

    def settled(self, answer: TagNames, latest_ns: int) -> TagNames | None:
        """Keep all of them: names stay, except where a limit leaves those out that come last."""
        return answer

    def to_wire(self) -> bytes:
        """Write the question down."""
        return write(self.NAME, self)

    def stats_of(self, answer: TagNames) -> QueryStats | None:
        """Tell what was looked at."""
        return answer.stats


@dataclass(frozen=True, slots=True, kw_only=True)
class ListValues:
    """The values of a tag, most frequent first."""

    tag: str
    is_legacy: bool
    """Whether the tag is named as the first version of the route does."""
    narrowing: Narrowing
    blocks_max: int = 0
    """The newest so many blocks are asked; 0: all."""

    NAME: ClassVar = "values"
    PART: ClassVar = "part of values"

    @property
    def kind(self) -> QueryKind:
        """How metrics call it."""
        return QueryKind.METADATA

    def answer(
        self, sources: Sequence[SpanSource], site: Site, progress: Progress[TagValues] | None = None
    ) -> TagValues:
        """List the values. Raises: as ``Operation`` and ``tag_values`` say."""
        tag = self._tag
        if tag is None:
            return _ERRORS
        return tag_values(
            newest_blocks(sources, self.blocks_max),
            tag,
            self.narrowing.lookup(tag),
            site.control,
            cache=site.cache,
            progress=progress,
        )

    @property
    def is_divisible(self) -> bool:
        """Whether it is; not if it ends at values that are known already."""
        return not self.narrowing.stale_max

    def part(self, sources: Sequence[SpanSource], site: Site, share: Share) -> bytes:
        """Answer for some of the sources; see ``Operation``."""
        tag = self._tag
        if tag is None:
            return write(self.PART, ValuesPart())
        part = values_part(
            newest_blocks(sources, self.blocks_max),
            tag,
            self.narrowing.lookup(tag),
            site.control,
            primary=share.primary,
            cache=site.cache,
        )
        return write(self.PART, part)

    def missing_of(self, part: bytes) -> frozenset[str]:
        """Get the sources that a part is without."""
        return frozenset()

    def combine(self, parts: Sequence[bytes], site: Site) -> TagValues:
        """Make the answer of all parts; see ``Operation``."""
        tag = self._tag
        if tag is None:
            return _ERRORS
        read_parts = [read(part, self.PART, ValuesPart) for part in parts]
        return combine_values(read_parts, tag, self.narrowing.lookup(tag))

    @property
    def _tag(self) -> Field | None:
        """Read the tag; None is the first version's ``error``, which has one value."""
        if self.is_legacy:
            return None if self.tag == "error" else legacy_tag(self.tag)
        return parse_tag(self.tag)

    def settled(self, answer: TagValues, latest_ns: int) -> TagValues | None:
        """Keep all of them: values stay, except where a limit leaves rare ones out."""
        return answer

    def to_wire(self) -> bytes:
        """Write the question down."""
        return write(self.NAME, self)

    def stats_of(self, answer: TagValues) -> QueryStats | None:
        """Tell what was looked at."""
        return answer.stats


def newest_blocks(sources: Sequence[SpanSource], blocks_max: int) -> Sequence[SpanSource]:
    """Keep the live tables and the newest blocks; 0: all."""
    if not blocks_max:
        return sources
    live = [source for source in sources if source.is_live]
    blocks = [source for source in sources if not source.is_live]
    return live + blocks[:blocks_max]


def parse_tag(text: str) -> Field:
    """Read an identifier of the second version. Raises: InvalidRequestError."""
    try:
        return traceql.parse_field(text)
    except traceql.QueryError as error:
        raise InvalidRequestError(
            f"please provide a valid tagName: failed to parse identifier {text}: {error}"
        ) from error


def legacy_tag(name: str) -> Field:
    """Find out what a name of the first version means: an intrinsic, or an attribute anywhere."""
    intrinsic = _LEGACY.get(name) or UNSCOPED_INTRINSICS.get(name) or SCOPED_INTRINSICS.get(name)
    if intrinsic is not None and (intrinsic in TEXT_INTRINSICS or intrinsic in FIXED_VALUES):
        return intrinsic
    return Attribute(Scope.RESOURCE if name in _OF_RESOURCES else Scope.NONE, name)
