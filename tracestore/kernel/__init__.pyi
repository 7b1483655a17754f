"""What the compiled kernel offers. All functions release the GIL while they touch bytes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracestore.model.tables import AttributeType, SpanTables, Table

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
    attribute_bytes: int = 0
    """Size of the largest attribute, key and value together: no text of one is longer."""

def check(request: Buffer) -> RequestCheck:
    """Validate a whole request: wire form, UTF-8, nesting depth, lengths of IDs.

    IDs may be empty or of full length (16, 8); any other length is malformed.
    Raises: MalformedError with the byte offset.
    """

TRUNCATED: str
"""Attribute that lists the keys of the attributes beside it that were cut."""
SCOPES: tuple[str, ...]
"""What has attributes, as metrics call it."""

def shard(
    request: bytes | bytearray, spans: int, seeds: npt.NDArray[np.uint64]
) -> list[bytes | bytearray | None]:
    """Cut a request by trace ID: spans as they are, what wraps them repeated where it is needed.

    Args:
        request: valid, as ``check`` says, with ``spans`` spans.
        seeds: (n,) of the places, n > 0; a trace goes to the one with the highest score.

    Returns: (n,) the request of each place, None for a place without spans. If one place has them
        all, it gets the very object that was given. None is larger than the request.
    Raises: MalformedError for what ``check`` would not have let through.
    Cost: about 0.1 us a span.
    """

def rank(high: int, low: int, seeds: npt.NDArray[np.uint64]) -> list[int]:
    """Put places in the order of their scores for a key, the home first.

    Args:
        high, low: the two halves of a trace ID (or any hash, and 0), as little-endian numbers.
        seeds: (n,) of the places.
    """

class LimitedRequest(NamedTuple):
    """A request after its limits."""

    request: bytes
    truncated: tuple[int, ...]
    """Keys and values cut, by ``SCOPES``."""

def limit_request(
    request: Buffer, *, attribute_bytes_max: int = 0, refused: bytes | None = None
) -> LimitedRequest:
    """Shorten long keys and string values of attributes, and leave spans out.

    What is cut is cut between two characters; ``TRUNCATED`` beside it names its key. What no limit
    touches is as it was, byte for byte and in its place.

    Args:
        request: valid, as ``check`` says.
        attribute_bytes_max: longest key or string, nested ones too, in bytes; 0: any.
        refused: a byte for each span in order, not 0 for those that go; None: none goes.
    """

class Admission(NamedTuple):
    """What the limits say of the spans of a request."""

    refused: bytes | None
    """A byte for each span in order, 1 for the refused; None: all may come in."""
    live_traces_exceeded: int
    """Spans refused because too many traces are live."""
    trace_too_large: int
    """Spans refused because their trace would be too large."""

class LiveTraces:
    """Which traces of a tenant are live, and how large each is. Not thread-safe."""

    def __init__(self, *, seed: int, idle_s: int, keep_s: int, traces_max: int) -> None:
        """Args:
        seed: of the hash, which senders must not know; 64 bits.
        idle_s: how long after its last span a trace counts as live, below 1024.
        keep_s: how long after its last span its size is remembered.
        traces_max: traces remembered; beyond it those that were idle for longest are forgotten.
        """
    def live(self, now_s: int) -> int:
        """Count the live traces."""
    def admit(
        self, request: Buffer, spans: int, now_s: int, *, traces_max: int, bytes_max: int
    ) -> Admission:
        """Decide which spans may come in, and count those: a trace of a request whole, or not.

        Args:
            request: valid, as ``check`` says, with ``spans`` spans.
            now_s: a clock that does not go back, more than 0.
            traces_max: live traces, 0: any number.
            bytes_max: bytes of the spans of a trace, 0: any.

        Cost: about 0.1 us a span.
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
    def freeze(
        self,
        *,
        attribute_columns_max: int = 512,
        wanted: Mapping[Table, tuple[Sequence[tuple[str, AttributeType]], bool]] | None = None,
        arrangement: Arrangement | None = None,
    ) -> FrozenSpans:
        """Copy what is there now into an immutable view; the builder may go on growing.

        Args:
            wanted: of some tables, the pairs that have columns, in order, there or not, and
                whether there is a column for the rest. The other tables choose theirs.
            arrangement: of all spans, if whoever asks knows better: they are part of a trace. In
                ``traces`` stands then what they say of it.

        Raises: CorruptionError if there is a rest, and no column for it.
        """

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

