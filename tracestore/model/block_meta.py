"""What is known of a block unopened: the content of ``meta.json`` and of an index commit."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from tracestore.errors import CorruptionError
from tracestore.model.ids import BlockId, TenantId

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockMeta:
    """An immutable set of traces in the bucket, by what pruning and bookkeeping need of it."""

    id: BlockId
    tenant: TenantId
    created_ns: int
    start_ns: int
    """Earliest span start."""
    end_ns: int
    """Latest span end; both ends belong to the block."""
    spans: int
    traces: int
    events: int
    links: int
    resources: int
    scopes: int
    object_bytes: dict[str, int]
    """Size of each object of the block by its name in it, ``meta.json`` apart."""
    checksums: dict[str, int] = field(default_factory=dict)
    """CRC-32C by object name: of a table its footer (pages have their own), of others the whole."""
    level: int = 0
    """0: a flush; n + 1: a compaction of blocks of level n."""
    wal_segments: tuple[str, ...] = ()
    """WAL segments whose records this block holds: they are not replayed once it is committed."""
    format_version: int = FORMAT_VERSION
    extra: dict[str, Any] = field(default_factory=dict)
    """Fields of a newer writer, kept as read."""

    @property
    def stored_bytes(self) -> int:
        """Size of the block in the bucket."""
        return sum(self.object_bytes.values())

    def to_dict(self) -> dict[str, Any]:
        """Turn into plain JSON values."""
        values = asdict(self)
        values["wal_segments"] = list(self.wal_segments)
        extra: dict[str, Any] = values.pop("extra")
        return extra | values

    def to_json(self) -> bytes:
        """Render ``meta.json``."""
        return json.dumps(self.to_dict(), separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def from_dict(cls, values: dict[str, Any], *, key: str) -> BlockMeta:
        """Read what ``to_dict`` wrote. Raises: CorruptionError naming ``key``."""
        known = {name: values[name] for name in values if name in cls.__slots__ and name != "extra"}
        if values.get("format_version") != FORMAT_VERSION:
            raise CorruptionError(
                f"block format {values.get('format_version')!r} is not {FORMAT_VERSION}", key=key
            )
        try:
            known["wal_segments"] = tuple(known.get("wal_segments", ()))
            return cls(**known, extra={k: v for k, v in values.items() if k not in known})
        except TypeError as error:
            raise CorruptionError(f"block meta lacks a field ({error})", key=key) from error

    @classmethod
    def from_json(cls, content: bytes, *, key: str) -> BlockMeta:
        """Parse ``meta.json``. Raises: CorruptionError."""
        try:
            values = json.loads(content)
        except ValueError as error:
            raise CorruptionError(f"block meta is not JSON ({error})", key=key) from error
        if not isinstance(values, dict):
            raise CorruptionError("block meta is not a JSON object", key=key)
        return cls.from_dict(values, key=key)
