"""Disks that fail on demand and count what they are asked for."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Sequence

from tracestore.storage.disk import Disk


class FaultyDisk(Disk):
    """A disk whose operations fail while they are named in ``failing``.

    ``capacity`` bounds the bytes that writes may add, as a full file system does: what fits is
    written, then ENOSPC.
    """

    def __init__(self) -> None:
        self.failing: dict[str, int] = {}
        self.capacity: int | None = None
        self.counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def create(self, path: str) -> int:
        self._step("create")
        return super().create(path)

    def write(self, descriptor: int, buffers: Sequence[bytes | memoryview]) -> None:
        self._step("write")
        if self.capacity is None:
            super().write(descriptor, buffers)
            return
        content = b"".join(buffers)
        fitting = content[: max(self.capacity, 0)]
        self.capacity -= len(fitting)
        super().write(descriptor, [fitting] if fitting else [])
        if len(fitting) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def sync(self, descriptor: int) -> None:
        self._step("sync")
        super().sync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        self._step("truncate")
        super().truncate(descriptor, size)

    def rename(self, source: str, target: str) -> None:
        self._step("rename")
        super().rename(source, target)

    def link(self, source: str, target: str) -> None:
        self._step("link")
        super().link(source, target)

    def unlink(self, path: str) -> None:
        self._step("unlink")
        super().unlink(path)

    def sync_directory(self, path: str) -> None:
        self._step("sync_directory")
        super().sync_directory(path)

    def _step(self, name: str) -> None:
        with self._lock:
            self.counts[name] = self.counts.get(name, 0) + 1
        if name in self.failing:
            raise OSError(self.failing[name], os.strerror(self.failing[name]))
