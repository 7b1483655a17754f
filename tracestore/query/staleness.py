"""When a list of names or values is long enough: nothing new has come for a while."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


class Staleness:
    """Counts the items in a row that are known already. Source: wire contract, 9.1."""

    def __init__(self, most: int) -> None:
        """Take how many in a row end it; 0: it never ends."""
        self._most = most
        self._known: set[Hashable] = set()
        self._in_a_row = 0

    @property
    def is_watching(self) -> bool:
        """Whether there is an end to be found."""
        return self._most > 0

    @property
    def is_over(self) -> bool:
        """Whether the end was met."""
        return 0 < self._most <= self._in_a_row

    def take(self, items: Sequence[Hashable]) -> int:
        """Meet items one after the other. Returns: how many of them come before the end."""
        for place, item in enumerate(items):
            if self.is_over:
                return place
            self._in_a_row = self._in_a_row + 1 if item in self._known else 0
            self._known.add(item)
        return len(items)
