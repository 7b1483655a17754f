"""Who writes a write-ahead log: processes that may hold spans which no block has yet.

The index knows them, so that a query can tell whether everybody has been asked, and so that a
process which was declared dead cannot commit what its successor commits too.

Pure: a commit applied to the writers gives the next ones.

Source: docs/formats/index.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from tracestore.errors import ConflictError, FencedError
from tracestore.model.ids import WriterId

Writers = Mapping[WriterId, "Writer"]
NO_WRITERS: Writers = MappingProxyType({})


class WalHome(StrEnum):
    """Where a log lies: who can read it while its writer is away."""

    DISK = "disk"
    """On the writer's own disk: nobody else can."""
    BUCKET = "bucket"


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """One life of an ingester."""

    id: WriterId
    instance: str
    """Name of the process, the same after a restart."""
    address: str
    """host:port of its gRPC as others reach it; empty: it cannot be asked."""
    wal: WalHome
    owner: WriterId
    """Who answers for its log: itself, or the writer that adopted it."""
    epoch: int = 0
    """Grows with each adoption: the fencing token."""
    opened_ns: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Turn into plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Writer:
        """Read what ``to_dict`` wrote. Raises: KeyError, TypeError, ValueError."""
        return cls(
            id=WriterId(str(values["id"])),
            instance=str(values["instance"]),
            address=str(values["address"]),
            wal=WalHome(values["wal"]),
            owner=WriterId(str(values["owner"])),
            epoch=int(values["epoch"]),
            opened_ns=int(values["opened_ns"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """A writer answers for the log of another one from now on."""

    writer: WriterId
    owner: WriterId
    epoch: int
    """The writer's new epoch: one more than the adopter saw."""

    def to_dict(self) -> dict[str, Any]:
        """Turn into plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Adoption:
        """Read what ``to_dict`` wrote. Raises: KeyError, TypeError, ValueError."""
        return cls(
            writer=WriterId(str(values["writer"])),
            owner=WriterId(str(values["owner"])),
            epoch=int(values["epoch"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """A change is made only while a writer has this epoch."""

    writer: WriterId
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterChange:
    """What a commit does to the writers."""

    open: tuple[Writer, ...] = ()
    close: tuple[WriterId, ...] = ()
    adopt: tuple[Adoption, ...] = ()

    def apply(self, writers: Writers) -> Writers:
        """Return the writers after it."""
        if not (self.open or self.close or self.adopt):
            return writers
        changed = dict(writers)
        for writer in self.open:
            changed[writer.id] = writer
        for adoption in self.adopt:
            if (known := changed.get(adoption.writer)) is not None:
                changed[adoption.writer] = replace(
                    known, owner=adoption.owner, epoch=adoption.epoch
                )
        for gone in self.close:
            changed.pop(gone, None)
        return MappingProxyType(changed)

    def check(self, writers: Writers) -> None:
        """Refuse what does not fit the writers as they are.

        Raises: ConflictError if a writer to open is there and was adopted, one to close is not
            there, or one to adopt has another epoch than the adopter saw.
        """
        for writer in self.open:
            known = writers.get(writer.id)
            # the same log after a restart may be reached under another address
            if known is not None and (known.owner, known.epoch) != (writer.owner, writer.epoch):
                raise ConflictError(f"writer {writer.id} is in the index, and was adopted")
        for gone in self.close:
            if gone not in writers:
                raise ConflictError(f"writer {gone} is not in the index (any more)")
        for adoption in self.adopt:
            known = writers.get(adoption.writer)
            if known is None or known.epoch != adoption.epoch - 1:
                raise ConflictError(f"writer {adoption.writer} was closed, or adopted by another")

    def is_done(self, writers: Writers) -> bool:
        """Tell whether the writers show that it has happened."""
        opened = all(writers.get(writer.id) == writer for writer in self.open)
        closed = not any(gone in writers for gone in self.close)
        return opened and closed and all(_is_adopted(writers, one) for one in self.adopt)


NO_CHANGE = WriterChange()


def _is_adopted(writers: Writers, adoption: Adoption) -> bool:
    known = writers.get(adoption.writer)
    return known is not None and (known.owner, known.epoch) == (adoption.owner, adoption.epoch)


def check_fence(writers: Writers, fence: Fence | None) -> None:
    """Raises: FencedError unless the writer is there with that epoch."""
    if fence is None:
        return
    known = writers.get(fence.writer)
    if known is None or known.epoch != fence.epoch:
        now = "closed" if known is None else f"adopted by {known.owner}, epoch {known.epoch}"
        raise FencedError(f"writer {fence.writer} of epoch {fence.epoch} is {now}")


def to_list(writers: Writers) -> list[dict[str, Any]]:
    """Turn writers into plain JSON values, in order of their IDs."""
    return [writers[id].to_dict() for id in sorted(writers)]


def from_list(values: Sequence[Mapping[str, Any]]) -> Writers:
    """Read what ``to_list`` wrote. Raises: KeyError, TypeError, ValueError."""
    found = [Writer.from_dict(one) for one in values]
    return MappingProxyType({writer.id: writer for writer in found})
