"""How many bytes tenants, attributes and services take, from the footers of their blocks.

Bytes of an attribute are those of its columns, as they are in the bucket. Spans of all services lie
together in the same columns, so the bytes of a block are shared out among its services in
proportion to their spans: an estimate, and it says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tracestore.model.block_meta import BlockMeta
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.columns import filters_bytes, spans_by_service, table_sizes
from tracestore.storage.block.reader import BlockReader
from tracestore.storage.objects.interface import ObjectStore

CACHE_BYTES = 32 << 20
"""What is read of one block."""
FOOTERS = "footers"
FILTERS = "filters"


@dataclass(slots=True, kw_only=True)
class Share:
    """What a service takes, about."""

    spans: int = 0
    bytes: float = 0.0


@dataclass(slots=True, kw_only=True)
class TenantUsage:
    """What a tenant takes; grows block by block."""

    tenant: str
    blocks: int = 0
    spans: int = 0
    traces: int = 0
    bytes: int = 0
    columns: dict[tuple[str, str], int] = field(default_factory=dict)
    """Bytes by scope and key of an attribute; by table and name of any other column; of what is
    no column by ``""`` and its name. Together they are all bytes."""
    services: dict[str | None, Share] = field(default_factory=dict)
    """By ``service.name``; None: without one."""

    def add(self, other: TenantUsage) -> None:
        """Add what another one has."""
        self.blocks += other.blocks
        self.spans += other.spans
        self.traces += other.traces
        self.bytes += other.bytes
        for key, size in other.columns.items():
            self.columns[key] = self.columns.get(key, 0) + size
        for service, share in other.services.items():
            own = self.services.setdefault(service, Share())
            own.spans += share.spans
            own.bytes += share.bytes


def usage_of_block(store: ObjectStore, meta: BlockMeta) -> TenantUsage:
    """Look at one block. Raises: NotFoundError, UnavailableError, CorruptionError.

    Cost: six footers, the filters, and two narrow columns.
    """
    reader = BlockReader(store, meta, BlockCache(CACHE_BYTES))
    usage = TenantUsage(
        tenant=meta.tenant, blocks=1, spans=meta.spans, traces=meta.traces, bytes=meta.stored_bytes
    )
    columns = usage.columns
    for table in table_sizes(reader):
        for column in table.columns:
            key = (column.scope or table.table, column.key)
            columns[key] = columns.get(key, 0) + column.stored_bytes
        columns["", FOOTERS] = columns.get(("", FOOTERS), 0) + table.footer_bytes
    columns["", FILTERS] = filters_bytes(reader)
    for service, spans in spans_by_service(reader).items():
        share = meta.stored_bytes * spans / meta.spans
        usage.services[service] = Share(spans=spans, bytes=share)
    return usage


def add_up(blocks: Iterable[TenantUsage]) -> list[TenantUsage]:
    """Add up the blocks of each tenant; the largest tenant first."""
    found: dict[str, TenantUsage] = {}
    for one in blocks:
        found.setdefault(one.tenant, TenantUsage(tenant=one.tenant)).add(one)
    return sorted(found.values(), key=lambda usage: (-usage.bytes, usage.tenant))
