"""Names of tags, by scope: what filters and schemas say, or what the marked spans have.

With a filter a key is looked for until it is found once, so most columns are read of the first
chunk alone.

Source: TraceQL reference, 7.1, 7.3; wire contract, 9.1 and 9.2.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pyarrow as pa

from traceql import nodes
from tracestore.model.results import QueryStats
from tracestore.model.tables import AttributeScope, attribute_columns, overflow_name
from tracestore.model.tags import TagNames, TagScope
from tracestore.query.columns import overflow_keys, validity
from tracestore.query.control import QueryControl
from tracestore.query.masks import Mask, mask_and, to_array
from tracestore.query.parts import Domain
from tracestore.query.progress import Progress
from tracestore.query.scan import TABLE_OF_DOMAIN, ChunkScan, SourceScan
from tracestore.query.source import SpanSource
from tracestore.query.source_columns import DOMAIN_OF_SCOPE
from tracestore.query.staleness import Staleness
from tracestore.query.tag_spans import Lookup, MarkedSpans, rows_of, spans_of
from tracestore.query.totals import sum_stats

INTRINSIC_NAMES = (
    "duration",
    "event:name",
    "event:timeSinceStart",
    "instrumentation:name",
    "instrumentation:version",
    "kind",
    "link:spanID",
    "link:traceID",
    "name",
    "rootName",
    "rootServiceName",
    "span:duration",
    "span:id",
    "span:kind",
    "span:name",
    "span:parentID",
    "span:status",
    "span:statusMessage",
    "status",
    "statusMessage",
    "trace:duration",
    "trace:id",
    "trace:rootName",
    "trace:rootService",
    "traceDuration",
)
"""The intrinsics that are offered."""

ATTRIBUTE_SCOPES = tuple(scope for scope in TagScope if scope is not TagScope.INTRINSIC)
_PER_SOURCE = (Domain.RESOURCE, Domain.SCOPE)
_DOMAINS = {TagScope(scope.value): domain for scope, domain in DOMAIN_OF_SCOPE.items()}


def tag_names(
    sources: Sequence[SpanSource],
    scopes: Collection[TagScope],
    lookup: Lookup,
    control: QueryControl,
    *,
    progress: Progress[TagNames] | None = None,
) -> TagNames:
    """List the names of some scopes.

    Raises: DeadlineError; LimitExceededError; what a source raises that cannot be read.
    """
    wanted = [scope for scope in ATTRIBUTE_SCOPES if scope in scopes]
    answer = _Answer(scopes, lookup)
    spans = MarkedSpans(sources if wanted else (), lookup, _filter(lookup), control)
    for scan in spans.scans:
        control.check()
        _add_names(scan, spans, wanted, answer)
        spans.stats.completed_jobs += 1
        if answer.is_done:
            return answer.result(spans.stats)
        if progress is not None and progress.is_due():
            progress.show(answer.result(spans.stats))
    for scan in spans.joined():
        _add_names(scan, spans, wanted, answer)
        if answer.is_done:
            break
    return answer.result(spans.stats)


def _filter(lookup: Lookup) -> nodes.Filter | None:
    return None if lookup.filter is None else lookup.filter.filter


Additions = tuple[tuple[TagScope, tuple[str, ...]], ...]
"""Names as they were met."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceNames:
    """What one source has that newer ones of its part have not."""

    end_ns: int
    id: str
    additions: Additions


@dataclass(frozen=True, slots=True, kw_only=True)
class NamesPart:
    """The names of some sources."""

    sources: tuple[SourceNames, ...]
    joined: Additions
    """Those of traces in several sources."""
    stats: QueryStats


def names_part(
    sources: Sequence[SpanSource],
    scopes: Collection[TagScope],
    lookup: Lookup,
    control: QueryControl,
    primary: frozenset[str],
) -> NamesPart:
    """List the names of some sources, in the order in which one who looks at all meets them.

    Raises: as ``tag_names``.
    """
    wanted = [scope for scope in ATTRIBUTE_SCOPES if scope in scopes]
    taken = _Taken(lookup.bytes_max)
    spans = MarkedSpans(
        sources if wanted else (), lookup, _filter(lookup), control, primary=primary
    )
    found = []
    for scan in spans.scans:
        control.check()
        _add_names(scan, spans, wanted, taken)
        spans.stats.completed_jobs += 1
        source = scan.source
        found.append(SourceNames(end_ns=source.end_ns, id=source.id, additions=taken.give_out()))
        if taken.is_done:
            return NamesPart(sources=tuple(found), joined=(), stats=spans.stats)
    for scan in spans.joined():
        _add_names(scan, spans, wanted, taken)
        if taken.is_done:
            break
    return NamesPart(sources=tuple(found), joined=taken.give_out(), stats=spans.stats)


def combine_names(
    parts: Sequence[NamesPart], scopes: Collection[TagScope], lookup: Lookup
) -> TagNames:
    """Make the answer of parts whose primary sources are all sources, each in one."""
    answer = _Answer(scopes, lookup)
    of_sources = [one for part in parts for one in part.sources]
    of_sources.sort(key=lambda one: (one.end_ns, one.id), reverse=True)
    additions = [one.additions for one in of_sources] + [part.joined for part in parts]
    for scope, names in (addition for each in additions for addition in each):
        if answer.is_done:
            break
        if scope in answer.known:
            answer.add(scope, names)
    return answer.result(sum_stats([part.stats for part in parts]))


