"""A part of a query on its way to a querier, and what comes back, as bytes.

A job names every source of the snapshot, so that all jobs of a query see the same: live tables by
where they are pinned, blocks by what the index says of them. The answer is a stream of frames: a
letter that says what it is, and content; what is larger than a frame comes in several.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from tracestore.codec.live_wire import SourceHead
from tracestore.codec.value_wire import decode_value, encode_value
from tracestore.errors import InvalidRequestError
from tracestore.model.block_meta import BlockMeta

FORMAT_VERSION = 1
FRAME_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedTables:
    """Live tables that a process holds for the query."""

    address: str
    token: str
    head: SourceHead


@dataclass(frozen=True, slots=True, kw_only=True)
class LostSpans:
    """Spans that are somewhere and cannot be read."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotNames:
    """All sources of a snapshot."""

    pinned: tuple[PinnedTables, ...] = ()
    lost: tuple[LostSpans, ...] = ()
    blocks: tuple[BlockMeta, ...] = ()

    def encode(self) -> bytes:
        """Write it; it is the same in all jobs of a query, so this is done once."""
        return zlib.compress(encode_value(self), 1)

    @classmethod
    def decode(cls, content: bytes) -> SnapshotNames:
        """Read it. Raises: InvalidRequestError."""
        try:
            return decode_value(zlib.decompress(content), cls)
        except zlib.error as error:
            raise InvalidRequestError(f"snapshot of a job is damaged: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """A part of a query."""

    tenants: tuple[str, ...]
    """Whose turn it is."""
    operation: bytes
    snapshot: bytes
    """``SnapshotNames``."""
    primary: tuple[str, ...] | None
    """IDs of the sources that this job answers for; None: for all."""
    without: tuple[str, ...]
    """IDs of sources that other jobs of the query could not read."""
    timeout_s: float | None
    bytes_max: int
    answer_bytes_max: int
    shows: bool
    """Whether partial answers are of use."""
    format_version: int = FORMAT_VERSION

    def encode(self) -> bytes:
        """Write it."""
        return encode_value(self)

    @classmethod
    def decode(cls, content: bytes) -> JobRequest:
        """Read it. Raises: InvalidRequestError."""
        request = decode_value(content, cls)
        if request.format_version != FORMAT_VERSION:
            raise InvalidRequestError(
                f"job of a query has version {request.format_version}, this process speaks "
                f"{FORMAT_VERSION}"
            )
        return request


class FrameKind(Enum):
    """What ends with a frame."""

    MORE = b"m"
    """Nothing: the next frame goes on."""
    SHOWN = b"s"
    """A partial answer."""
    ANSWER = b"a"
    """The answer."""
    FAILURE = b"f"
    """Why there is no answer, as ``services/rpc.py`` writes errors."""


def cut_frames(kind: FrameKind, content: bytes) -> Iterator[bytes]:
    """Cut content into frames."""
    last = max(0, (len(content) - 1) // FRAME_BYTES)
    for number in range(last + 1):
        part = content[number * FRAME_BYTES : (number + 1) * FRAME_BYTES]
        yield (kind if number == last else FrameKind.MORE).value + part


class FrameReader:
    """Puts frames together."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def take(self, frame: bytes) -> tuple[FrameKind, bytes] | None:
        """Take a frame; get what ends with it. Raises: InvalidRequestError."""
        try:
            kind = FrameKind(frame[:1])
        except ValueError as error:
            raise InvalidRequestError(f"frame of a job is unknown: {frame[:1]!r}") from error
        self._parts.append(frame[1:])
        if kind is FrameKind.MORE:
            return None
        content, self._parts = b"".join(self._parts), []
        return kind, content
