"""Reads of immutable objects: each is made once, however many ask, and kept on the local disk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future

from tracestore.storage.objects.coalesce import Range
from tracestore.storage.objects.disk_cache import DiskCache
from tracestore.storage.objects.interface import ObjectInfo, ObjectStore
from tracestore.storage.objects.layout import is_immutable

_WHOLE: Range = (0, -1)


class CachedObjectStore:
    """Passes everything on to ``inner`` but what it has, or what another thread is reading.

    Args:
        disk: keeps pieces of immutable objects; None: nothing is kept.
    """

    def __init__(self, inner: ObjectStore, disk: DiskCache | None) -> None:
        self._inner = inner
        self._disk = disk
        self._lock = threading.Lock()
        self._reading: dict[tuple[str, Range], Future[bytes]] = {}

    def put(self, key: str, content: bytes | memoryview) -> str:
        return self._inner.put(key, content)

    def put_if_absent(self, key: str, content: bytes | memoryview) -> str:
        return self._inner.put_if_absent(key, content)

    def put_if_match(self, key: str, content: bytes | memoryview, etag: str) -> str:
        return self._inner.put_if_match(key, content, etag)

    def put_file(self, key: str, path: str) -> str:
        return self._inner.put_file(key, path)

    def get(self, key: str) -> bytes:
        if not is_immutable(key):
            return self._inner.get(key)
        return self._pieces(key, [_WHOLE], lambda _: [self._inner.get(key)])[0]

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        if not is_immutable(key):
            return self._inner.get_range(key, offset, length)
        return self.get_ranges(key, [(offset, length)])[0]

    def get_ranges(self, key: str, ranges: Sequence[Range]) -> Sequence[bytes]:
        if not is_immutable(key):
            return self._inner.get_ranges(key, ranges)
        return self._pieces(key, ranges, lambda left: self._inner.get_ranges(key, left))

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        return self._inner.get_with_etag(key)

    def head(self, key: str) -> ObjectInfo:
        return self._inner.head(key)

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        return self._inner.list(prefix, after=after)

    def delete(self, key: str) -> None:
        self._inner.delete(key)

    def delete_many(self, keys: Sequence[str]) -> None:
        self._inner.delete_many(keys)

    def local_path(self, key: str) -> str | None:
        return self._inner.local_path(key)

    def _pieces(
        self,
        key: str,
        ranges: Sequence[Range],
        read: Callable[[Sequence[Range]], Sequence[bytes]],
    ) -> Sequence[bytes]:
        mine: dict[Range, Future[bytes]] = {}
        asked: dict[Range, Future[bytes]] = {}
        with self._lock:
            for each in dict.fromkeys(ranges):
                future = self._reading.get((key, each))
                if future is None:
                    future = mine[each] = self._reading[key, each] = Future()
                asked[each] = future
        try:
            self._read(key, mine, read)
        except BaseException as error:
            for future in mine.values():
                if not future.done():
                    future.set_exception(error)
            raise
        finally:
            with self._lock:
                for each in mine:
                    del self._reading[key, each]
        return [asked[each].result() for each in ranges]

    def _read(
        self,
        key: str,
        mine: dict[Range, Future[bytes]],
        read: Callable[[Sequence[Range]], Sequence[bytes]],
    ) -> None:
        left = []
        for each, future in mine.items():
            piece = None if self._disk is None else self._disk.get(_name(key, each))
            if piece is None:
                left.append(each)
            else:
                future.set_result(piece)
        if not left:
            return
        for each, piece in zip(left, read(left), strict=True):
            mine[each].set_result(piece)
            if self._disk is not None:
                self._disk.put(_name(key, each), piece)


def _name(key: str, each: Range) -> str:
    return f"{key}@{each[0]}+{each[1]}"