class _Taker(Protocol):
    """Takes names as they are met."""

    known: dict[TagScope, set[str]]
    is_done: bool

    def add(self, scope: TagScope, names: Collection[str]) -> None: ...


class _Taken:
    """Names as they were met, each once, until they are more than an answer may have."""

    def __init__(self, bytes_max: int) -> None:
        self.known: dict[TagScope, set[str]] = {scope: set() for scope in ATTRIBUTE_SCOPES}
        self.is_done = False
        self._bytes_left = bytes_max or None
        self._additions: list[tuple[TagScope, tuple[str, ...]]] = []

    def add(self, scope: TagScope, names: Collection[str]) -> None:
        """Take names."""
        new = sorted(set(names) - self.known[scope])
        if not new:
            return
        self.known[scope].update(new)
        self._additions.append((scope, tuple(new)))
        if self._bytes_left is not None:
            self._bytes_left -= sum(len(name.encode()) for name in new)
            self.is_done = self._bytes_left < 0

    def give_out(self) -> Additions:
        """Get what was taken since the last time."""
        found, self._additions = tuple(self._additions), []
        return found


class _Answer:
    """The names found so far."""

    def __init__(self, scopes: Collection[TagScope], lookup: Lookup) -> None:
        self.known: dict[TagScope, set[str]] = {scope: set() for scope in ATTRIBUTE_SCOPES}
        self._has_intrinsics = TagScope.INTRINSIC in scopes
        self._limit = lookup.limit
        self._bytes_left = lookup.bytes_max or None
        self._staleness = Staleness(lookup.stale_max)
        self.is_done = False
        """Whether no more should be looked for."""

    def add(self, scope: TagScope, names: Collection[str]) -> None:
        """Add names, as long as there is room for them."""
        if self._staleness.is_watching:
            ordered = sorted(names)
            names = ordered[: self._staleness.take([(scope, name) for name in ordered])]
            self.is_done |= self._staleness.is_over
        known = self.known[scope]
        if self._bytes_left is None:
            known.update(names)
            return
        for name in sorted(set(names) - known):
            self._bytes_left -= len(name.encode())
            if self._bytes_left < 0:
                self.is_done = True
                return
            known.add(name)

    def result(self, stats: QueryStats) -> TagNames:
        """Make the answer as far as it goes."""
        found = [
            (scope, tuple(sorted(names)[: self._limit or len(names)]))
            for scope, names in self.known.items()
            if names
        ]
        if self._has_intrinsics:
            found.append((TagScope.INTRINSIC, INTRINSIC_NAMES))
        return TagNames(scopes=tuple(found), stats=replace(stats))


def _add_names(
    scan: SourceScan, spans: MarkedSpans, wanted: Sequence[TagScope], answer: _Taker
) -> None:
    if not spans.is_filtered:
        for scope in wanted:
            if not answer.is_done:
                answer.add(scope, _keys(scan, scope))
        return
    small = {_DOMAINS[scope] for scope in wanted if _DOMAINS[scope] in _PER_SOURCE}
    counts = {one: np.zeros(scan.source.rows(TABLE_OF_DOMAIN[one]), np.int64) for one in small}
    last: ChunkScan | None = None
    for chunk, marked in spans.of(scan):
        last = chunk
        for domain in small:
            counts[domain] += spans_of(chunk, marked, domain)
        for scope in wanted:
            if _DOMAINS[scope] not in small and not answer.is_done:
                _add_present(chunk, scope, rows_of(chunk, marked, _DOMAINS[scope]), answer)
    for scope in wanted:
        domain = _DOMAINS[scope]
        if last is not None and domain in small and not answer.is_done:
            _add_present(last, scope, counts[domain] > 0, answer)


def _keys(scan: SourceScan, scope: TagScope) -> Collection[str]:
    """List the keys of a source, whoever has them."""
    stored = AttributeScope(scope.value)
    if scan.filters is not None:
        return scan.filters.keys(stored)
    table = TABLE_OF_DOMAIN[_DOMAINS[scope]]
    schema = scan.source.schema(table)
    keys = {column.key for column in attribute_columns(schema)}
    if overflow_name(stored) in schema.names:
        keys |= overflow_keys(scan.column(table, overflow_name(stored)))
    return keys


def _add_present(chunk: ChunkScan, scope: TagScope, rows: Mask, answer: _Taker) -> None:
    """Add the keys that some of the marked rows have."""
    domain = _DOMAINS[scope]
    if rows is False or chunk.rows(domain) == 0:
        return
    answer.add(scope, sorted(set(_present(chunk, scope, rows, answer.known[scope]))))


def _present(
    chunk: ChunkScan, scope: TagScope, rows: Mask, known: Collection[str]
) -> Iterator[str]:
    domain, stored = _DOMAINS[scope], AttributeScope(scope.value)
    schema = chunk.of_source.source.schema(TABLE_OF_DOMAIN[domain])
    for column in attribute_columns(schema):
        if column.key in known:
            continue
        if np.any(mask_and(validity(chunk.column(domain, column.name)), rows)):
            yield column.key
    if overflow_name(stored) in schema.names:
        lists = chunk.column(domain, overflow_name(stored))
        kept = lists.filter(pa.array(to_array(rows, len(lists))))
        yield from overflow_keys(kept)
