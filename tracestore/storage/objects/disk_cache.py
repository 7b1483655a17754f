"""Pieces of immutable objects in files of a local directory, within a bound of bytes.

Several processes may share the directory, now and after restarts: a file is written beside its name
and renamed, and carries its name and a checksum, so that one that is torn or another's is a miss.
What was not used for longest goes first, by the files' modification times. The directory is looked
through again whenever this process has written a small part of the bound, so that up to
``SHARERS`` processes keep to it together.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path

import google_crc32c

from tracestore.clock import Clock
from tracestore.errors import SettingsError
from tracestore.model.times import SECOND_NS

log = logging.getLogger(__name__)

SHARERS = 8
_SCAN_SHARE = 64
"""The directory is looked through after writing this part of the bound."""
_KEPT = 7 / 8
"""Share of the bound that is left by a clean-up."""
_FILE_BYTES = 4096
"""What the smallest file takes."""
_MAGIC = b"tspiece1"
_PARTIAL = ".partial"
_PARTIAL_AGE_NS = 3600 * SECOND_NS
_FANOUT = 2
"""Hexadecimal digits of a subdirectory's name."""


@dataclass(frozen=True, slots=True)
class _File:
    modified_ns: int
    path: str
    bytes: int


class DiskCache:
    """Keeps pieces by name. Thread-safe. A disk that fails makes it forget, never fail.

    Args:
        bytes_max: what the files may take together.

    Raises: SettingsError if the directory cannot be made or written.
    """

    def __init__(self, directory: str | Path, bytes_max: int, clock: Clock) -> None:
        assert bytes_max > 0
        self._root = Path(directory)
        self._bytes_max = bytes_max
        self._clock = clock
        self._lock = threading.Lock()
        """Guards the numbers below; one thread at a time cleans up."""
        self._bytes = 0
        self._unseen = 0
        self.hits = 0
        self.misses = 0
        try:
            for number in range(16**_FANOUT):
                (self._root / f"{number:0{_FANOUT}x}").mkdir(parents=True, exist_ok=True)
            probe = self._root / f"{uuid.uuid4()}{_PARTIAL}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise SettingsError(f"cannot keep a cache in {directory}: {error}") from error
        self._clean_up()

    @property
    def bytes_held(self) -> int:
        """Bytes that the files take, as far as this process knows."""
        return self._bytes

    def get(self, name: str) -> bytes | None:
        """Look up a piece, and count it as used."""
        path = self._path(name)
        try:
            content = Path(path).read_bytes()
            now_ns = self._clock.now_ns()
            os.utime(path, ns=(now_ns, now_ns))
        except OSError:
            self._count(hit=False)
            return None
        piece = _unwrap(content, name)
        if piece is None:
            self._remove(path)
        self._count(hit=piece is not None)
        return piece

    def put(self, name: str, piece: bytes) -> None:
        """Keep a piece, unless it is larger than what is written between two clean-ups."""
        content = _wrap(piece, name)
        if len(content) > self._bytes_max // _SCAN_SHARE:
            return
        path = self._path(name)
        partial = f"{path}-{uuid.uuid4().hex}{_PARTIAL}"
        try:
            with open(partial, "wb") as file:
                file.write(content)
            now_ns = self._clock.now_ns()
            os.utime(partial, ns=(now_ns, now_ns))
            os.rename(partial, path)
        except OSError as error:
            self._remove(partial)
            log.warning("cache on disk does not take a piece", extra={"error": str(error)})
            return
        with self._lock:
            self._bytes += _taken(len(content))
            self._unseen += _taken(len(content))
            if self._unseen < self._bytes_max // _SCAN_SHARE:
                return
            self._clean_up()

    def _count(self, *, hit: bool) -> None:
        with self._lock:
            self.hits += hit
            self.misses += not hit

    def _path(self, name: str) -> str:
        digest = hashlib.blake2b(name.encode(), digest_size=20).hexdigest()
        return str(self._root / digest[:_FANOUT] / digest[_FANOUT:])

    def _clean_up(self) -> None:
        """Look through the directory, and remove the oldest files if they are too many."""
        files = sorted(self._files(), key=lambda file: file.modified_ns)
        total = sum(file.bytes for file in files)
        room = self._bytes_max * (1 - 1 / SHARERS)
        if total > room:
            for file in files:
                self._remove(file.path)
                total -= file.bytes
                if total <= self._bytes_max * _KEPT * _KEPT:
                    break
        self._bytes = total
        self._unseen = 0

    def _files(self) -> list[_File]:
        found = []
        stale_ns = self._clock.now_ns() - _PARTIAL_AGE_NS
        for directory in self._root.iterdir():
            if not directory.is_dir() or len(directory.name) != _FANOUT:
                continue
            for entry in os.scandir(directory):
                try:
                    status = entry.stat()
                except OSError:
                    continue  # another process removed it
                if entry.name.endswith(_PARTIAL) and status.st_mtime_ns < stale_ns:
                    self._remove(entry.path)
                    continue
                found.append(_File(status.st_mtime_ns, entry.path, _taken(status.st_size)))
        return found

    def _remove(self, path: str) -> None:
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        except OSError as error:
            log.warning("cannot remove a cached piece", extra={"error": str(error)})


def _taken(size: int) -> int:
    return -(-size // _FILE_BYTES) * _FILE_BYTES


def _wrap(piece: bytes, name: str) -> bytes:
    named = name.encode()
    head = len(named).to_bytes(4, "little") + named
    checksum: bytes = google_crc32c.value(head + piece).to_bytes(4, "little")
    return _MAGIC + checksum + head + piece


def _unwrap(content: bytes, name: str) -> bytes | None:
    """Get the piece out of a file, None if it is not whole or of another name."""
    start = len(_MAGIC)
    body = content[start + 4 :]
    if not content.startswith(_MAGIC) or len(body) < 4:
        return None
    if google_crc32c.value(body).to_bytes(4, "little") != content[start : start + 4]:
        return None
    named = name.encode()
    if body[: 4 + len(named)] != len(named).to_bytes(4, "little") + named:
        return None
    return body[4 + len(named) :]
