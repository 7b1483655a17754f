"""Memory for what is read of blocks: footers, filters, columns.

Blocks never change, so nothing in it is ever stale.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    value: Any
    bytes: int


class BlockCache:
    """Keeps what was used last, within a bound of bytes. Shared by all blocks; thread-safe.

    Two threads that miss the same thing both read it: harmless, and rare.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._bytes = 0
        self.hits = 0
        self.misses = 0

    @property
    def bytes(self) -> int:
        """Bytes held now; never more than the bound."""
        return self._bytes

    def get(self, key: Hashable) -> Any | None:
        """Look up, and count as used."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                self.misses += 1
                return None
            self.hits += 1
            self._entries.move_to_end(key)
            return entry.value

    def put(self, key: Hashable, value: Any, size: int) -> None:
        """Keep ``value`` of ``size`` bytes, at the price of what was not used for longest.

        What is larger than the whole cache is not kept.
        """
        with self._lock:
            if old := self._entries.pop(key, None):
                self._bytes -= old.bytes
            if size > self._bytes_max:
                return
            self._entries[key] = _Entry(value=value, bytes=size)
            self._bytes += size
            while self._bytes > self._bytes_max:
                _, oldest = self._entries.popitem(last=False)
                self._bytes -= oldest.bytes
