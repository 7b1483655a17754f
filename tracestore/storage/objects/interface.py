"""The object store as a protocol: whole objects, ranged reads, conditional writes.

Everything durable goes through here, so that one directory and one bucket are the same thing.
Keys are ``/``-separated texts without ``.`` or ``..`` parts. An object appears whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """What a listing or a head says of an object. ``etag`` changes whenever the content does."""

    key: str
    bytes: int
    etag: str
    modified_ns: int


class ObjectStore(Protocol):
    """A bucket. All methods are synchronous and thread-safe.

    Raises of all methods: UnavailableError (also for a full disk), NotFoundError where said.
    """

    def put(self, key: str, content: bytes | memoryview) -> str:
        """Create or replace; durable on return. Returns the etag."""

    def put_if_absent(self, key: str, content: bytes | memoryview) -> str:
        """Create (``If-None-Match: *``). Raises: ConflictError if the key exists."""

    def put_if_match(self, key: str, content: bytes | memoryview, etag: str) -> str:
        """Replace (``If-Match``). Raises: ConflictError if it is another etag, or no object."""

    def put_file(self, key: str, path: str) -> str:
        """Create or replace from a local file (which may be moved away); durable on return."""

    def get(self, key: str) -> bytes:
        """Read whole. Raises: NotFoundError."""

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        """Read ``length`` bytes, fewer only at the end of the object. Raises: NotFoundError."""

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        """Read several ranges (offset, length), in as few and as parallel requests as pay.

        Raises: NotFoundError.
        """

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        """Read whole, with the etag to pass to ``put_if_match``. Raises: NotFoundError."""

    def head(self, key: str) -> ObjectInfo:
        """Describe without reading. Raises: NotFoundError."""

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        """List by key in ascending byte order, keys greater than ``after`` only."""

    def delete(self, key: str) -> None:
        """Delete; no error if it is not there."""

    def delete_many(self, keys: Sequence[str]) -> None:
        """Delete each; some may be gone and others not if it fails: then ask again."""

    def local_path(self, key: str) -> str | None:
        """Path of the object if it is a file of this machine (then it may be memory-mapped)."""
