"""Where the values of a tag are in a source, and how often each occurs there.

Without a filter the block's filters list them if they are few; else columns are counted, once per
block as long as the cache keeps it. With a filter columns are counted over the marked spans.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa

from traceql import attributes as names
from traceql.attributes import Field, Scope
from tracestore.model.tables import AttributeType
from tracestore.model.tags import TagType
from tracestore.query.bind import Binder
from tracestore.query.columns import ELEMENT_TYPES, SCALAR_TYPES
from tracestore.query.expressions import Expression
from tracestore.query.fields import Attribute, Intrinsic
from tracestore.query.intrinsics import STORED
from tracestore.query.masks import Mask
from tracestore.query.parts import Domain
from tracestore.query.scan import TABLE_OF_DOMAIN, ChunkScan, SourceScan
from tracestore.query.source_columns import STORED_SCOPE, SourceColumns
from tracestore.query.tag_counts import Batch, Counted, ValueCounts, count_values, listed
from tracestore.query.tag_spans import MarkedSpans, rows_of, spans_of
from tracestore.storage.block.cache import BlockCache

TEXT_INTRINSICS = frozenset(
    {
        names.Intrinsic.NAME,
        names.Intrinsic.STATUS_MESSAGE,
        names.Intrinsic.ROOT_NAME,
        names.Intrinsic.ROOT_SERVICE_NAME,
        names.Intrinsic.EVENT_NAME,
        names.Intrinsic.SCOPE_NAME,
        names.Intrinsic.SCOPE_VERSION,
    }
)
"""Intrinsics with values worth listing; of IDs, durations and places in the tree there are none."""

_COUNTED_TYPES = frozenset({*SCALAR_TYPES, *ELEMENT_TYPES})
_PER_SOURCE = (Domain.RESOURCE, Domain.SCOPE)
_ENTRY_BYTES = 200
"""Of an entry of the cache, beside its values."""


class TagColumns:
    """The columns of one tag, in all sources of a lookup."""

    def __init__(
        self, tag: Field, spans: MarkedSpans, *, bytes_max: int, cache: BlockCache | None
    ) -> None:
        self._tag = tag
        self._spans = spans
        self._bytes_max = bytes_max
        self._cache = cache

    def values_of(self, scan: SourceScan) -> Counted:
        """Count the values in a source; cut if they are too long together.

        Raises: DeadlineError; what the source raises.
        """
        found, before = ValueCounts(self._bytes_max), scan.stats.inspected_bytes
        if self._spans.is_filtered:
            self._count(scan, self._bound(scan), found)
        else:
            self._look_up(scan, found)
        spent = scan.stats.inspected_bytes - before
        return replace(found.counted(), inspected_bytes=spent)

    # --- without a filter --------------------------------------------------------------------

    def _look_up(self, scan: SourceScan, found: ValueCounts) -> None:
        for scope in _scopes(self._tag, is_filtered=False):
            for batch in self._of_attribute(scan, scope, found):
                found.add(batch)
        if isinstance(self._tag, names.Intrinsic):
            for batch in self._of_intrinsic(scan, self._tag, found):
                found.add(batch)

    def _of_attribute(self, scan: SourceScan, scope: Scope, found: ValueCounts) -> Iterator[Batch]:
        assert isinstance(self._tag, names.Attribute)
        key, stored, filters = self._tag.name, STORED_SCOPE[scope], scan.filters
        unread = _COUNTED_TYPES
        if filters is not None:
            unread = unread & filters.types_of(stored, key)
            if not filters.overflow_types(stored, key):
                for kind in sorted(unread):
                    known = filters.column(stored, key, kind)
                    batch = None if known is None else listed(known)
                    if batch is not None:
                        yield batch
                        unread = unread - {kind}
        if unread:
            make = partial(_attribute, scan, scope, key, unread)
            yield from self._read(scan, make, (scope, key), found)

    def _of_intrinsic(
        self, scan: SourceScan, tag: names.Intrinsic, found: ValueCounts
    ) -> Iterator[Batch]:
        stored = STORED[tag]
        (column,) = stored.columns
        filters = scan.filters
        known = None
        if filters is not None:
            known = filters.intrinsic(TABLE_OF_DOMAIN[stored.domain], column)
        batch = None if known is None else listed(known)
        if batch is None:
            yield from self._read(scan, partial(Intrinsic, stored), (tag,), found)
            return
        yield batch
        if stored.default is not None:
            counted = Domain.TRACE if stored.domain is Domain.TRACE else Domain.SPAN
            missing = scan.source.rows(TABLE_OF_DOMAIN[counted]) - int(batch.counts.sum())
            if missing > 0:
                yield Batch(TagType.STRING, pa.array([stored.default]), np.array([missing]))

    def _read(
        self,
        scan: SourceScan,
        make: Callable[[], Expression],
        about: tuple[str, ...],
        found: ValueCounts,
    ) -> Sequence[Batch]:
        """Count what filters do not list; blocks do not change, so the cache may have it."""
        key = (scan.source.id, "tag values", about, self._bytes_max)
        cache = None if scan.source.is_live else self._cache
        known: Counted | None = None if cache is None else cache.get(key)
        if known is None:
            counts, before = ValueCounts(self._bytes_max), scan.stats.inspected_bytes
            self._count(scan, [make()], counts)
            spent = scan.stats.inspected_bytes - before
            known = replace(counts.counted(), inspected_bytes=spent)
            if cache is not None:
                cache.put(key, known, known.nbytes + _ENTRY_BYTES)
        else:
            scan.stats.inspected_bytes += known.inspected_bytes
        found.is_full |= known.is_cut
        return known.batches

    # --- counting ----------------------------------------------------------------------------

    def _bound(self, scan: SourceScan) -> list[Expression]:
        """Find the expressions whose values are those of the tag."""
        tag = self._tag
        if isinstance(tag, names.Intrinsic):
            return [Intrinsic(STORED[tag])]
        if tag.of_parent:
            return [Binder(scan).field(tag)]
        found = [_attribute(scan, scope, tag.name) for scope in _scopes(tag, is_filtered=True)]
        return [attribute for attribute in found if not attribute.is_nil]

    def _count(
        self, scan: SourceScan, expressions: Sequence[Expression], found: ValueCounts
    ) -> None:
        """Count values over the marked spans; stops when they are too long together."""
        if not expressions:
            return
        small = {one.domain for one in expressions if one.domain in _PER_SOURCE}
        spans = {
            domain: np.zeros(scan.source.rows(TABLE_OF_DOMAIN[domain]), np.int64)
            for domain in small
        }
        last: ChunkScan | None = None
        for chunk, marked in self._spans.of(scan):
            last = chunk
            for domain in small:
                spans[domain] += spans_of(chunk, marked, domain)
            for expression in expressions:
                if expression.domain not in small:
                    _count_rows(chunk, expression, marked, found)
            if found.is_full:
                return
        for expression in expressions:
            if last is not None and expression.domain in small:
                weights = spans[expression.domain]
                operand = last.operand(expression, expression.domain)
                for batch in count_values(operand, len(weights), weights > 0, weights):
                    found.add(batch)


def _count_rows(chunk: ChunkScan, expression: Expression, marked: Mask, found: ValueCounts) -> None:
    domain = expression.domain
    operand = chunk.operand(expression, domain)
    rows = rows_of(chunk, marked, domain)
    for batch in count_values(operand, chunk.rows(domain), rows):
        found.add(batch)


def _scopes(tag: Field, *, is_filtered: bool) -> Sequence[Scope]:
    """Where an attribute is looked for; of the parent's any span may be the parent.

    Source: TraceQL reference, 7.2.
    """
    if isinstance(tag, names.Intrinsic):
        return ()
    if tag.scope is not Scope.NONE:
        return (tag.scope,)
    if is_filtered or tag.of_parent:
        return (Scope.SPAN, Scope.RESOURCE)
    return (Scope.SPAN, Scope.RESOURCE, Scope.INSTRUMENTATION)


def _attribute(
    scan: SourceScan,
    scope: Scope,
    key: str,
    kinds: frozenset[AttributeType] = _COUNTED_TYPES,
) -> Attribute:
    """Bind a key; what reads as the empty text where it is absent has no value there."""
    attribute = replace(SourceColumns(scan).attribute(scope, key), absent_text=None)
    return attribute.narrowed(kinds)
