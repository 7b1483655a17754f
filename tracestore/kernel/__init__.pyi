"""What the compiled kernel offers. All functions release the GIL while they touch bytes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracestore.model.tables import SpanTables, Table

Buffer = bytes | bytearray | memoryview

class RequestCheck(NamedTuple):
    """What is known of a valid ExportTraceServiceRequest without building anything."""

    spans: int
    start_ns: int
    """Earliest span start (unsigned), 0 without spans."""
    end_ns: int
    """Latest span end (unsigned), 0 without spans."""
    zero_trace_ids: int
    """Spans whose trace ID is missing or 16 zero bytes: ingest refuses them."""
    zero_span_ids: int
    """Spans whose span ID is missing or 8 zero bytes: ingest refuses them."""

def check(request: Buffer) -> RequestCheck:
    """Validate a whole request: wire form, UTF-8, nesting depth, lengths of IDs.

    IDs may be empty or of full length (16, 8); any other length is malformed.
    Raises: MalformedError with the byte offset.
    """

class SpanBuilder:
    """Grows the columns of a head from OTLP requests. Thread-safe: one lock, held per call."""

    def __init__(self) -> None: ...
    def append(self, request: Buffer, checked: RequestCheck | None = None) -> int:
        """Decode one request, all or nothing. Returns the spans added.

        Spans with an empty trace or span ID are malformed here.

        Args:
            checked: what ``check`` said of these very bytes, if it was asked already.

        Raises: MalformedError with the byte offset; the builder is as before.
        """
    @property
    def spans(self) -> int: ...
    @property
    def wire_bytes(self) -> int:
        """Sum of the sizes of the requests appended."""
    @property
    def memory_bytes(self) -> int:
        """Bytes that the builder holds."""
    @property
    def start_ns(self) -> int:
        """Earliest span start, 0 without spans."""
    @property
    def end_ns(self) -> int:
        """Latest span end, 0 without spans."""
    def freeze(self, *, attribute_columns_max: int = 512) -> FrozenSpans:
        """Copy what is there now into an immutable view; the builder may go on growing."""

class FrozenSpans:
    """Sorted, de-duplicated tables of a builder; each column is made when it is first asked for."""

    def rows(self, table: Table) -> int: ...
    def schema(self, table: Table) -> pa.Schema: ...
    def columns(
        self, table: Table, names: Sequence[str], start: int = 0, stop: int | None = None
    ) -> pa.Table:
        """Get columns, rows ``start`` to ``stop``. Thread-safe; results are cached per column."""
    def find_trace(self, trace_id: bytes) -> int | None:
        """Row of ``traces``, by binary search."""
    def tables(self) -> SpanTables:
        """Get everything at once."""

def build_tables(requests: Sequence[Buffer], *, attribute_columns_max: int = 512) -> SpanTables:
    """Decode requests into tables: ``SpanBuilder`` in one go."""

def encode(tables: SpanTables) -> bytes:
    """Write the spans of ``tables`` as one ExportTraceServiceRequest, in table order.

    Spans that follow one another under one resource (scope) share its message.
    Inverse of ``build_tables`` up to grouping, order and repeated spans.
    """

class Arrangement(NamedTuple):
    """Spans in their final order, with their nested-set numbers. All arrays are in that order."""

    order: npt.NDArray[np.int64]
    """(M,) arrival row of each span kept: repeated ones (trace, span ID, kind) are left out."""
    first_span: npt.NDArray[np.int64]
    """(T + 1,) where each trace begins in the order; traces ascend by trace ID."""
    trace_order: npt.NDArray[np.int32]
    """(T,) arrival number of each trace."""
    nested_left: npt.NDArray[np.int32]
    nested_right: npt.NDArray[np.int32]
    nested_parent: npt.NDArray[np.int32]
    child_count: npt.NDArray[np.int32]

def arrange(
    trace_ids: npt.NDArray[np.uint8],
    trace: npt.NDArray[np.int32],
    span_id: npt.NDArray[np.uint64],
    parent_id: npt.NDArray[np.uint64],
    kind: npt.NDArray[np.int32],
    start_ns: npt.NDArray[np.int64],
) -> Arrangement:
    """Sort spans by trace ID, then nested-set left (0 last), then start, span ID and kind.

    Args:
        trace_ids: (T, 16) distinct trace IDs by arrival number.
        trace: (N,) arrival number of each span's trace.
        span_id: (N,) big-endian value of the ID.
        parent_id: (N,) likewise; 0: no parent.

    Roots and children are visited by (start, span ID, kind, arrival). TraceQL reference, 5.4.
    Cost: O(N log n) for traces of n spans; no recursion, a chain of a million spans is fine.
    """

def hash64(values: pa.Array) -> npt.NDArray[np.uint64]:
    """XXH64 (seed 0) of each value's bytes: text as UTF-8, int64 and float64 little-endian.

    Nulls hash to 0 and must be masked by the caller. Dictionaries are not accepted.
    """

def compact_codes(
    codes: npt.NDArray[np.int32], entries: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Renumber dictionary codes to those in use, in order of first use.

    Args:
        codes: (N,) -1 is null and stays so.
    Returns: (N,) new codes; (K,) the old code of each new one.
    """
