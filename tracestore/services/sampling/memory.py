"""Decisions that were made, by hash of the trace ID: what late spans of a trace follow.

A flush decides over up to a million traces at once, so decisions are kept as sorted arrays, one
*generation* a flush: 8 B of hash and 2 B that say which weight. Neighbours are put together when
there are many, so that asking takes a few binary searches a trace.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Weights = npt.NDArray[np.float64]
GENERATIONS_MAX = 16
"""Of one tenant; beyond it the two smallest neighbours become one."""
_CODES_MAX = 65535


@dataclass(frozen=True, slots=True)
class _Generation:
    made_ns: int
    """Monotonic time of the last decision in it."""
    hashes: Hashes
    """Ascending, distinct."""
    codes: npt.NDArray[np.uint16]
    table: Weights
    """The weight of each code; 0: dropped."""

    def __len__(self) -> int:
        return len(self.hashes)

    def weights(self) -> Weights:
        found: Weights = self.table[self.codes]
        return found


class DecisionMemory:
    """The decisions of all tenants, bounded in number and age. Thread-safe."""

    def __init__(self, *, traces_max: int, keep_s: float) -> None:
        self._traces_max = traces_max
        self._keep_ns = int(keep_s * 1e9)
        self._lock = threading.Lock()
        self._of: dict[str, list[_Generation]] = {}
        """By tenant, oldest first."""

    def remember(self, tenant: str, hashes: Hashes, weights: Weights, now_ns: int) -> None:
        """Take decisions.

        Args:
            hashes: (T,) distinct; those that are known already keep their decision.
            weights: (T,) 0: dropped.
            now_ns: monotonic; of decisions that others made, when they did.
        """
        if len(hashes) == 0 or not self._traces_max or not self._keep_ns:
            return
        order = np.argsort(hashes)
        made = _generation(now_ns, hashes[order], weights[order])
        with self._lock:
            known = self._of.setdefault(tenant, [])
            known.append(made)
            known.sort(key=lambda one: one.made_ns)
            if len(known) > GENERATIONS_MAX:
                _merge_smallest(known)
            self._forget(known[-1].made_ns)

    def recall(self, tenant: str, hashes: Hashes, now_ns: int) -> Weights:
        """Get what was decided over traces: (T,) weights, NaN where nothing is known."""
        found = np.full(len(hashes), np.nan)
        with self._lock:
            self._forget(now_ns)
            known = list(self._of.get(tenant, ()))
        order = np.argsort(hashes)  # neighbours are searched near each other, which is much faster
        asked = hashes[order]
        for each in reversed(known):  # the oldest decision is the one that holds
            places = np.minimum(np.searchsorted(each.hashes, asked), len(each) - 1)
            hits = np.flatnonzero(each.hashes[places] == asked)
            found[order[hits]] = each.table[each.codes[places[hits]]]
        return found

    def count(self, tenant: str) -> int:
        """Count the decisions of a tenant."""
        with self._lock:
            return sum(len(each) for each in self._of.get(tenant, ()))

    def _forget(self, now_ns: int) -> None:
        """Let go of what is too old or too much, the oldest first. Needs the lock."""
        for tenant, known in list(self._of.items()):
            known[:] = [one for one in known if now_ns - one.made_ns < self._keep_ns]
            if not known:
                del self._of[tenant]
        total = sum(len(one) for known in self._of.values() for one in known)
        while total > self._traces_max:
            tenant = min(self._of, key=lambda name: self._of[name][0].made_ns)
            total -= len(self._of[tenant].pop(0))
            if not self._of[tenant]:
                del self._of[tenant]


def _generation(made_ns: int, hashes: Hashes, weights: Weights) -> _Generation:
    table, codes = np.unique(weights, return_inverse=True)
    assert len(table) <= _CODES_MAX, "a policy has one ratio"
    return _Generation(made_ns, hashes, codes.astype(np.uint16), table)


def _merge_smallest(known: list[_Generation]) -> None:
    """Put the two neighbours together that are smallest; of a trace in both the first decision
    stays."""
    place = min(range(len(known) - 1), key=lambda n: len(known[n]) + len(known[n + 1]))
    older, newer = known[place], known[place + 1]
    hashes, first = np.unique(np.concatenate([older.hashes, newer.hashes]), return_index=True)
    weights = np.concatenate([older.weights(), newer.weights()])[first]
    known[place : place + 2] = [_generation(newer.made_ns, hashes, weights)]
