"""A write-ahead log in memory whose syncs a test lets happen, or fail, one at a time."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future

from tracestore.errors import UnavailableError
from tracestore.storage.wal.log import WalPosition


class FakeWal:
    """Keeps the order that ``WriteAheadLog`` promises; ``auto`` syncs each append at once."""

    def __init__(self, *, auto: bool = True) -> None:
        self.auto = auto
        self.segments: dict[str, list[bytes]] = {}
        self.dropped: list[str] = []
        self.closed = False
        self._open = ""
        self._sealed: list[str] = []
        self._queue: deque[tuple[bytes | None, Future]] = deque()  # type: ignore[type-arg]

    def append(self, payload: bytes | bytearray) -> Future[WalPosition]:
        done: Future[WalPosition] = Future()
        self._queue.append((bytes(payload), done))
        if self.auto:
            self.sync()
        return done

    def request_rotation(self) -> Future[tuple[str, ...]]:
        done: Future[tuple[str, ...]] = Future()
        self._queue.append((None, done))
        if self.auto:
            self.sync()
        return done

    def sync(self, *, error: str = "") -> None:
        """Serve all that waits; with ``error`` the appends fail."""
        while self._queue:
            payload, done = self._queue.popleft()
            if payload is None:
                if self._open:
                    self._sealed.append(self._open)
                sealed, self._sealed, self._open = tuple(self._sealed), [], ""
                done.set_result(sealed)
            elif error:
                done.set_exception(UnavailableError(error))
            elif done.set_running_or_notify_cancel():
                if not self._open:
                    self._open = f"segment-{len(self.segments)}"
                    self.segments[self._open] = []
                self.segments[self._open].append(payload)
                done.set_result(WalPosition(segment=self._open, offset=0))

    def drop(self, segments: tuple[str, ...]) -> None:
        assert self._open not in segments
        for name in segments:
            self.dropped.append(name)
            self.segments.pop(name, None)

    def close(self) -> None:
        self.closed = True
