"""A decorator that measures an object store: requests, bytes and time by operation and outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from tracestore.clock import Clock
from tracestore.errors import ConflictError, NotFoundError, TracestoreError
from tracestore.storage.objects.interface import ObjectInfo, ObjectStore

_Answer = TypeVar("_Answer")


class StoreMetrics(Protocol):
    """Where the measurements go. Called once per request, from any thread."""

    def request(
        self, operation: str, outcome: str, seconds: float, sent_bytes: int, received_bytes: int
    ) -> None:
        """Count a finished request.

        Args:
            operation: put, put_if_absent, put_if_match, put_file, get, get_range, head, list,
                delete or delete_many; of a bucket also create_upload, put_part, complete_upload,
                abort_upload and start.
            outcome: ok, not_found, conflict, slow_down or error.
            seconds: until the answer; of a list, only the time spent waiting for entries.
        """


class MeasuredObjectStore:
    """Passes every call on to ``inner`` and reports it to ``metrics``."""

    def __init__(self, inner: ObjectStore, metrics: StoreMetrics, clock: Clock) -> None:
        self._inner = inner
        self._metrics = metrics
        self._clock = clock

    def put(self, key: str, content: bytes | memoryview) -> str:
        return self._measure("put", lambda: self._inner.put(key, content), len(content))

    def put_if_absent(self, key: str, content: bytes | memoryview) -> str:
        return self._measure(
            "put_if_absent", lambda: self._inner.put_if_absent(key, content), len(content)
        )

    def put_if_match(self, key: str, content: bytes | memoryview, etag: str) -> str:
        return self._measure(
            "put_if_match", lambda: self._inner.put_if_match(key, content, etag), len(content)
        )

    def put_file(self, key: str, path: str) -> str:
        size = Path(path).stat().st_size if Path(path).is_file() else 0
        return self._measure("put_file", lambda: self._inner.put_file(key, path), size)

    def get(self, key: str) -> bytes:
        return self._measure("get", lambda: self._inner.get(key), received=len)

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        return self._measure(
            "get_range", lambda: self._inner.get_range(key, offset, length), received=len
        )

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        return self._measure(
            "get_range",
            lambda: self._inner.get_ranges(key, ranges),
            received=lambda parts: sum(map(len, parts)),
        )

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        return self._measure(
            "get", lambda: self._inner.get_with_etag(key), received=lambda answer: len(answer[0])
        )

    def head(self, key: str) -> ObjectInfo:
        return self._measure("head", lambda: self._inner.head(key))

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        entries = self._inner.list(prefix, after=after)
        waited_ns = 0
        outcome = "ok"
        try:
            while True:
                started_ns = self._clock.monotonic_ns()
                try:
                    entry = next(entries, None)
                finally:
                    waited_ns += self._clock.monotonic_ns() - started_ns
                if entry is None:
                    return
                yield entry
        except TracestoreError as error:
            outcome = _outcome(error)
            raise
        finally:
            self._metrics.request("list", outcome, waited_ns / 1e9, 0, 0)

    def delete(self, key: str) -> None:
        self._measure("delete", lambda: self._inner.delete(key))

    def delete_many(self, keys: Sequence[str]) -> None:
        self._measure("delete_many", lambda: self._inner.delete_many(keys))

    def local_path(self, key: str) -> str | None:
        return self._inner.local_path(key)

    def _measure(
        self,
        operation: str,
        call: Callable[[], _Answer],
        sent: int = 0,
        received: Callable[[_Answer], int] = lambda _: 0,
    ) -> _Answer:
        started_ns = self._clock.monotonic_ns()
        outcome = "error"
        received_bytes = 0
        try:
            answer = call()
            outcome = "ok"
            received_bytes = received(answer)
        except TracestoreError as error:
            outcome = _outcome(error)
            raise
        finally:
            seconds = (self._clock.monotonic_ns() - started_ns) / 1e9
            self._metrics.request(operation, outcome, seconds, sent, received_bytes)
        return answer


def _outcome(error: TracestoreError) -> str:
    if isinstance(error, NotFoundError):
        return "not_found"
    return "conflict" if isinstance(error, ConflictError) else "error"
