"""Compares two sets of tables exactly: schemas with metadata, rows in order, every letter."""

from __future__ import annotations

from tracestore.model.tables import SpanTables, Table


def assert_same_tables(found: SpanTables, expected: SpanTables) -> None:
    """Tell the first column and row that differ. Floats are equal if they print alike."""
    for table in Table:
        ours, theirs = found.table(table), expected.table(table)
        assert ours.schema.names == theirs.schema.names, table
        assert ours.schema.equals(theirs.schema, check_metadata=True), table
        assert ours.num_rows == theirs.num_rows, table
        ours.validate(full=True)
        for name in ours.schema.names:
            pairs = zip(_texts(ours[name]), _texts(theirs[name]), strict=True)
            for row, (one, other) in enumerate(pairs):
                assert one == other, (table, name, row)


def _texts(column: object) -> list[str]:
    return [repr(value) for value in column.to_pylist()]  # type: ignore[attr-defined]  # pyarrow
