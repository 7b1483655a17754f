"""Ranges of an object as few requests: neighbours become one, long ones several at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

Range: TypeAlias = tuple[int, int]
"""Offset and length in bytes."""


def coalesce(ranges: Iterable[Range], *, gap: int, longest: int) -> list[Range]:
    """Plan requests that cover some ranges.

    Args:
        gap: ranges no further apart become one, and what lies between is read too.
        longest: bytes of a request; a single longer range becomes several requests.

    Returns: requests in ascending order, without overlap.
    """
    planned: list[Range] = []
    for offset, length in sorted(each for each in ranges if each[1] > 0):
        end = offset + length
        if planned:
            first, size = planned[-1]
            last = first + size
            whole = max(last, end) - first
            if offset < last or (offset <= last + gap and whole <= longest):
                planned[-1] = (first, whole)
                continue
        planned.append((offset, length))
    return [part for each in planned for part in _cut(each, longest)]


def assemble(wanted: Range, read: Mapping[int, bytes], starts: Sequence[int]) -> bytes:
    """Take a range out of what was read.

    Args:
        read: content of each request by its offset; shorter where the object ended.
        starts: the offsets, ascending.
    """
    offset, length = wanted
    end = offset + length
    parts = []
    for start in starts:
        content = read[start]
        if start < end and start + len(content) > offset:
            parts.append(content[max(0, offset - start) : end - start])
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _cut(each: Range, longest: int) -> Iterable[Range]:
    offset, length = each
    pieces = -(-length // longest)
    size = -(-length // pieces)
    for start in range(offset, offset + length, size):
        yield start, min(size, offset + length - start)
