"""Answers as Arrow tables, and those as frames of pandas and Polars, if they are installed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tracestore.client.found import Found
from tracestore.codec.any_value_json import Value
from tracestore.errors import InvalidRequestError

if TYPE_CHECKING:
    import pandas
    import polars

    from tracestore.client.trace import Trace

TIME = pa.timestamp("ns", "UTC")
DURATION = pa.duration("ns")
_INT64_MAX = (1 << 63) - 1


def found_table(found: Found, rows: str) -> pa.Table:
    """Make the table of a search. Raises: InvalidRequestError for unknown rows."""
    match rows:
        case "spans":
            return spans_table(found)
        case "traces":
            return traces_table(found)
    raise InvalidRequestError(f"rows: expected spans or traces, got {rows!r}")


def spans_table(found: Found) -> pa.Table:
    """Make a row of each matched span; attributes that the query mentions are columns.

    A key that comes twice in a span, or has the name of another column, gets a number.
    """
    spans = list(found.spans)
    fixed = {
        "trace_id": pa.array([span.trace_id for span in spans], pa.string()),
        "span_id": pa.array([span.span_id for span in spans], pa.string()),
        "name": pa.array([span.name for span in spans], pa.string()),
        "start": _times([span.start_ns for span in spans]),
        "duration": _durations([span.duration_ns for span in spans]),
        "service": pa.array([span.service for span in spans], pa.string()),
    }
    return _with_attributes(fixed, [span.attributes for span in spans])


def traces_table(found: Found) -> pa.Table:
    """Make a row of each trace."""
    traces = found.traces
    return pa.table(
        {
            "trace_id": pa.array([trace.trace_id for trace in traces], pa.string()),
            "root_service": pa.array([trace.root_service for trace in traces], pa.string()),
            "root_name": pa.array([trace.root_name for trace in traces], pa.string()),
            "start": _times([trace.start_ns for trace in traces]),
            "duration": _durations([trace.duration_ns for trace in traces]),
            "matched": pa.array([trace.matched for trace in traces], pa.int64()),
            "spans": pa.array([trace.span_count for trace in traces], pa.int64()),
            "errors": pa.array([trace.error_count for trace in traces], pa.int64()),
            "services": pa.array([list(t.services) for t in traces], pa.list_(pa.string())),
        }
    )


def trace_table(trace: Trace) -> pa.Table:
    """Make a row of each span of a trace, in the order of the tree; its attributes are columns."""
    rows = trace.tree()
    spans = [row.span for row in rows]
    fixed = {
        "trace_id": pa.array([trace.trace_id] * len(spans), pa.string()),
        "span_id": pa.array([span.span_id for span in spans], pa.string()),
        "parent_span_id": pa.array([span.parent_id or None for span in spans], pa.string()),
        "depth": pa.array([row.depth for row in rows], pa.int64()),
        "name": pa.array([span.name for span in spans], pa.string()),
        "service": pa.array([span.service for span in spans], pa.string()),
        "kind": pa.array([span.kind for span in spans], pa.string()),
        "status": pa.array([span.status for span in spans], pa.string()),
        "status_message": pa.array([span.status_message for span in spans], pa.string()),
        "start": _times([span.start_ns for span in spans]),
        "duration": _durations([span.duration_ns for span in spans]),
    }
    return _with_attributes(fixed, [span.attributes for span in spans])


def to_pandas(table: pa.Table) -> pandas.DataFrame:
    """Convert. Raises: ImportError with what to install."""
    try:
        import pandas  # noqa: F401 - Arrow would say less clearly that it is missing
    except ImportError as error:
        raise _missing("pandas") from error
    return table.to_pandas()


def to_polars(table: pa.Table) -> polars.DataFrame:
    """Convert. Raises: ImportError with what to install."""
    try:
        import polars
    except ImportError as error:
        raise _missing("polars") from error
    frame = polars.from_arrow(table)
    assert isinstance(frame, polars.DataFrame)
    return frame


def _missing(package: str) -> ImportError:
    return ImportError(
        f"{package} is not installed: pip install {package}, or use to_arrow()", name=package
    )


def _times(values: Sequence[int]) -> pa.Array:
    """Times beyond Arrow's range (the year 2262) are null."""
    return pa.array([v if v <= _INT64_MAX else None for v in values], pa.int64()).cast(TIME)


def _durations(values: Sequence[int]) -> pa.Array:
    return pa.array([v if v <= _INT64_MAX else None for v in values], pa.int64()).cast(DURATION)


def _with_attributes(
    fixed: dict[str, pa.Array], rows: Sequence[Iterable[tuple[str, Value]]]
) -> pa.Table:
    """Add a column per key, in the order of first appearance."""
    columns: dict[str, list[Value | None]] = {}
    for index, attributes in enumerate(rows):
        taken = set(fixed)
        for key, value in attributes:
            name = _free_name(key, taken)
            taken.add(name)
            column = columns.setdefault(name, [])
            column += [None] * (index - len(column))
            column.append(value)
    for column in columns.values():
        column += [None] * (len(rows) - len(column))
    return pa.table(fixed | {name: attribute_array(values) for name, values in columns.items()})


def _free_name(key: str, taken: set[str]) -> str:
    name, number = key, 1
    while name in taken:
        number += 1
        name = f"{key}_{number}"
    return name


def attribute_array(values: Sequence[Value | None]) -> pa.Array:
    """Make a column of the one type that all values have; of several types: texts."""
    kind = _common_type([value for value in values if value is not None])
    if kind is None:
        return pa.array([None if v is None else _text(v) for v in values], pa.string())
    return pa.array(values, kind)


def _common_type(values: Sequence[Any]) -> pa.DataType | None:
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int}:
        return pa.int64()
    if kinds in ({float}, {int, float}):
        return pa.float64()
    if kinds == {str}:
        return pa.string()
    if kinds == {list}:
        elements = [element for value in values for element in value if element is not None]
        of_elements = _common_type(elements) if elements else pa.string()
        return None if of_elements is None else pa.list_(of_elements)
    return None


def _text(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
