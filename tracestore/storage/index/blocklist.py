"""The known blocks of every tenant as an immutable snapshot, and one change to it as a value.

Pure: a commit applied to a snapshot gives the next snapshot. Reading and writing the log is
``commits.py``.

Source: docs/formats/index.md.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from tracestore.errors import CorruptionError
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import BlockId, TenantId, WriterId
from tracestore.storage.index.writers import (
    NO_CHANGE,
    NO_WRITERS,
    Adoption,
    Writer,
    WriterChange,
    Writers,
    from_list,
    to_list,
)

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class BlockRef:
    """Names a block. Block IDs alone are unique too; the tenant says where it lies."""

    tenant: TenantId
    id: BlockId


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovedBlock:
    """A block that no new query reads, while its objects stay for a grace period."""

    meta: BlockMeta
    removed_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One atomic change of the index: all of it happens, or none."""

    sequence: int
    id: str
    """Chosen by the writer once for all its attempts, so that it knows its own commit again."""
    time_ns: int
    writer: str
    """Host and process, for people."""
    add: tuple[BlockMeta, ...] = ()
    remove: tuple[BlockRef, ...] = ()
    forget: tuple[BlockRef, ...] = ()
    """Removed blocks whose objects have been deleted."""
    reset: bool = False
    """What came before is void, the list is ``add`` without ``remove``, the writers are those of
    ``writers.open``: written by a rebuild."""
    writers: WriterChange = NO_CHANGE
    floor_ns: int = 0
    """Blocks that were written before it and that no commit has added are refused from now on, so
    that their objects may be deleted. 0: says nothing."""

    def to_json(self) -> bytes:
        """Render the object ``index/<sequence>.json``."""
        values = {
            "format_version": FORMAT_VERSION,
            "sequence": self.sequence,
            "id": self.id,
            "time_ns": self.time_ns,
            "writer": self.writer,
            "add": [meta.to_dict() for meta in self.add],
            "remove": [_ref_to_dict(ref) for ref in self.remove],
            "forget": [_ref_to_dict(ref) for ref in self.forget],
            "reset": self.reset,
        }
        if self.writers != NO_CHANGE:
            values["writers"] = {
                "open": [writer.to_dict() for writer in self.writers.open],
                "close": list(self.writers.close),
                "adopt": [adoption.to_dict() for adoption in self.writers.adopt],
            }
        if self.floor_ns:
            values["floor_ns"] = self.floor_ns
        return json.dumps(values, separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def from_json(cls, content: bytes, *, key: str) -> Commit:
        """Parse what ``to_json`` wrote. Raises: CorruptionError naming ``key``."""
        values = parse_object(content, key=key)
        try:
            return cls(
                sequence=int(values["sequence"]),
                id=str(values["id"]),
                time_ns=int(values["time_ns"]),
                writer=str(values["writer"]),
                add=tuple(BlockMeta.from_dict(meta, key=key) for meta in values["add"]),
                remove=tuple(_ref_from_dict(ref) for ref in values["remove"]),
                forget=tuple(_ref_from_dict(ref) for ref in values.get("forget", ())),
                reset=bool(values.get("reset", False)),
                writers=_writer_change(values.get("writers", {})),
                floor_ns=int(values.get("floor_ns", 0)),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorruptionError(f"index commit is not valid ({error!r})", key=key) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockList:
    """All blocks as of one commit. Shared between threads; replaced, never changed."""

    sequence: int = 0
    """The last commit in it; 0 before the first."""
    tenants: Mapping[TenantId, tuple[BlockMeta, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """Per tenant the blocks, the one with the newest spans first, ties by ID; no empty tuples."""
    removed: Mapping[BlockRef, RemovedBlock] = field(default_factory=lambda: MappingProxyType({}))
    """Blocks that are gone from the list and not yet forgotten."""
    writers: Writers = field(default_factory=lambda: NO_WRITERS)
    """Processes that were opened and not closed: who may hold spans that no block has yet."""
    floor_ns: int = 0
    """A block that was written before it and is not known cannot be added any more."""

    def blocks(self, tenant: TenantId) -> tuple[BlockMeta, ...]:
        """Return the blocks of a tenant, newest first; empty if it has none."""
        return self.tenants.get(tenant, ())

    def find(self, ref: BlockRef) -> BlockMeta | None:
        """Return the meta of a block that is in the list. Cost: O(blocks of the tenant)."""
        return next((meta for meta in self.blocks(ref.tenant) if meta.id == ref.id), None)

    def wal_segments(self, tenant: TenantId) -> frozenset[str]:
        """Return the WAL segments that a block holds or held: they must not be replayed."""
        held = {name for meta in self.blocks(tenant) for name in meta.wal_segments}
        for ref, removed in self.removed.items():
            if ref.tenant == tenant:
                held.update(removed.meta.wal_segments)
        return frozenset(held)

    def removed_before(self, time_ns: int) -> list[RemovedBlock]:
        """Return the removed blocks whose grace period is over, for deletion; oldest first."""
        due = [removed for removed in self.removed.values() if removed.removed_ns < time_ns]
        return sorted(due, key=lambda removed: (removed.removed_ns, removed.meta.id))

    def apply(self, commit: Commit) -> BlockList:
        """Return the list after ``commit``, which must be the next one (or a reset further on)."""
        return self.apply_all((commit,))

    def apply_all(self, commits: Iterable[Commit]) -> BlockList:
        """Return the list after some commits, in order.

        Cost: O(blocks of the tenants that they touch), once for all of them.
        """
        sequence = self.sequence
        removed = dict(self.removed)
        touched: dict[TenantId, dict[BlockId, BlockMeta]] = {}
        tenants = dict(self.tenants)
        writers = self.writers
        floor_ns = self.floor_ns
        for commit in commits:
            assert commit.sequence == sequence + 1 or (commit.reset and commit.sequence > sequence)
            sequence = commit.sequence
            if commit.reset:
                tenants, touched, removed, writers = {}, {}, {}, NO_WRITERS
            writers = commit.writers.apply(writers)
            floor_ns = max(floor_ns, commit.floor_ns)
            for meta in commit.add:
                _touch(touched, tenants, meta.tenant)[meta.id] = meta
            for ref in commit.remove:
                blocks = _touch(touched, tenants, ref.tenant)
                if (gone := blocks.pop(ref.id, None)) is not None:
                    removed[ref] = RemovedBlock(meta=gone, removed_ns=commit.time_ns)
            for ref in commit.forget:
                removed.pop(ref, None)
        for tenant, blocks in touched.items():
            tenants[tenant] = tuple(sorted(blocks.values(), key=_newest_first, reverse=True))
            if not blocks:
                del tenants[tenant]
        return BlockList(
            sequence=sequence,
            tenants=MappingProxyType(tenants),
            removed=MappingProxyType(removed),
            writers=writers,
            floor_ns=floor_ns,
        )

    def to_json(self, *, time_ns: int) -> bytes:
        """Render the object ``index/checkpoints/<sequence>.json``."""
        values = {
            "format_version": FORMAT_VERSION,
            "sequence": self.sequence,
            "time_ns": time_ns,
            "blocks": [meta.to_dict() for blocks in self.tenants.values() for meta in blocks],
            "removed": [
                {"removed_ns": removed.removed_ns, "block": removed.meta.to_dict()}
                for removed in self.removed.values()
            ],
            "writers": to_list(self.writers),
            "floor_ns": self.floor_ns,
        }
        return json.dumps(values, separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def from_json(cls, content: bytes, *, key: str) -> BlockList:
        """Parse what ``to_json`` wrote. Raises: CorruptionError naming ``key``."""
        values = parse_object(content, key=key)
        try:
            blocks = [BlockMeta.from_dict(meta, key=key) for meta in values["blocks"]]
            removed = {}
            for entry in values["removed"]:
                meta = BlockMeta.from_dict(entry["block"], key=key)
                removed[ref_of(meta)] = RemovedBlock(meta=meta, removed_ns=int(entry["removed_ns"]))
            sequence = int(values["sequence"])
            writers = from_list(values.get("writers", ()))
            floor_ns = int(values.get("floor_ns", 0))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorruptionError(f"index checkpoint is not valid ({error!r})", key=key) from error
        tenants: dict[TenantId, list[BlockMeta]] = {}
        for meta in sorted(blocks, key=_newest_first, reverse=True):
            tenants.setdefault(meta.tenant, []).append(meta)
        return cls(
            sequence=sequence,
            tenants=MappingProxyType({name: tuple(held) for name, held in tenants.items()}),
            removed=MappingProxyType(removed),
            writers=writers,
            floor_ns=floor_ns,
        )


def ref_of(meta: BlockMeta) -> BlockRef:
    """Return the reference to a block."""
    return BlockRef(meta.tenant, meta.id)


def merge_newest_first(lists: Iterable[tuple[BlockMeta, ...]]) -> list[BlockMeta]:
    """Join the blocks of several tenants, in the order that each has them."""
    return list(heapq.merge(*lists, key=_newest_first, reverse=True))


def parse_object(content: bytes, *, key: str) -> dict[str, Any]:
    """Parse a JSON object of the index, of the version that this program knows.

    Raises: CorruptionError naming ``key``.
    """
    try:
        values = json.loads(content)
    except ValueError as error:
        raise CorruptionError(f"index object is not JSON ({error})", key=key) from error
    if not isinstance(values, dict):
        raise CorruptionError("index object is not a JSON object", key=key)
    if values.get("format_version") != FORMAT_VERSION:
        raise CorruptionError(
            f"index format {values.get('format_version')!r} is not {FORMAT_VERSION}", key=key
        )
    return values


def _writer_change(values: dict[str, Any]) -> WriterChange:
    return WriterChange(
        open=tuple(Writer.from_dict(one) for one in values.get("open", ())),
        close=tuple(WriterId(str(one)) for one in values.get("close", ())),
        adopt=tuple(Adoption.from_dict(one) for one in values.get("adopt", ())),
    )


def _touch(
    touched: dict[TenantId, dict[BlockId, BlockMeta]],
    tenants: dict[TenantId, tuple[BlockMeta, ...]],
    tenant: TenantId,
) -> dict[BlockId, BlockMeta]:
    blocks = touched.get(tenant)
    if blocks is None:
        blocks = touched[tenant] = {meta.id: meta for meta in tenants.get(tenant, ())}
    return blocks


def _newest_first(meta: BlockMeta) -> tuple[int, str]:
    return meta.end_ns, meta.id


def _ref_to_dict(ref: BlockRef) -> dict[str, str]:
    return {"tenant": ref.tenant, "id": ref.id}


def _ref_from_dict(values: dict[str, str]) -> BlockRef:
    return BlockRef(TenantId(values["tenant"]), BlockId(values["id"]))
