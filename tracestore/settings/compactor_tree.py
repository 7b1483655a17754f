"""Settings of compaction and retention, with the names of Tempo where it has them."""

from __future__ import annotations

from dataclasses import dataclass, field

MIB = 1024 * 1024
DAY_S = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionSettings:
    """How blocks become fewer and larger, and when they go."""

    block_retention_s: float = 14 * DAY_S
    """Age at which a block goes, by its newest span; tenants may have another one."""
    compacted_block_retention_s: float = 3600.0
    """How long the objects of a block stay after it is out of the index; longer than any query."""
    compaction_window_s: float = 3600.0
    """Blocks whose newest spans are in one window are merged with one another."""
    max_block_bytes: int = 2048 * MIB
    """Stored bytes of the blocks that one merge may take in; larger blocks are left alone."""
    max_compaction_objects: int = 6_000_000
    """Traces of the blocks that one merge may take in."""
    min_input_blocks: int = 4
    """Blocks of a window that is still being written to, below which nothing is merged."""
    max_input_blocks: int = 16
    """Blocks of one merge. More: each span is written again less often, and more memory."""
    compaction_cycle_s: float = 30.0
    """How often work is looked for."""
    spans_max: int = 2_000_000
    """Spans of one block that a merge writes; more make several blocks that do not overlap in
    trace IDs. It grows in files of ``spool_dir``."""
    spool_dir: str = ""
    """Directory on a disk, where blocks grow and large traces are put in order: room for three
    times the largest outputs. Empty: the directory for temporary files (``TMPDIR``)."""
    merge_input_bytes_max: int = 128 * MIB
    """Memory for reading the blocks of a merge, by what their footers say. Blocks that take more
    are merged in rounds: less memory, but spans are written again."""
    merge_output_bytes_max: int = 40 * MIB
    """Memory for what is remembered of a block that a merge writes: hashes for its filters,
    resources, scopes, its footer. Past it another block begins."""
    lease_s: float = 60.0
    """How long a compactor that does not answer keeps others from its work."""
    orphan_age_s: float = 2 * DAY_S
    """Age of objects that belong to no block of the index and are then deleted; never less than a
    block may take from its first object to its commit."""
    garbage_interval_s: float = 3600.0
    """How often such objects are looked for; that lists the bucket."""
    trace_reach_s: float = 3600.0
    """Retention rules look for further parts of a trace in blocks this far from the one at hand."""
    pins_max: int = 10_000
    """Traces that a tenant may have pinned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactorSettings:
    """The compactor."""

    disabled: bool = False
    """Whether blocks stay as they are, and for ever."""
    compaction: CompactionSettings = field(default_factory=CompactionSettings)
