"""Orders of an answer, and cursors: where a page ended.

A key is an unsigned number that ascends in the order of the answer, so that every order is
"by key, then by trace ID".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from tracestore.errors import InvalidRequestError
from tracestore.model.tables import Table
from tracestore.query.columns import numbers
from tracestore.query.scan import SourceScan, SourceTraces

Keys = npt.NDArray[np.uint64]
_SIGN = np.uint64(1 << 63)
_HEADER = struct.Struct(">B8sBQ16sQ?")
_VERSION = 2
_SHORT_BYTES = 5
SEEN_MAX = 1000
"""Traces shown last that a cursor names: if data arrives they may move behind it. So a cursor has
at most 7 KB, which fits into the URLs that proxies let through."""


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


def newest_key(traces: SourceTraces, row: int) -> int:
    """Get the key of one trace, newest first."""
    return int(~traces.start_ns[row])


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """The last trace of a page. ``encode`` makes the text that a client sends back."""

    sort: Sort
    key: int
    trace_id: bytes
    asked_ns: int = 0
    """When the first page was asked for: traces that start later are none of the pages' concern."""
    seen: tuple[bytes, ...] = ()
    """Short IDs of the traces shown last, so that one that moves is not shown again."""
    has_all_seen: bool = True
    """Whether these are all that were shown."""

    def encode(self, query: str) -> str:
        """Write the cursor for pages of ``query``."""
        place = list(Sort).index(self.sort)
        content = _HEADER.pack(
            *(_VERSION, _digest(query), place, self.key, self.trace_id),
            *(self.asked_ns, self.has_all_seen),
        ) + b"".join(self.seen)
        return base64.urlsafe_b64encode(content).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str, *, query: str, sort: Sort) -> Cursor:
        """Read a cursor. Raises: InvalidRequestError if it belongs to another query or order."""
        try:
            content = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
            version, digest, place, key, trace_id, asked, has_all = _HEADER.unpack_from(content)
        except (binascii.Error, struct.error, ValueError) as error:
            raise InvalidRequestError("invalid cursor: not one of ours") from error
        seen = content[_HEADER.size :]
        if version != _VERSION or len(seen) % _SHORT_BYTES or len(seen) > _SHORT_BYTES * SEEN_MAX:
            raise InvalidRequestError("invalid cursor: not one of ours")
        if digest != _digest(query) or place != list(Sort).index(sort):
            raise InvalidRequestError("invalid cursor: it belongs to another query or sort")
        return cls(
            sort=sort,
            key=key,
            trace_id=trace_id,
            asked_ns=asked,
            seen=tuple(seen[at : at + _SHORT_BYTES] for at in range(0, len(seen), _SHORT_BYTES)),
            has_all_seen=has_all,
        )

    def following(self, key: int, shown: Sequence[bytes]) -> Cursor:
        """Make the cursor behind the next page.

        Args:
            key: of the last trace shown.
            shown: IDs in order; all of them may have been before this cursor.
        """
        seen = self.seen + tuple(map(_short, shown))
        key, trace_id = max((self.key, self.trace_id), (key, shown[-1]))
        return replace(
            self,
            key=key,
            trace_id=trace_id,
            seen=seen[-SEEN_MAX:],
            has_all_seen=self.has_all_seen and len(seen) <= SEEN_MAX,
        )

    def to_show(
        self, keys: Keys, ids: npt.NDArray[np.bytes_], start_ns: npt.NDArray[np.uint64]
    ) -> npt.NDArray[np.bool_]:
        """Mark the traces that may be shown next, those that were shown among them.

        They come after this one, or have moved before it since the first page. Newest first only
        what is newer moves there. If the cursor does not know all that was shown, it cannot tell.
        """
        last, last_id = np.uint64(self.key), np.bytes_(self.trace_id)
        after: npt.NDArray[np.bool_] = (keys > last) | ((keys == last) & (ids > last_id))
        if self.sort is Sort.NEWEST or not self.has_all_seen:
            return after
        return after | (start_ns <= np.uint64(self.asked_ns))

    def without_shown(self, trace_ids: Sequence[bytes]) -> npt.NDArray[np.bool_]:
        """Mark the traces that were not shown a short while ago."""
        seen = frozenset(self.seen)
        return np.array([_short(trace_id) not in seen for trace_id in trace_ids], np.bool_)


def _short(trace_id: bytes) -> bytes:
    return hashlib.blake2b(trace_id, digest_size=_SHORT_BYTES).digest()


def _digest(query: str) -> bytes:
    return hashlib.blake2b(query.encode(errors="surrogateescape"), digest_size=8).digest()
