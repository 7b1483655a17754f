"""What waits for the log in the bucket, and what one object of it holds."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field

from tracestore.codec.wal_record import EncodedRecord, encode_segment_header, segment_seed
from tracestore.errors import UnavailableError
from tracestore.model.ids import TenantId, WriterId
from tracestore.storage.wal.log import WalPosition


def object_name(writer: WriterId, number: int) -> str:
    """Name an object of a log: no record is valid in one of another name."""
    return f"{writer}/{number:020d}"


@dataclass(frozen=True, slots=True)
class Append:
    """A record, and who waits for it."""

    tenant: TenantId
    record: EncodedRecord
    done: Future[WalPosition]
    since_ns: int
    """Monotonic."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """The wish of a tenant that its later records are in other objects than its earlier ones."""

    tenant: TenantId
    done: Future[tuple[str, ...]]

    def finish(self, names: tuple[str, ...]) -> None:
        """Give the range; a rotation is never cancelled."""
        self.done.set_result(names)


@dataclass(slots=True)
class Batch:
    """One object on its way."""

    writer: WriterId
    number: int
    items: list[Append]
    began_ns: int
    stored_bytes: int = 0
    """0 until it is stored."""
    size: int = field(init=False)
    _unanswered: bool = True

    def __post_init__(self) -> None:
        self.size = sum(item.record.size for item in self.items)

    def encode(self) -> bytes:
        """Render the object. Cost: one copy of its records."""
        seed = segment_seed(object_name(self.writer, self.number))
        parts: list[bytes | memoryview] = [encode_segment_header()]
        for item in self.items:
            parts += item.record.seal(seed)
        return b"".join(parts)

    def take_unanswered(self) -> list[Append]:
        """Take those that wait, once."""
        waiting = self.items if self._unanswered else []
        self._unanswered = False
        return waiting

    def promised_tenants(self) -> set[TenantId]:
        """Return whose records ``acknowledge`` will tell of."""
        return {item.tenant for item in self.items} if self._unanswered else set()

    def acknowledge(self) -> None:
        """Tell everybody that the record is durable, unless told otherwise already."""
        if not self._unanswered:
            return
        self._unanswered = False
        name = object_name(self.writer, self.number)
        for item in self.items:
            item.done.set_result(WalPosition(segment=name, offset=0))


def form_batch(
    queue: deque[Append | Rotation], *, bytes_max: int
) -> tuple[list[Append], list[Rotation]]:
    """Take from the front of a queue what one object may hold.

    A rotation ends it if records of its tenant are in it; else it concerns earlier objects only.

    Args:
        bytes_max: 0: no record, only the rotations before the first.

    Returns: the records, one at least unless only rotations wait, and the rotations passed.
    """
    items: list[Append] = []
    rotations: list[Rotation] = []
    tenants: set[TenantId] = set()
    taken_bytes = 0
    while queue:
        item = queue[0]
        if isinstance(item, Rotation):
            if item.tenant in tenants:
                break
            rotations.append(item)
        else:
            taken_bytes += item.record.size
            if taken_bytes > bytes_max and (items or not bytes_max):
                break
            items.append(item)
            tenants.add(item.tenant)
        queue.popleft()
    return items, rotations


def fail(waiting: Iterable[Append | Rotation], error: UnavailableError) -> None:
    """Tell everybody who waits that nothing is promised."""
    for item in waiting:
        done = item.done
        if not done.done() and (done.running() or done.set_running_or_notify_cancel()):
            done.set_exception(error)