def encode_parts(
    tables: SpanTables, ends: Iterable[int], bytes_max: int
) -> Iterator[tuple[int, bytes]]:
    """Write the spans of ``tables`` as one ExportTraceServiceRequest after the other.

    Args:
        ends: ascending; where a request has to end.
        bytes_max: a request of so many bytes ends, too.

    Returns: where each ends, and the request.
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

# --- masks over the spans of a query: a byte a row ---------------------------------------------
#
# Spans lie in runs, one a trace: ``counts`` is (T,) the length of each, together all N rows. All of
# these raise ValueError if lengths or numbers do not fit together. They cost about 1 ns a row.

BoolArray = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int32]
Values = npt.NDArray[Any]
"""int32, int64 or float64, side by side."""

def marked_runs(mask: BoolArray, counts: Counts) -> npt.NDArray[np.int64]:
    """Find the runs with a marked row: (M,) their numbers, ascending."""

def count_marked(mask: BoolArray, counts: Counts) -> npt.NDArray[np.int64]:
    """Count the marked rows of each run: (T,)."""

def spread_runs(kept: BoolArray, counts: Counts, rows: int) -> BoolArray:
    """Mark all rows of the marked runs: (N,) mask. Args: kept: (T,) the runs."""

def run_numbers(counts: Counts, rows: int) -> npt.NDArray[np.int32]:
    """Number the rows by their run: (N,)."""

def or_zero(values: Counts, mask: BoolArray) -> Counts:
    """Put 0 in place of what is not marked: (N,)."""

def mask_descendants(mask: BoolArray, counts: Counts, left: Counts, right: Counts) -> BoolArray:
    """Mark the spans below a marked one of their run.

    Args:
        left, right: (N,) nested-set numbers, ascending by left in each run; 0 behind them: outside
            the tree.
    """

def mask_ancestors(mask: BoolArray, counts: Counts, left: Counts, right: Counts) -> BoolArray:
    """Mark the spans above a marked one of their run."""

def mask_children(mask: BoolArray, counts: Counts, left: Counts, parent: Counts) -> BoolArray:
    """Mark the spans whose parent is a marked one of their run.

    Args:
        parent: (N,) left number of the parent; -1: a root, 0: outside the tree.
    """

def mask_parents(mask: BoolArray, counts: Counts, left: Counts, parent: Counts) -> BoolArray:
    """Mark the spans of which a marked one of their run is a child."""

def mask_siblings(mask: BoolArray, counts: Counts, left: Counts, parent: Counts) -> BoolArray:
    """Mark the spans beside a marked one of their run: of the same parent, or among the roots."""

def parent_rows(counts: Counts, left: Counts, parent: Counts) -> npt.NDArray[np.int32]:
    """Find the row of each span's parent: (N,), -1 where there is none."""

def pair_calls(
    counts: Counts,
    ids: npt.NDArray[np.uint64],
    parents: npt.NDArray[np.uint64],
    sides: npt.NDArray[np.uint8],
) -> npt.NDArray[np.int32]:
    """Find the row of the client span above each server span: (N,), -1 where there is none.

    Args:
        ids, parents: (N,) span IDs as they lie in memory; parent 0: a root.
        sides: (N,) 0: takes no part; 1, 2: a client span, of one ID the lower; 3: a server span.
    """

def sum_runs(
    values: Values, mask: BoolArray | None, group: npt.NDArray[np.int32], groups: int
) -> Values:
    """Sum the marked values of each group, where the rows of a group lie together.

    Args:
        mask: None: all rows.
        group: (N,) of each row, 0 to ``groups`` - 1.

    Returns: (groups,): of ints int64, which wraps; of floats float64, added in order of the rows.
    """

def sum_groups(
    values: Values, mask: BoolArray | None, group: npt.NDArray[np.int32], groups: int
) -> Values:
    """Sum the marked values of each group; its rows may lie anywhere."""

def sum_exactly(
    values: Values, mask: BoolArray | None, group: npt.NDArray[np.int32], groups: int
) -> npt.NDArray[np.float64]:
    """Sum the marked ints of each group without wrapping: (groups,), rounded once."""

def count_groups(
    mask: BoolArray | None, group: npt.NDArray[np.int32], groups: int
) -> npt.NDArray[np.int64]:
    """Count the marked rows of each group: (groups,)."""

