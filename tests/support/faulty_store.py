"""A store whose requests fail, lose their answers or wait when a test says so."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from tracestore.errors import UnavailableError
from tracestore.storage.objects.interface import ObjectInfo, ObjectStore

Answer = TypeVar("Answer")


class StoppedError(BaseException):
    """The process that used the store is dead: nothing it does reaches the bucket any more."""


class FaultyStore:
    """Passes calls on to ``inner``; ``plan`` says what happens to each. Thread-safe.

    ``plan(operation, key)`` returns ``""`` (done), ``"refuse"`` (not done, UnavailableError),
    ``"lose"`` (done, UnavailableError) or ``"twice"`` (done, and then asked again: what a client
    does that retries by itself).
    """

    def __init__(
        self, inner: ObjectStore, plan: Callable[[str, str], str] = lambda operation, key: ""
    ) -> None:
        self.inner = inner
        self.plan = plan
        self.gate = threading.Event()
        """Cleared: puts wait."""
        self.gate.set()
        self.requests: list[tuple[str, str]] = []
        self.dead = False
        self.dies_at: int | None = None
        """The request, counted from 0, before which the process dies."""

    def random_faults(self, seed: int, share: float) -> None:
        """Let a share of the conditional writes fail, before or after they are done."""
        rng = random.Random(seed)
        lock = threading.Lock()

        def plan(operation: str, key: str) -> str:
            with lock:
                if operation.startswith("put_if") and rng.random() < share:
                    return rng.choice(["refuse", "lose", "twice"])
            return ""

        self.plan = plan

    def _do(self, operation: str, key: str, call: Callable[[], Answer]) -> Answer:
        if operation.startswith("put"):
            assert self.gate.wait(30)
        if self.dies_at is not None and len(self.requests) >= self.dies_at:
            self.dead = True
        if self.dead:
            raise StoppedError
        self.requests.append((operation, key))
        fault = self.plan(operation, key)
        if fault == "refuse":
            raise UnavailableError(f"{operation} {key} was refused")
        answer = call()
        if fault == "lose":
            raise UnavailableError(f"the answer to {operation} {key} was lost")
        if fault == "twice":
            return call()
        return answer

    def put(self, key: str, content: bytes | memoryview) -> str:
        return self._do("put", key, lambda: self.inner.put(key, content))

    def put_if_absent(self, key: str, content: bytes | memoryview) -> str:
        return self._do("put_if_absent", key, lambda: self.inner.put_if_absent(key, content))

    def put_if_match(self, key: str, content: bytes | memoryview, etag: str) -> str:
        return self._do("put_if_match", key, lambda: self.inner.put_if_match(key, content, etag))

    def put_file(self, key: str, path: str) -> str:
        return self._do("put_file", key, lambda: self.inner.put_file(key, path))

    def get(self, key: str) -> bytes:
        return self._do("get", key, lambda: self.inner.get(key))

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        return self._do("get_range", key, lambda: self.inner.get_range(key, offset, length))

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        return self._do("get_ranges", key, lambda: self.inner.get_ranges(key, ranges))

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        return self._do("get", key, lambda: self.inner.get_with_etag(key))

    def head(self, key: str) -> ObjectInfo:
        return self._do("head", key, lambda: self.inner.head(key))

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        return iter(self._do("list", prefix, lambda: list(self.inner.list(prefix, after=after))))

    def delete(self, key: str) -> None:
        self._do("delete", key, lambda: self.inner.delete(key))

    def delete_many(self, keys: Sequence[str]) -> None:
        self._do("delete_many", keys[0], lambda: self.inner.delete_many(keys))

    def local_path(self, key: str) -> str | None:
        return self.inner.local_path(key)


def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    """Name every object."""
    return [info.key for info in store.list(prefix)]
