"""Which of several members something belongs to: rendezvous hashing, the same in all processes.

Each member has a seed, the hash of its name; the home of a key is the member with the highest score
of key and seed (``kernel/shard.pyx``). Members that come or go move only what is theirs. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracestore.kernel import hash64, rank, shard
from tracestore.services.members.member import Member

Body = bytes | bytearray


def seeds_of(names: Sequence[str]) -> npt.NDArray[np.uint64]:
    """Get the seeds of members by their names: (n,)."""
    return hash64(pa.array(names, pa.string()))


def rank_names(key: str, names: Sequence[str]) -> list[int]:
    """Put names in order for a key, such as a block ID: numbers of the names, its home first."""
    (hashed,) = hash64(pa.array([key]))
    return rank(int(hashed), 0, seeds_of(names))


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """The members among whom traces are shared out, in the order of their keys."""

    members: tuple[Member, ...]
    seeds: npt.NDArray[np.uint64]

    @classmethod
    def among(cls, members: Sequence[Member]) -> Placement:
        """Share out among some members; of two with one name the first by process has all."""
        ordered = tuple(sorted(members, key=lambda member: member.key))
        return cls(ordered, seeds_of([member.identity.instance for member in ordered]))

    def only(self, wanted: Callable[[Member], bool]) -> Placement:
        """Leave members out: what is theirs goes to the next in order, the rest stays."""
        return Placement.among([member for member in self.members if wanted(member)])

    def shard(self, request: Body, spans_max: int) -> list[tuple[Member, Body]]:
        """Cut a valid request into the shares of the members; of one alone it is untouched.

        Args:
            spans_max: spans of the request, or more.
        """
        if len(self.members) == 1:
            return [(self.members[0], request)]
        parts = shard(request, spans_max, self.seeds)
        return [
            (member, part)
            for member, part in zip(self.members, parts, strict=True)
            if part is not None
        ]
