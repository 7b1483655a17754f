"""Orders of an answer, and cursors: where a page ended.

A key is an unsigned number that ascends in the order of the answer, so that every order is
"by key, then by trace ID".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from tracestore.errors import InvalidRequestError
from tracestore.model.tables import Table
from tracestore.query.columns import numbers
from tracestore.query.scan import SourceScan

Keys = npt.NDArray[np.uint64]
_SIGN = np.uint64(1 << 63)
_HEADER = struct.Struct(">B8sBQ16s")
_VERSION = 1
SEEN_MAX = 256
"""Traces shown last that a cursor names: if data arrives they may move behind it."""


class Sort(StrEnum):
    """Orders; a minus is descending."""

    NEWEST = "-start"
    OLDEST = "start"
    LONGEST = "-duration"
    SHORTEST = "duration"
    MOST_SPANS = "-spans"
    FEWEST_SPANS = "spans"
    MOST_ERRORS = "-errors"
    FEWEST_ERRORS = "errors"

    @property
    def is_descending(self) -> bool:
        """Whether large values come first."""
        return self.value.startswith("-")


def sort_keys(scan: SourceScan, rows: npt.NDArray[np.int64], sort: Sort) -> Keys:
    """Get the keys of some traces of a source."""
    traces = scan.traces
    match sort:
        case Sort.NEWEST | Sort.OLDEST:
            keys = traces.start_ns[rows]
        case Sort.LONGEST | Sort.SHORTEST:
            # a clock that ran back makes a duration negative
            keys = (traces.end_ns[rows] - traces.start_ns[rows]) ^ _SIGN
        case Sort.MOST_SPANS | Sort.FEWEST_SPANS:
            keys = traces.span_count[rows].astype(np.uint64)
        case Sort.MOST_ERRORS | Sort.FEWEST_ERRORS:
            keys = numbers(scan.column(Table.TRACES, "error_count"))[rows].astype(np.uint64)
    return ~keys if sort.is_descending else keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """The last trace of a page. ``encode`` makes the text that a client sends back."""

    sort: Sort
    key: int
    trace_id: bytes
    seen: tuple[bytes, ...] = ()
    """Trace IDs shown last, so that one that moves is not shown again."""

    def encode(self, query: str) -> str:
        """Write the cursor for pages of ``query``."""
        place = list(Sort).index(self.sort)
        head = _HEADER.pack(_VERSION, _digest(query), place, self.key, self.trace_id)
        content = head + b"".join(_short(one) for one in self.seen[-SEEN_MAX:])
        return base64.urlsafe_b64encode(content).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str, *, query: str, sort: Sort) -> Cursor:
        """Read a cursor. Raises: InvalidRequestError if it belongs to another query or order."""
        try:
            content = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
            version, digest, place, key, trace_id = _HEADER.unpack_from(content)
        except (binascii.Error, struct.error, ValueError) as error:
            raise InvalidRequestError("invalid cursor: not one of ours") from error
        seen = content[_HEADER.size :]
        if version != _VERSION or len(seen) % 8 or len(seen) > 8 * SEEN_MAX:
            raise InvalidRequestError("invalid cursor: not one of ours")
        if digest != _digest(query) or place != list(Sort).index(sort):
            raise InvalidRequestError("invalid cursor: it belongs to another query or sort")
        each = tuple(seen[at : at + 8] for at in range(0, len(seen), 8))
        return cls(sort=sort, key=key, trace_id=trace_id, seen=each)

    def behind(self, keys: Keys, ids: npt.NDArray[np.bytes_]) -> npt.NDArray[np.bool_]:
        """Mark the traces that come after this one."""
        last, last_id = np.uint64(self.key), np.bytes_(self.trace_id)
        after: npt.NDArray[np.bool_] = (keys > last) | ((keys == last) & (ids > last_id))
        return after

    def has_shown(self, trace_id: bytes) -> bool:
        """Tell whether a trace was shown a short while ago; since then it has moved."""
        return _short(trace_id) in self.seen


def _short(trace_id: bytes) -> bytes:
    """Shorten an ID to 8 bytes; what is short already stays."""
    if len(trace_id) == 8:
        return trace_id
    return hashlib.blake2b(trace_id, digest_size=8).digest()


def _digest(query: str) -> bytes:
    return hashlib.blake2b(query.encode(errors="surrogateescape"), digest_size=8).digest()