def extremes_of_runs(
    values: Values,
    mask: BoolArray | None,
    group: npt.NDArray[np.int32],
    groups: int,
    is_largest: bool,
) -> Values:
    """Find the smallest or largest marked value of each group, where its rows lie together.

    NaN is passed over unless there is nothing else; of equal values the first stays. Returns:
    (groups,); arbitrary where there is none.
    """

def extremes_of_groups(
    values: Values,
    mask: BoolArray | None,
    group: npt.NDArray[np.int32],
    groups: int,
    is_largest: bool,
) -> Values:
    """Find the smallest or largest marked value of each group; its rows may lie anywhere."""

def split_runs(
    group: npt.NDArray[np.int32],
    rows: npt.NDArray[np.int64] | None,
    codes: npt.NDArray[np.signedinteger],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Number the pairs of group and code in the order in which they first occur.

    Args:
        group: (N,) of each row; the rows of a group lie together.
        rows: (M,) the rows that count, ascending; None: all.
        codes: (M,) of each, int32 or int64, not negative; memory is 4 B for each up to the largest.

    Returns: (N,) the number of each row, 0 for those that do not count; (K,) where each number
        occurs first among the M.
    """

def number_by_first(
    keys: npt.NDArray[np.int64], size: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Number distinct keys in the order in which they first occur.

    Args:
        keys: (M,) 0 to ``size`` - 1.

    Returns: (M,) numbers without gaps, and where each number occurs first.
    """

def tally(keys: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.int64]:
    """Count how often each number below ``size`` occurs: (size,)."""

def tally_sums(
    keys: npt.NDArray[np.int64], values: npt.NDArray[np.float64], size: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Count each number, and sum the values beside it: (size,) each."""

def tally_extremes(
    keys: npt.NDArray[np.int64], values: npt.NDArray[np.float64], size: int, largest: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Count each number, and find the smallest or largest value beside it: (size,) each."""

def power_buckets(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Find the exponent of the smallest power of two not below each value; 0 for values below 2."""

def cell_keys(
    start_ns: npt.NDArray[np.uint64],
    grid: tuple[int, int, int],
    *,
    rows: npt.NDArray[np.int64] | None = None,
    numbers: npt.NDArray[np.int64] | None = None,
    codes: npt.NDArray[np.int64] | None = None,
    index: npt.NDArray[np.int32] | None = None,
    buckets: npt.NDArray[np.int64] | None = None,
    width: int = 1,
) -> npt.NDArray[np.int64]:
    """Number the cells of spans: (number * width + bucket) * points + point.

    Args:
        start_ns: (N,) start of each span of a chunk.
        grid: origin, step (both ns) and points; every span taken begins inside.
        rows: (M,) the spans that are taken; None: all.
        numbers: (M,) a number of each.
        codes: or else the number of each row of a small table,
        index: and (N,) the row of that table for each span.
        buckets: (M,) below ``width``.
    """

# --- spans as they come: for who counts them -----------------------------------------------------

SPAN_DTYPE: np.dtype[np.void]
"""span_id, parent_id (big-endian values), start_ns, duration, trace, resource, name, kind,
status_code, status_message, trace_state (numbers of texts), wire_size (bytes), has_parent."""

def arrived_spans(
    builder: SpanBuilder, start: int, stop: int
) -> tuple[npt.NDArray[np.void], npt.NDArray[np.uint64]]:
    """Copy rows in the order in which they came, repeated spans included.

    Returns: (n,) of ``SPAN_DTYPE``; (n, 2) the bytes of each trace ID.
    Raises: IndexError for rows that have not come. Cost: about 10 ns a span.
    """

def arrived_resources(builder: SpanBuilder) -> int:
    """Count the distinct resources so far."""

def arrived_texts(
    builder: SpanBuilder, column: str, numbers: npt.NDArray[np.int32]
) -> pa.StringArray:
    """Copy texts of ``name``, ``status_message`` or ``trace_state`` by their numbers.

    Raises: IndexError for a number that no text has.
    """

def arrived_keys(builder: SpanBuilder, table: Table, start: int) -> pa.StringArray:
    """Copy the keys of attributes of ``SPANS`` or ``RESOURCES``, from number ``start`` on."""

def arrived_values(
    builder: SpanBuilder, table: Table, key: str, start: int, stop: int
) -> list[tuple[AttributeType, int, Any, Any]]:
    """Get the first value that rows have of a key, in parts of one type each.

    Returns: parts of type, column, rows and values. Rows are int32, ascending; values are numbers
        of texts (``arrived_value_texts``) for STRING and ANY, numpy arrays for numbers and bools,
        None for BYTES, an Arrow array for lists. With column -1, a single row and its value: a
        str, number or bool, JSON of an AnyValue for ANY and lists.
    """

def arrived_value_texts(
    builder: SpanBuilder, table: Table, column: int, numbers: npt.NDArray[np.int32]
) -> pa.StringArray:
    """Copy texts of a column of STRING or ANY by their numbers. Raises: IndexError."""

class TextTable:
    """Numbers of distinct byte strings or rows, in the order in which they first came.

    Its hash is keyed. Methods run under the GIL. Cost: about 40 ns a string.
    """

    def __init__(self) -> None: ...
    def __len__(self) -> int: ...
    @property
    def memory_bytes(self) -> int: ...
    def intern(
        self, data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int32], most: int = ...
    ) -> npt.NDArray[np.int32]:
        """Number strings, which lie between neighbours of ``offsets``, (n + 1,).

        Returns: (n,); -1 for a new one if there are ``most`` already.
        """
    def intern_rows(self, rows: npt.NDArray[np.int32], most: int = ...) -> npt.NDArray[np.int32]:
        """Number the rows of a matrix likewise."""
    def rows(self, width: int, start: int = 0) -> npt.NDArray[np.int32]:
        """Get the rows from number ``start`` on, (n, width)."""
    def text(self, number: int) -> bytes:
        """Get a string. Raises: IndexError."""
    def take(self, numbers: npt.NDArray[np.int32]) -> pa.StringArray:
        """Copy strings, which must be UTF-8, by their numbers. Raises: IndexError."""
    def array(self, start: int = 0) -> pa.StringArray:
        """Copy the strings from number ``start`` on; they must be UTF-8."""

EDGE_DTYPE: np.dtype[np.void]
"""A request: trace_high, trace_low, is_root, client_seconds, server_seconds, multiplier,
client_end, server_start, client, server (0: not known), peer, connection, failed, sides (1: client,
2: server, 3: both), last_side, kind (of the span that came first)."""

class EdgeStore:
    """Pairs the two sides of requests between services. Cost: about 100 ns a span."""

    def __init__(self, width: int) -> None:
        """Args: width: labels of each side."""
    def __len__(self) -> int:
        """Count the requests that wait for a side."""
    def add(
        self,
        rows: npt.NDArray[np.void],
        trace_ids: npt.NDArray[np.uint64],
        services: npt.NDArray[np.int32],
        peers: npt.NDArray[np.int32],
        databases: npt.NDArray[np.int32],
        labels: npt.NDArray[np.int32],
        multipliers: npt.NDArray[np.float64] | None,
        dropped: npt.NDArray[np.uint8] | None,
        now: int,
        most: int,
        messaging: int,
        database: int,
    ) -> tuple[npt.NDArray[np.void], npt.NDArray[np.int32], int, int]:
        """Take spans in the order in which they came; what comes later overwrites.

        Clients, servers, producers and consumers of a known service take part. A request is whole
        when both services are known; a side that a filter has dropped takes the other with it.

        Args:
            rows, trace_ids: (n,) and (n, 2) as ``arrived_spans`` gives them.
            services: (n,) numbers of texts, 0 or less: none.
            peers: (n,) likewise, -1: none.
            databases: (n,) what a client calls, 0 or less: no database.
            labels: (n, width) numbers of texts, -1: absent.
            multipliers: (n,) None: 1 each.
            dropped: (n,) 1 for what a filter has dropped; None: nothing.
            now: when they came, for ``expire``.
            most: requests that may wait; spans of further ones are refused.
            messaging, database: what ``connection`` says of such requests, else 0.

        Returns: (m,) of ``EDGE_DTYPE`` those that are whole; (m, 2 * width) labels of client and
            server, -1: absent; spans refused; spans left out with what a filter dropped.
        """
    def expire(self, before: int) -> tuple[npt.NDArray[np.void], npt.NDArray[np.int32]]:
        """Take out the requests that began to wait before a time, whether whole or not."""
    def renumber(self, numbers: npt.NDArray[np.int32]) -> None:
        """Put new numbers of texts for the old ones, (old,)."""
    def texts(self) -> npt.NDArray[np.int32]:
        """Get all numbers of texts that are held, repeated ones and -1 included."""
