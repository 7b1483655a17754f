"""Block metas for tests that need no block."""

from __future__ import annotations

from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import BlockId, TenantId


def block_meta(
    name: str, *, tenant: str = "shop", end_ns: int = 0, wal_segments: tuple[str, ...] = ()
) -> BlockMeta:
    """Return the meta of a block of one span."""
    return BlockMeta(
        id=BlockId(name),
        tenant=TenantId(tenant),
        created_ns=end_ns,
        start_ns=end_ns - 1,
        end_ns=end_ns,
        spans=1,
        traces=1,
        events=0,
        links=0,
        resources=1,
        scopes=1,
        object_bytes={"spans.parquet": 100},
        wal_segments=wal_segments,
    )
