"""Values of a tag: what filters list where that is enough, else what is counted in columns.

A value counts once for every span, event, link or trace that has it; that of a resource or scope
once for each of its spans. A key with millions of values is cut by the bytes of its texts, before
more than it takes has been read.

Source: TraceQL reference, 7.2 to 7.4; wire contract, 9.3 and 9.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np
import pyarrow as pa

from traceql import attributes as names
from traceql.attributes import Field
from traceql.values import Kind, Status, Value, ValueType, value_text
from tracestore.errors import CorruptionError
from tracestore.model.results import QueryStats
from tracestore.model.tags import TagType, TagValues
from tracestore.query.control import QueryControl
from tracestore.query.progress import Progress
from tracestore.query.scan import SourceScan
from tracestore.query.source import SpanSource
from tracestore.query.staleness import Staleness
from tracestore.query.tag_columns import TEXT_INTRINSICS, TagColumns
from tracestore.query.tag_counts import TAG_TYPES, Batch, Counted, ValueCounts
from tracestore.query.tag_spans import Lookup, MarkedSpans
from tracestore.query.totals import sum_stats
from tracestore.storage.block.cache import BlockCache

FIXED_VALUES: dict[Field, tuple[str, ...]] = {
    names.Intrinsic.STATUS: (Status.OK, Status.ERROR, Status.UNSET),
    names.Intrinsic.KIND: (
        Kind.CLIENT,
        Kind.SERVER,
        Kind.PRODUCER,
        Kind.CONSUMER,
        Kind.INTERNAL,
        Kind.UNSPECIFIED,
    ),
}
"""Keywords that are listed whatever the data."""


def fixed_values(tag: Field, lookup: Lookup) -> TagValues:
    """List keywords."""
    texts = FIXED_VALUES[tag][: lookup.limit or None]
    return TagValues(types=(TagType.KEYWORD,) * len(texts), texts=texts)


def _has_no_values(tag: Field) -> bool:
    """Tell whether nothing is listed of a tag, whatever the data."""
    return isinstance(tag, names.Intrinsic) and tag not in TEXT_INTRINSICS


def tag_values(
    sources: Sequence[SpanSource],
    tag: Field,
    lookup: Lookup,
    control: QueryControl,
    *,
    cache: BlockCache | None = None,
    progress: Progress[TagValues] | None = None,
) -> TagValues:
    """List the values of a tag, most frequent first.

    Args:
        cache: keeps what was counted in blocks.

    Raises: DeadlineError; LimitExceededError; what a source raises that cannot be read.
    """
    if tag in FIXED_VALUES:
        return fixed_values(tag, lookup)
    if _has_no_values(tag):
        return TagValues()
    answer = _Answer(lookup)
    filter = None
    if lookup.filter is not None:
        demanded, filter = lookup.filter.demanded(tag)
        answer.add(_demanded(demanded))
        if filter is None:
            return answer.result(QueryStats())
    spans = MarkedSpans(sources, lookup, filter, control, tag=tag)
    columns = TagColumns(tag, spans, bytes_max=lookup.bytes_max, cache=cache)
    blocks = _Blocks(tag, spans, lookup, cache)
    for scan in blocks.unknown:
        control.check()
        found = columns.values_of(scan)
        answer.add(found)
        blocks.add(scan, found)
        spans.stats.completed_jobs += 1
        if answer.is_done:
            break
        if progress is not None and progress.is_due():
            progress.show(answer.result(spans.stats))
    else:
        answer.add(blocks.known)
        spans.stats.completed_jobs = spans.stats.total_jobs
        spans.stats.inspected_bytes += blocks.known.inspected_bytes
    for scan in spans.joined():
        if answer.is_done:
            break
        answer.add(columns.values_of(scan))
    return answer.result(spans.stats)


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeValues:
    """Values of one type, each once."""

    type: TagType
    texts: tuple[str, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValuesPart:
    """The values in some sources, in no order."""

    types: tuple[TypeValues, ...] = ()
    is_cut: bool = False
    stats: QueryStats = field(default_factory=QueryStats)


def values_part(
    sources: Sequence[SpanSource],
    tag: Field,
    lookup: Lookup,
    control: QueryControl,
    *,
    primary: frozenset[str],
    cache: BlockCache | None = None,
) -> ValuesPart:
    """Count the values in some sources. Raises: as ``tag_values``."""
    if tag in FIXED_VALUES or _has_no_values(tag):
        return ValuesPart()
    filter = None
    if lookup.filter is not None:
        _, filter = lookup.filter.demanded(tag)
        if filter is None:
            return ValuesPart()
    spans = MarkedSpans(sources, lookup, filter, control, tag=tag, primary=primary)
    columns = TagColumns(tag, spans, bytes_max=lookup.bytes_max, cache=cache)
    found = ValueCounts(lookup.bytes_max)
    for scan in chain(spans.scans, spans.joined()):  # traces are put together at the end
        control.check()
        if not found.is_full:
            found.extend(columns.values_of(scan))
    spans.stats.completed_jobs = spans.stats.total_jobs
    counted = found.counted()
    types = tuple(
        TypeValues(
            type=one.type, texts=tuple(one.texts.to_pylist()), counts=tuple(one.counts.tolist())
        )
        for one in counted.batches
    )
    return ValuesPart(types=types, is_cut=counted.is_cut, stats=spans.stats)


def combine_values(parts: Sequence[ValuesPart], tag: Field, lookup: Lookup) -> TagValues:
    """Make the answer of parts whose primary sources are all sources, each in one.

    Where there are more than ``lookup.bytes_max`` bytes of values, which of them are left out
    depends on how the sources were parted.

    Raises: CorruptionError for a part that does not fit together.
    """
    if tag in FIXED_VALUES:
        return fixed_values(tag, lookup)
    if _has_no_values(tag):
        return TagValues()
    answer = _Answer(lookup)
    if lookup.filter is not None:
        answer.add(_demanded(lookup.filter.demanded(tag)[0]))
    for part in parts:
        answer.add(Counted(batches=tuple(map(_batch, part.types)), is_cut=part.is_cut))
    return answer.result(sum_stats([part.stats for part in parts]))


def _batch(values: TypeValues) -> Batch:
    if len(values.texts) != len(values.counts) or min(values.counts, default=1) < 1:
        raise CorruptionError("texts and counts do not fit together", key="part of tag values")
    counts = np.array(values.counts, np.int64)
    return Batch(values.type, pa.array(values.texts, pa.string()), counts)


class _Answer:
    """The values found so far."""

    def __init__(self, lookup: Lookup) -> None:
        self._limit = lookup.limit
        self._counts = ValueCounts(lookup.bytes_max)
        self._staleness = Staleness(lookup.stale_max)

    @property
    def is_done(self) -> bool:
        """Whether no more should be looked for."""
        return self._counts.is_full or self._staleness.is_over

    def add(self, found: Counted) -> None:
        """Add the values of a source."""
        if self._staleness.is_watching:
            found = found.first(self._staleness.take(list(found.ranked().values)))
        self._counts.extend(found)

    def result(self, stats: QueryStats) -> TagValues:
        """Make the answer as far as it goes."""
        return replace(self._counts.counted().ranked(self._limit), stats=replace(stats))


class _Blocks:
    """The blocks of a lookup as one, whose values the cache may have: who types asks often.

    With a filter, or where the order of arrival matters, nothing is kept.
    """

    def __init__(
        self, tag: Field, spans: MarkedSpans, lookup: Lookup, cache: BlockCache | None
    ) -> None:
        live = [scan for scan in spans.scans if scan.source.is_live]
        blocks = [scan for scan in spans.scans if not scan.source.is_live]
        is_kept = not spans.is_filtered and not lookup.stale_max and len(blocks) > 1
        self._cache = cache if is_kept else None
        ids = [scan.source.id for scan in blocks]
        self._key = (tag.text, "tag values", lookup.bytes_max, *ids)
        self._found = ValueCounts(lookup.bytes_max)
        self._inspected_bytes = 0
        self._left = len(blocks)
        known: Counted | None = None if self._cache is None else self._cache.get(self._key)
        self.known = known or Counted()
        """What the cache had of all blocks."""
        self.unknown = [*live, *blocks] if known is None else live
        """The sources to look into: live ones, then blocks, the newest first."""

    def add(self, scan: SourceScan, found: Counted) -> None:
        """Take the values of a source; once all is known of the blocks, it is kept."""
        if self._cache is None or scan.source.is_live:
            return
        self._found.extend(found)
        self._inspected_bytes += found.inspected_bytes
        self._left -= 1
        if self._left == 0 or self._found.is_full:
            made = replace(self._found.counted(), inspected_bytes=self._inspected_bytes)
            self._cache.put(self._key, made, made.nbytes + _ID_BYTES * len(self._key))


_ID_BYTES = 100
"""Of an ID in the key of an entry of the cache."""


def _demanded(values: Sequence[Value]) -> Counted:
    """Make values of those that a filter demands; a text that is no Unicode is nowhere stored."""
    found = ValueCounts(0)
    for value in values:
        text = value_text(value)
        if value.type is not ValueType.STRING or _is_unicode(text):
            found.add(Batch(TAG_TYPES[value.type], pa.array([text]), np.ones(1, np.int64)))
    return found.counted()


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
