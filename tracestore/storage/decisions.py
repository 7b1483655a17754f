"""Traces that a sampling policy dropped, as objects in the bucket: what late spans of them follow.

Kept traces tell of themselves, as they are in blocks; of dropped ones nothing else is left. An
object holds the hashes of what one flush dropped, and goes when its time is over. Format:
docs/formats/dropped.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tracestore.errors import CorruptionError
from tracestore.model.ids import BlockId, TenantId
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.layout import (
    dropped_key,
    dropped_prefix,
    parse_dropped_key,
)

Hashes = npt.NDArray[np.uint64]
COLUMN = "trace_hash"
DELETED_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedObject:
    """An object, by its key."""

    key: str
    decided_ns: int


class DroppedTraces:
    """The objects of all tenants. Synchronous, thread-safe."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def write(
        self, tenant: TenantId, block: BlockId, decided_ns: int, hashes: Hashes
    ) -> DroppedObject:
        """Store what was dropped of a head.

        Args:
            block: that the head will become.
            hashes: XXH64 of the trace IDs, in any order.

        Raises: UnavailableError; writing again is right.
        Cost: about 6 B a trace.
        """
        key = dropped_key(tenant, decided_ns, block)
        table = pa.table({COLUMN: pa.array(np.sort(hashes), pa.uint64())})
        sink = pa.BufferOutputStream()
        pq.write_table(
            table,
            sink,
            compression="none",
            use_dictionary=False,
            column_encoding={COLUMN: "DELTA_BINARY_PACKED"},
            write_page_checksum=True,
        )
        self._store.put(key, memoryview(sink.getvalue()))
        return DroppedObject(key=key, decided_ns=decided_ns)

    def list(self, tenant: TenantId) -> Sequence[DroppedObject]:
        """List the objects of a tenant, the oldest decision first. Raises: UnavailableError."""
        keys = sorted(info.key for info in self._store.list(dropped_prefix(tenant)))
        return [
            DroppedObject(key=key, decided_ns=parsed[1])
            for key in keys
            if (parsed := parse_dropped_key(key)) is not None
        ]

    def read(self, found: DroppedObject) -> Hashes:
        """Read the hashes, ascending. Raises: NotFoundError, CorruptionError, UnavailableError."""
        content = self._store.get(found.key)
        try:
            table = pq.read_table(pa.BufferReader(content), columns=[COLUMN])
            hashes: Hashes = table.column(COLUMN).combine_chunks().to_numpy(zero_copy_only=False)
        except (pa.ArrowException, KeyError, OSError) as error:
            reason = f"dropped traces cannot be read: {error}"
            raise CorruptionError(reason, key=found.key) from error
        return hashes.astype(np.uint64, copy=False)

    def delete(self, objects: Sequence[DroppedObject]) -> None:
        """Delete objects. Those that are gone are no error. Raises: UnavailableError."""
        keys = [one.key for one in objects]
        for first in range(0, len(keys), DELETED_AT_ONCE):
            self._store.delete_many(keys[first : first + DELETED_AT_ONCE])
