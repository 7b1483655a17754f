"""Which blocks are merged with which, and which are due to go. Pure: from the list to the work.

Blocks as they were flushed are merged with one another once, whatever their size, so that traces
come together. Later ones are merged only if fewer blocks come of it. So the work ends, and each
span is written again a few times in all. A window that is written to waits for more blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import TenantId
from tracestore.settings.compactor_tree import CompactionSettings

RULES_APPLIED = "retention_applied_s"
"""Field of a block's meta: age up to which retention was applied to its traces."""
RULES_OF = "retention_applied"
"""Field of a block's meta: the retention that was applied; another one is applied anew."""
_FULL = 0.8
"""Share of the spans of an output from which on a block is not merged with others any more."""
SETTLE_S = 900.0
"""So long after its end a window may still get blocks of the usual kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """Blocks that become one."""

    tenant: TenantId
    window: int
    """Number of the window since 1970."""
    inputs: tuple[BlockMeta, ...]

    @property
    def lease(self) -> str:
        """Name of the lease that keeps two processes from doing it."""
        return f"compact-{self.tenant}-{self.window}"


def newest_ns(meta: BlockMeta) -> int:
    """Time of the newest span of a block, but none after the block was written.

    A sender whose clock is ahead, by years at times, must not keep a block from growing old.
    """
    return min(meta.end_ns, meta.created_ns)


def window_of(meta: BlockMeta, window_s: float) -> int:
    """Number of the window that the newest span of a block is in."""
    return int(newest_ns(meta) // int(window_s * 1e9))


def plan_merges(
    tenant: TenantId,
    blocks: Sequence[BlockMeta],
    settings: CompactionSettings,
    *,
    window_s: float,
    now_ns: int,
) -> list[Merge]:
    """Find what to merge, the newest window first; one merge a window at a time."""
    windows: dict[int, list[BlockMeta]] = {}
    for meta in blocks:
        windows.setdefault(window_of(meta, window_s), []).append(meta)
    open_from = int((now_ns - SETTLE_S * 1e9) // int(window_s * 1e9))
    found = []
    for window in sorted(windows, reverse=True):
        inputs = _choose(windows[window], settings, is_open=window >= open_from)
        if inputs:
            found.append(Merge(tenant=tenant, window=window, inputs=inputs))
    return found


def _choose(
    blocks: Iterable[BlockMeta], settings: CompactionSettings, *, is_open: bool
) -> tuple[BlockMeta, ...]:
    """Choose the blocks of one merge; empty: there is none to make."""
    small = sorted(
        (meta for meta in blocks if _fits([meta], settings)),
        key=lambda meta: (meta.level, meta.stored_bytes, meta.id),
    )
    least = max(2, settings.min_input_blocks) if is_open else 2
    fresh = [meta for meta in small if meta.level == 0]
    if chosen := _as_many_as_fit(fresh, settings, least=least):
        return chosen
    levels = sorted({meta.level for meta in small if meta.level}) if is_open else [0]
    for level in levels:
        alike = [
            meta
            for meta in small
            if meta.spans < _FULL * settings.spans_max and (not is_open or meta.level == level)
        ]
        chosen = _as_many_as_fit(alike, settings, least=least)
        spans = sum(meta.spans for meta in chosen)
        if chosen and -(-spans // settings.spans_max) < len(chosen):
            return chosen
    return ()


def _as_many_as_fit(
    blocks: Sequence[BlockMeta], settings: CompactionSettings, *, least: int
) -> tuple[BlockMeta, ...]:
    chosen: list[BlockMeta] = []
    for meta in blocks[: settings.max_input_blocks]:
        if not _fits([*chosen, meta], settings):
            break
        chosen.append(meta)
    return tuple(chosen) if len(chosen) >= least else ()


def _fits(blocks: Sequence[BlockMeta], settings: CompactionSettings) -> bool:
    size = sum(meta.stored_bytes for meta in blocks)
    traces = sum(meta.traces for meta in blocks)
    return size <= settings.max_block_bytes and traces <= settings.max_compaction_objects


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A block whose traces, or some of them, have to go."""

    meta: BlockMeta
    age_s: float
    """Of its newest span."""
    threshold_s: float
    """The retention that has passed, the longest of those that have."""
    is_last: bool
    """Whether nothing keeps traces longer than that, but pins."""
    is_held: bool = False
    """Whether that was applied before: what is left was pinned then."""


def plan_expiry(
    blocks: Iterable[BlockMeta], thresholds_s: Sequence[float], *, digest: str, now_ns: int
) -> list[Due]:
    """Find the blocks that have passed a retention since they were last written.

    Args:
        thresholds_s: all times of retention of the tenant: its own, and those of its rules.
        digest: tells this retention from another one.
    """
    found = []
    for meta in blocks:
        age_s = (now_ns - newest_ns(meta)) / 1e9
        passed = [threshold for threshold in thresholds_s if age_s > threshold]
        if not passed:
            continue
        is_last = max(passed) == max(thresholds_s)
        is_applied = applied_s([meta], digest) >= max(passed)
        if is_last or not is_applied:
            due = Due(
                meta=meta,
                age_s=age_s,
                threshold_s=max(passed),
                is_last=is_last,
                is_held=is_last and is_applied,
            )
            found.append(due)
    return sorted(found, key=lambda due: (-due.age_s, due.meta.id))


def applied_s(blocks: Sequence[BlockMeta], digest: str) -> float:
    """Get the age up to which a retention was applied to all of some blocks."""
    return min(
        float(meta.extra.get(RULES_APPLIED, 0.0)) if meta.extra.get(RULES_OF) == digest else 0.0
        for meta in blocks
    )
