"""Reading and sealing a log in the bucket whose writer does not answer any more.

What a log holds follows from three rules that its writer keeps: at most ``PUTS_IN_FLIGHT_MAX``
objects are not acknowledged, what is deleted is in blocks, and the last acknowledged object stays.
So the first number that is missing, above what blocks name and within the last few, is free.

Source: docs/formats/wal.md.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from tracestore.codec.wal_record import WalDamage, WalRecord, decode_segment
from tracestore.codec.wal_tombstone import Tombstone, is_tombstone
from tracestore.errors import ConflictError, NotFoundError
from tracestore.model.ids import WriterId
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.layout import (
    parse_wal_key,
    wal_key,
    wal_prefix,
    wal_quarantine_key,
)
from tracestore.storage.wal.bucket_batch import object_name
from tracestore.storage.wal.metrics import NO_WAL_METRICS, WalMetrics

PUTS_IN_FLIGHT_MAX = 8
"""Objects that any writer may have put beyond the last acknowledged one: part of the format."""
READ_AT_ONCE = 8
"""Objects of a log that are read side by side."""

log = logging.getLogger("tracestore.wal")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogExtent:
    """The objects of a log."""

    numbers: tuple[int, ...]
    """Those before ``end`` that are there, ascending."""
    end: int
    """The first number that is not used, or that holds the tombstone."""
    is_sealed: bool
    """Whether the tombstone is there."""


def list_numbers(store: ObjectStore, writer: WriterId) -> list[int]:
    """List the objects of a log, ascending. One LIST per thousand. Raises: UnavailableError."""
    found = (parse_wal_key(info.key) for info in store.list(wal_prefix(writer)))
    return sorted(each[1] for each in found if each is not None)


def first_free(numbers: Collection[int], *, held_last: int) -> int:
    """Find where a log ends, from what is listed of it.

    Args:
        held_last: the highest number that a committed block names.

    Returns: the first number that was not acknowledged when the list was made.
    """
    sure = max(held_last, max(numbers, default=0) - PUTS_IN_FLIGHT_MAX)
    present = frozenset(numbers)
    free = sure + 1
    while free in present:
        free += 1
    return free


def look_at_log(store: ObjectStore, writer: WriterId, *, held_last: int) -> LogExtent:
    """Find what a log holds now, and whether it is sealed. Raises: UnavailableError."""
    numbers = list_numbers(store, writer)
    last = max(numbers, default=0)
    for number in numbers:
        # a tombstone is among the last few, whatever was deleted before it
        if number > last - PUTS_IN_FLIGHT_MAX and _is_sealed_at(store, writer, number):
            return _extent(numbers, number, is_sealed=True)
    return _extent(numbers, first_free(numbers, held_last=held_last), is_sealed=False)


def seal_log(
    store: ObjectStore, writer: WriterId, tombstone: Tombstone, *, held_last: int
) -> LogExtent:
    """End a log, so that its writer can add nothing to it.

    Raises: UnavailableError; sealing again is right.
    """
    extent = look_at_log(store, writer, held_last=held_last)
    numbers = list(extent.numbers)
    end = extent.end
    while not extent.is_sealed:
        try:
            store.put_if_absent(wal_key(writer, end), tombstone.to_bytes())
            break
        except ConflictError:
            if _is_sealed_at(store, writer, end):
                break
        numbers.append(end)
        end += 1
    return _extent(numbers, end, is_sealed=True)


def _is_sealed_at(store: ObjectStore, writer: WriterId, number: int) -> bool:
    try:
        return is_tombstone(store.get(wal_key(writer, number)))
    except NotFoundError:
        return False


def _extent(numbers: Iterable[int], end: int, *, is_sealed: bool) -> LogExtent:
    before = tuple(sorted({number for number in numbers if number < end}))
    return LogExtent(numbers=before, end=end, is_sealed=is_sealed)


def read_objects(
    store: ObjectStore, writer: WriterId, numbers: Iterable[int]
) -> Iterator[tuple[int, bytes | None]]:
    """Read objects of a log in order, a few ahead. None: it is not there.

    Raises: UnavailableError.
    Cost: memory for ``READ_AT_ONCE`` objects.
    """
    reading: deque[tuple[int, Future[bytes | None]]] = deque()
    with ThreadPoolExecutor(READ_AT_ONCE, thread_name_prefix="wal-read") as pool:
        for number in numbers:
            reading.append((number, pool.submit(read_object, store, writer, number)))
            if len(reading) >= READ_AT_ONCE:
                first, content = reading.popleft()
                yield first, content.result()
        while reading:
            first, content = reading.popleft()
            yield first, content.result()


def read_object(store: ObjectStore, writer: WriterId, number: int) -> bytes | None:
    """Read an object of a log; None if it is not there. Raises: UnavailableError."""
    try:
        return store.get(wal_key(writer, number))
    except NotFoundError:
        return None


class LogDecoder:
    """Gets the records out of objects; damage is counted and logged, and kept if asked."""

    def __init__(
        self, store: ObjectStore, writer: WriterId, metrics: WalMetrics = NO_WAL_METRICS
    ) -> None:
        self._store = store
        self.writer = writer
        self._metrics = metrics

    def records(self, number: int, content: bytes, *, keep_damage: bool) -> Iterator[WalRecord]:
        """Yield the records of an object that can be read.

        An object is whole or not there, so whatever cannot be read was damaged.

        Args:
            keep_damage: copy what cannot be read aside, since the object will be deleted.

        Raises: CorruptionError if it is of a newer version; UnavailableError if damage cannot be
            kept.
        """
        for item in decode_segment(content, object_name(self.writer, number)):
            if isinstance(item, WalRecord):
                self._metrics.replayed(1, len(item.payload))
                yield item
            else:
                self._damaged(number, item, content, keep=keep_damage)

    def _damaged(self, number: int, damage: WalDamage, content: bytes, *, keep: bool) -> None:
        self._metrics.corrupt_record()
        where = {
            "key": wal_key(self.writer, number),
            "offset": damage.offset,
            "bytes": damage.end - damage.offset,
            "reason": damage.reason,
        }
        if keep:
            target = wal_quarantine_key(self.writer, number, damage.offset)
            self._store.put(target, content[damage.offset : damage.end])
            where["quarantine"] = target
        log.error("corrupt record of a write-ahead log in the bucket is left out", extra=where)
