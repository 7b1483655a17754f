"""What ``tracestore block`` shows, as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tracestore.cli.screen import Cell, Column, Ink, Screen
from tracestore.model.block_meta import BlockMeta
from tracestore.model.words import bytes_words, counted, duration_words, time_words
from tracestore.storage.block.columns import ColumnSize, TableSize
from tracestore.storage.block.verify import Verified

_BLOCKS = (
    Column("TENANT", shrinks=True),
    Column("BLOCK"),
    Column("LEVEL", right=True),
    Column("START"),
    Column("LENGTH", right=True),
    Column("SPANS", right=True),
    Column("TRACES", right=True),
    Column("BYTES", right=True),
)
_COLUMNS = (
    Column("COLUMN", shrinks=True),
    Column("TYPE"),
    Column("BYTES", right=True),
    Column("ENCODED", right=True),
    Column("VALUES", right=True),
    Column("DIFFERENT", right=True),
)


def show_blocks(screen: Screen, blocks: Sequence[BlockMeta]) -> None:
    """Print a table of blocks."""
    screen.table(_BLOCKS, [_block_cells(meta) for meta in blocks])
    total = sum(meta.stored_bytes for meta in blocks)
    spans = sum(meta.spans for meta in blocks)
    screen.write(f"{counted(len(blocks), 'block')}, {counted(spans, 'span')}, {bytes_words(total)}")


def meta_json(meta: BlockMeta) -> dict[str, Any]:
    """Make what JSON says of a block: its meta, and the size."""
    return meta.to_dict() | {"bytes": meta.stored_bytes}


def show_inspection(
    screen: Screen, meta: BlockMeta, tables: Sequence[TableSize], filters: int
) -> None:
    """Print what is in a block."""
    screen.write(f"block {meta.id} of tenant {meta.tenant}, level {meta.level}")
    screen.write(f"{time_words(meta.start_ns)} to {time_words(meta.end_ns)} UTC")
    screen.write(f"written {time_words(meta.created_ns)} UTC")
    screen.write(
        f"{counted(meta.spans, 'span')}, {counted(meta.traces, 'trace')}, "
        f"{bytes_words(meta.stored_bytes)}, {meta.stored_bytes / max(1, meta.spans):.1f} B a span"
    )
    for table in tables:
        groups = ", ".join(str(rows) for rows in table.row_groups)
        screen.write("")
        screen.line(
            Cell(table.table, Ink.BOLD),
            Cell(
                f": {counted(table.rows, 'row')} in {counted(len(table.row_groups), 'row group')} "
                f"({groups}), {bytes_words(table.stored_bytes)}"
            ),
        )
        largest = sorted(table.columns, key=lambda column: -column.stored_bytes)
        screen.table(_COLUMNS, [_column_cells(column) for column in largest])
        screen.write(f"footer: {bytes_words(table.footer_bytes)}")
    screen.write("")
    screen.write(f"filters: {bytes_words(filters)}")


def inspection_json(meta: BlockMeta, tables: Sequence[TableSize], filters: int) -> dict[str, Any]:
    """Make what JSON says of the content of a block."""
    return meta_json(meta) | {
        "filters_bytes": filters,
        "tables": [asdict(table) for table in tables],
    }


def show_verified(screen: Screen, verified: Verified) -> None:
    """Print what came of a block."""
    meta = verified.meta
    name = f"{meta.tenant}/{meta.id}"
    if not verified.problems:
        size = bytes_words(meta.stored_bytes)
        screen.write(f"{name}: sound, {counted(meta.spans, 'span')}, {size}")
    for problem in verified.problems:
        screen.line(Cell("problem: ", Ink.ERROR), Cell(f"{problem.key}: {problem.text}"))


def verified_json(verified: Verified) -> dict[str, Any]:
    """Make what JSON says of a block that was verified."""
    meta = verified.meta
    return {
        "tenant": meta.tenant,
        "id": meta.id,
        "spans": meta.spans,
        "bytes": meta.stored_bytes,
        "problems": [asdict(problem) for problem in verified.problems],
    }


def _block_cells(meta: BlockMeta) -> tuple[Cell, ...]:
    return (
        Cell(meta.tenant, Ink.NAME),
        Cell(meta.id, Ink.NUMBER),
        Cell(str(meta.level)),
        Cell(time_words(meta.start_ns)),
        Cell(duration_words(meta.end_ns - meta.start_ns)),
        Cell(str(meta.spans)),
        Cell(str(meta.traces)),
        Cell(bytes_words(meta.stored_bytes)),
    )


def _column_cells(column: ColumnSize) -> tuple[Cell, ...]:
    return (
        Cell(column.name, Ink.NAME),
        Cell(column.type),
        Cell(bytes_words(column.stored_bytes)),
        Cell(bytes_words(column.raw_bytes)),
        Cell("" if column.values is None else str(column.values)),
        Cell("" if column.distinct is None else str(column.distinct)),
    )
