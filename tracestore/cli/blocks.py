"""The blocks that a command is about, by the index; shared by ``block`` and ``usage``."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tracestore.clock import SystemClock
from tracestore.errors import NotFoundError, SettingsError
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import TenantId
from tracestore.storage.index.blocklist import BlockList
from tracestore.storage.index.commits import CommitLog
from tracestore.storage.objects.interface import ObjectStore

T = TypeVar("T")

THREADS = 8
"""Blocks that are looked at together: a bucket answers many requests at a time."""
OUTPUTS = ("text", "json")


def read_index(store: ObjectStore) -> BlockList:
    """Read the block list. Raises: UnavailableError, CorruptionError."""
    return CommitLog(store, SystemClock(), random.SystemRandom(), writer="command").load()


def blocks_of(blocks: BlockList, tenant: str | None) -> list[BlockMeta]:
    """Get the blocks of a tenant, or of all in order of their names; newest first.

    Raises: NotFoundError if the tenant has none.
    """
    if tenant is None:
        return [meta for name in sorted(blocks.tenants) for meta in blocks.tenants[name]]
    found = blocks.blocks(TenantId(tenant))
    if not found:
        known = ", ".join(sorted(blocks.tenants)) or "none"
        raise NotFoundError(f"tenant {tenant} has no blocks; tenants with some: {known}")
    return list(found)


def find_block(blocks: Sequence[BlockMeta], named: str) -> BlockMeta:
    """Find a block by its ID or the beginning of it. Raises: NotFoundError, SettingsError."""
    found = [meta for meta in blocks if meta.id.startswith(named.lower())]
    if not found:
        raise NotFoundError(f"no block {named} is in the index; `tracestore block ls` lists them")
    if len(found) > 1 and not any(meta.id == named for meta in found):
        raise SettingsError(f"{len(found)} blocks begin with {named}: write more of the ID")
    return found[0]


def each(blocks: Sequence[BlockMeta], look: Callable[[BlockMeta], T]) -> Iterator[T]:
    """Look at each block, some at a time; answers come in the order of the blocks."""
    with ThreadPoolExecutor(THREADS, "blocks") as executor:
        yield from executor.map(look, blocks)


def output_of(extra: Mapping[str, str], given: frozenset[str]) -> str:
    """Read ``--json`` and ``--output``. Raises: SettingsError."""
    output = "json" if "json" in given else extra.get("output", OUTPUTS[0])
    if output not in OUTPUTS:
        raise SettingsError(f"flag --output: expected {' or '.join(OUTPUTS)}, got {output!r}")
    return output
