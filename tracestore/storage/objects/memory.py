"""An object store in memory: for tests and for trying things; nothing survives the process."""

from __future__ import annotations

import bisect
import hashlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from tracestore.clock import Clock, SystemClock
from tracestore.errors import ConflictError, NotFoundError, UnavailableError
from tracestore.storage.objects.interface import ObjectInfo
from tracestore.storage.objects.keys import check_key, check_prefix


class MemoryObjectStore:
    """A dictionary behind one lock."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock: Clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._objects: dict[str, tuple[bytes, ObjectInfo]] = {}
        self._order: list[bytes] = []
        """The keys as bytes, ascending."""

    def put(self, key: str, content: bytes | memoryview) -> str:
        check_key(key)
        with self._lock:
            return self._store(key, bytes(content))

    def put_if_absent(self, key: str, content: bytes | memoryview) -> str:
        check_key(key)
        with self._lock:
            if key in self._objects:
                raise ConflictError(f"object {key} exists already")
            return self._store(key, bytes(content))

    def put_if_match(self, key: str, content: bytes | memoryview, etag: str) -> str:
        check_key(key)
        with self._lock:
            held = self._objects.get(key)
            if held is None or held[1].etag != etag:
                raise ConflictError(f"object {key} is not of etag {etag}")
            return self._store(key, bytes(content))

    def put_file(self, key: str, path: str) -> str:
        check_key(key)
        try:
            content = Path(path).read_bytes()
            Path(path).unlink()
        except OSError as error:
            raise UnavailableError(f"cannot move {path} to object {key}: {error}") from error
        return self.put(key, content)

    def get(self, key: str) -> bytes:
        return self._find(key)[0]

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        assert offset >= 0
        assert length >= 0
        return self._find(key)[0][offset : offset + length]

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        content = self._find(key)[0]
        return [content[offset : offset + length] for offset, length in ranges]

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        content, info = self._find(key)
        return content, info.etag

    def head(self, key: str) -> ObjectInfo:
        return self._find(key)[1]

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        check_prefix(prefix)
        last = after.encode()
        first = prefix.encode()
        while True:
            with self._lock:
                if last >= first:
                    at = bisect.bisect_right(self._order, last)
                else:
                    at = bisect.bisect_left(self._order, first)
                if at == len(self._order) or not self._order[at].startswith(first):
                    return
                last = self._order[at]
                info = self._objects[last.decode()][1]
            yield info

    def delete(self, key: str) -> None:
        check_key(key)
        with self._lock:
            if self._objects.pop(key, None) is not None:
                del self._order[bisect.bisect_left(self._order, key.encode())]

    def delete_many(self, keys: Sequence[str]) -> None:
        for key in keys:
            check_key(key)
        for key in keys:
            self.delete(key)

    def local_path(self, key: str) -> str | None:
        check_key(key)
        return None

    def _store(self, key: str, content: bytes) -> str:
        if key not in self._objects:
            bisect.insort(self._order, key.encode())
        etag = hashlib.blake2b(content, digest_size=16).hexdigest()
        info = ObjectInfo(key=key, bytes=len(content), etag=etag, modified_ns=self._clock.now_ns())
        self._objects[key] = (content, info)
        return etag

    def _find(self, key: str) -> tuple[bytes, ObjectInfo]:
        check_key(key)
        with self._lock:
            held = self._objects.get(key)
        if held is None:
            raise NotFoundError(f"no object {key}")
        return held
