"""What a data directory holds that is in no block yet: its write-ahead log, only read.

A server may be writing it meanwhile. A segment can grow (what is whole of it is taken) or go away
(its block is in the index then, and the caller looks again). Nothing is locked, deleted or moved.

Source: docs/formats/wal.md; the rules of ``storage/wal/replay.py``, which does the same at a start.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from tracestore.codec.wal_record import WalDamage, WalRecord, decode_segment
from tracestore.errors import MalformedError, UnavailableError
from tracestore.kernel import SpanBuilder
from tracestore.model.ids import TenantId
from tracestore.services.ingester.live import LiveSource
from tracestore.settings.tree import BlockSettings
from tracestore.storage.wal.segment import list_segments, segment_path

HEAD_ID = "write-ahead log"
"""Takes the place of the block's ID that the spans will get."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WalView:
    """Spans of some segments."""

    segments: tuple[tuple[str, int], ...]
    """Each with the bytes that it had."""
    source: LiveSource | None
    """None: they hold no span."""

    @property
    def names(self) -> frozenset[str]:
        """IDs of the segments."""
        return frozenset(name for name, _ in self.segments)


EMPTY = WalView(segments=(), source=None)


class SegmentGoneError(Exception):
    """A segment was dropped while it was read: look at the index again. Never leaves the client."""


def read_wal(
    directory: Path, tenant: TenantId, *, skip: Collection[str], known: WalView = EMPTY
) -> WalView:
    """Decode the segments of a tenant that no block holds.

    Args:
        directory: of all tenants; it need not be there.
        skip: segments that a block holds.
        known: an earlier view, given back if nothing has changed.

    Raises: SegmentGoneError, UnavailableError, CorruptionError if a segment is of a newer version.
    Cost: the kernel's, about 1 µs a span, and memory for all of them.
    """
    own = directory / tenant
    try:
        names = [name for name in list_segments(own) if name not in skip]
        sizes = [(name, segment_path(own, name).stat().st_size) for name in names]
        if tuple(sizes) == known.segments:
            return known
        builder = SpanBuilder()
        read = tuple((name, _load(builder, own, name)) for name in names)
    except FileNotFoundError as error:
        raise SegmentGoneError from error
    except OSError as error:
        raise UnavailableError(f"cannot read the write-ahead log in {own}: {error}") from error
    if builder.spans == 0:
        return WalView(segments=read, source=None)
    frozen = builder.freeze(attribute_columns_max=BlockSettings().attribute_columns_max)
    return WalView(segments=read, source=LiveSource(frozen, f"{HEAD_ID} of {tenant}"))


def _load(builder: SpanBuilder, directory: Path, segment: str) -> int:
    """Decode a segment. Returns its size. Raises: OSError."""
    path = segment_path(directory, segment)
    content = path.read_bytes()
    for item in decode_segment(content, segment):
        if isinstance(item, WalRecord):
            _append(builder, item, path)
        elif not item.torn:
            _warn(path, item, item.reason)
    return len(content)


def _append(builder: SpanBuilder, record: WalRecord, path: Path) -> None:
    try:
        builder.append(record.payload)
    except MalformedError as error:
        _warn(path, record, str(error))


def _warn(path: Path, where: WalRecord | WalDamage, reason: str) -> None:
    """Say what the answer leaves out."""
    log.warning(
        "%s: bytes %d to %d cannot be read (%s): the spans in it are missing from the answer",
        path,
        where.offset,
        where.end,
        reason,
    )
