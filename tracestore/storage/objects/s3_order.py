"""Listings in byte order, whichever of two orders the store keeps.

S3 lists by bytes. Some stores that keep directories (SeaweedFS) list by parts of the path, as if
``/`` were less than any other character: ``a/b`` before ``a-b``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tracestore.storage.objects.interface import ObjectInfo


def start_before(prefix: str, after: str) -> str:
    """Find where a listing may start without missing a key greater than ``after``, in either
    order; keys that are not greater may come, too. Empty: at the start of the prefix.

    The orders differ from ``after`` only at a character of it that is less than ``/``. What is left
    is made a little less, since SeaweedFS passes over ``x/y`` when it starts after ``x``.
    """
    assert after.startswith(prefix)
    known = len(prefix)
    end = next((at for at in range(known, len(after)) if after[at] < "/"), len(after))
    while end > known and after[end - 1] != "/" and not "0" < after[end - 1] <= "~":
        end -= 1
    if end == known:
        return ""
    if after[end - 1] == "/":
        return after[:end]
    return f"{after[: end - 1]}{chr(ord(after[end - 1]) - 1)}~"


def in_byte_order(entries: Iterable[ObjectInfo], prefix: str) -> Iterator[ObjectInfo]:
    """Put the entries of either order into byte order.

    Keys that begin with the same first part are neighbours in both orders, and they alone may be
    out of order, so no more than those are held.
    """
    held: list[ObjectInfo] = []
    start = ""
    for entry in entries:
        if held and not entry.key.startswith(start):
            yield from sorted(held, key=_bytes)
            held = []
        if not held:
            start = prefix + entry.key.removeprefix(prefix).partition("/")[0]
        held.append(entry)
    yield from sorted(held, key=_bytes)


def _bytes(entry: ObjectInfo) -> bytes:
    return entry.key.encode()
