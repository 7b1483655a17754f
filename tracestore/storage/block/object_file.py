"""An object of the store as a file that Arrow reads from: mapped if it is local, else by ranges."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pyarrow as pa

from tracestore.errors import CorruptionError, NotFoundError, UnavailableError
from tracestore.storage.objects.interface import ObjectStore


def read_end(store: ObjectStore, key: str, size: int, wanted: int) -> bytes | None:
    """Read the end of an object that is no local file, None if it is one.

    Raises: NotFoundError; UnavailableError; CorruptionError if it has another size.
    """
    if store.local_path(key) is not None:
        return None
    wanted = min(wanted, size)
    tail = store.get_range(key, size - wanted, wanted)
    if len(tail) != wanted:
        raise CorruptionError(f"object ends before its {size} bytes", key=key)
    return tail


def open_object(
    store: ObjectStore,
    key: str,
    size: int,
    ranges: Sequence[tuple[int, int]] = (),
    tail: bytes | None = None,
) -> pa.NativeFile:
    """Open an object for reading at random.

    Args:
        size: bytes of the object, as its block's meta says.
        ranges: offsets and lengths of what will be read; of an object that is no local file they
            are read now, in one round.
        tail: the end of such an object, if it was read before.

    Raises: NotFoundError; UnavailableError; CorruptionError if it has another size.
    """
    path = store.local_path(key)
    if path is None:
        file = _RangedObject(store, key, size, tail or b"")
        file.read_now(ranges)
        return pa.PythonFile(file, mode="r")
    try:
        file = pa.memory_map(path, "r")
    except FileNotFoundError as error:
        raise NotFoundError(f"no object {key}") from error
    except OSError as error:
        raise UnavailableError(f"cannot open {key}: {error}") from error
    if file.size() != size:
        raise CorruptionError(f"object has {file.size()} bytes instead of {size}", key=key)
    return file


class _RangedObject:
    """What ``pa.PythonFile`` needs of a file; reads by ``get_range``, the position is a number."""

    closed = False

    def __init__(self, store: ObjectStore, key: str, size: int, tail: bytes) -> None:
        self._store = store
        self._key = key
        self._size = size
        self._tail = tail
        self._tail_start = size - len(tail)
        self._position = 0
        self._read: dict[tuple[int, int], bytes] = {}

    def read_now(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Read ranges, so that reading exactly one of them later takes no request."""
        left = [each for each in ranges if each[0] < self._tail_start]
        if left:
            parts = self._store.get_ranges(self._key, left)
            self._read = dict(zip(left, parts, strict=True))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._position)
        wanted = left if size < 0 else min(size, left)
        content = self._read.get((self._position, wanted))
        if content is None and self._position >= self._tail_start:
            start = self._position - self._tail_start
            content = self._tail[start : start + wanted]
        if content is None:
            content = self._store.get_range(self._key, self._position, wanted)
        if len(content) != wanted:
            raise CorruptionError(f"object ends before its {self._size} bytes", key=self._key)
        self._position += wanted
        return content

    def close(self) -> None:
        self.closed = True
