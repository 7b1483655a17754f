"""The order of spans in a table, their nested-set numbers, and dense dictionary codes.

Everything here sorts or counts; nothing hashes, so that no choice of IDs by a sender makes it slow, and
nothing recurses, so that no shape of a trace exhausts the stack. No allocation in the loops; no GIL.

Source: TraceQL reference, 5.4; Celko, "Trees and Hierarchies in SQL", ch. 4.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    KIND_SERVER = 2
    KIND_CLIENT = 3
    RUN_LENGTH = 16  # shorter runs are sorted by insertion
    LONG = 1 << 17  # a trace of so many spans does not keep what it needs no more

cdef struct Record:
    uint64_t key
    uint64_t second
    int64_t row

RECORD = np.dtype([("key", np.uint64), ("second", np.uint64), ("row", np.int64)])
SPANS_MAX = 1 << 30
"""Nested-set numbers are int32 and there are two to a span."""


class Arrangement(NamedTuple):
    """Spans in their final order, with their nested-set numbers. All arrays are in that order."""

    order: npt.NDArray[np.int64]
    first_span: npt.NDArray[np.int64]
    trace_order: npt.NDArray[np.int32]
    nested_left: npt.NDArray[np.int32]
    nested_right: npt.NDArray[np.int32]
    nested_parent: npt.NDArray[np.int32]
    child_count: npt.NDArray[np.int32]


cdef inline bint is_before(const Record* a, const Record* b) noexcept nogil:
    return a.key < b.key or (a.key == b.key and a.second < b.second)


cdef int sort_records(Record[::1] records, Record[::1] scratch, Py_ssize_t count) except -1 nogil:
    """Sort ``records[:count]`` by (key, second), stable: insertion sort of runs, then merges."""
    cdef Py_ssize_t low, middle, high, i, j, k, width
    cdef Record moved
    low = 0
    while low < count:
        high = min(low + RUN_LENGTH, count)
        for i in range(low + 1, high):
            moved = records[i]
            j = i
            while j > low and is_before(&moved, &records[j - 1]):
                records[j] = records[j - 1]
                j -= 1
            records[j] = moved
        low = high
    width = RUN_LENGTH
    while width < count:
        low = 0
        while low + width < count:
            middle = low + width
            high = min(middle + width, count)
            if is_before(&records[middle], &records[middle - 1]):
                for i in range(low, middle):
                    scratch[i] = records[i]
                i, j, k = low, middle, low
                while i < middle:
                    if j < high and is_before(&records[j], &scratch[i]):
                        records[k] = records[j]
                        j += 1
                    else:
                        records[k] = scratch[i]
                        i += 1
                    k += 1
            low = high
        width *= 2
    return 0


cdef inline uint64_t read_big_endian(const uint8_t[:, ::1] ids, Py_ssize_t row, int start) except? 0 nogil:
    cdef uint64_t value = 0
    cdef int i
    for i in range(start, start + 8):
        value = value << 8 | ids[row, i]
    return value


cdef inline uint64_t ordered_kind(int32_t kind) noexcept nogil:
    """Map a kind to an unsigned number of the same order."""
    return <uint32_t> kind ^ 0x80000000u


cdef class Workspace:
    """Scratch arrays for one trace after the other, as long as the longest of them."""

    cdef Record[::1] records, scratch
    cdef uint64_t[::1] ids  # distinct (span ID, kind), ascending
    cdef int32_t[::1] kinds
    cdef int64_t[::1] rows
    cdef int32_t[::1] rank_of  # position in (start, span ID, kind, arrival) order
    cdef int32_t[::1] by_rank  # its inverse
    cdef int32_t[::1] parents  # rank of the parent, -1: none
    cdef int32_t[::1] first_child  # start of the children of a rank; one longer
    cdef int32_t[::1] children
    cdef int32_t[::1] next_child
    cdef int32_t[::1] lefts
    cdef int32_t[::1] positions  # place in the output

    def __init__(self, Py_ssize_t size, Py_ssize_t records):
        self.make_records(records)
        self.ids = np.empty(size, np.uint64)
        self.kinds = np.empty(size, np.int32)
        self.rows = np.empty(size, np.int64)
        self.rank_of = np.empty(size, np.int32)
        self.by_rank = np.empty(size, np.int32)
        self.parents = np.empty(size, np.int32)
        self.first_child = np.empty(size + 1, np.int32)
        self.children = np.empty(size, np.int32)
        self.next_child = np.empty(size, np.int32)
        self.lefts = np.empty(size, np.int32)
        self.positions = np.empty(size, np.int32)

    def make_records(self, Py_ssize_t records):
        """Make room for so many records."""
        self.records = self.scratch = None
        self.records = np.empty(records, RECORD)
        self.scratch = np.empty(records, RECORD)


cdef class Output:
    """The arrays of an Arrangement while they grow."""

    cdef int64_t[::1] order, first_span
    cdef int32_t[::1] left, right, parent, child_count

    def __init__(self, Py_ssize_t spans, Py_ssize_t traces):
        self.order = np.empty(spans, np.int64)
        self.first_span = np.zeros(traces + 1, np.int64)
        self.left = np.zeros(spans, np.int32)
        self.right = np.zeros(spans, np.int32)
        self.parent = np.zeros(spans, np.int32)
        self.child_count = np.zeros(spans, np.int32)


cdef Py_ssize_t keep_distinct(Workspace work, Py_ssize_t count) except -1 nogil:
    """Sort the records of a trace by (span ID, kind), keep the first arrived of each.

    Records come in order of arrival, so the stable sort puts the first arrived first.
    """
    cdef Record[::1] records = work.records
    cdef Py_ssize_t i, kept = 0
    sort_records(records, work.scratch, count)
    for i in range(count):
        if i and records[i].key == records[i - 1].key and records[i].second == records[i - 1].second:
            continue
        work.ids[kept] = records[i].key
        work.kinds[kept] = <int32_t> (<uint32_t> records[i].second ^ 0x80000000u)
        work.rows[kept] = records[i].row
        kept += 1
    return kept


cdef int rank_spans(Workspace work, const int64_t[::1] start_ns, Py_ssize_t count) except -1 nogil:
    """Fill ``rank_of`` and ``by_rank``: unsigned start first, then the order of ``ids``."""
    cdef Record[::1] records = work.records
    cdef Py_ssize_t i
    for i in range(count):
        records[i].key = <uint64_t> start_ns[work.rows[i]]
        records[i].second = 0
        records[i].row = i
    sort_records(records, work.scratch, count)
    for i in range(count):
        work.by_rank[i] = <int32_t> records[i].row
        work.rank_of[records[i].row] = <int32_t> i
    return 0


cdef int32_t find_parent(Workspace work, uint64_t parent, int32_t kind, Py_ssize_t count) except -2 nogil:
    """Find the rank of the span with ID ``parent`` for a child of ``kind``, -1 if there is none.

    Two spans under one ID are the two sides of a call (Zipkin): a server's parent is the client, anything
    else hangs below the server. An ID used more often names nobody.
    """
    cdef Py_ssize_t low = 0, high = count, middle
    cdef int32_t wanted
    while low < high:
        middle = (low + high) // 2
        if work.ids[middle] < parent:
            low = middle + 1
        else:
            high = middle
    if low == count or work.ids[low] != parent:
        return -1
    if low + 1 == count or work.ids[low + 1] != parent:
        return work.rank_of[low]
    if low + 2 < count and work.ids[low + 2] == parent:
        return -1
    wanted = KIND_CLIENT if kind == KIND_SERVER else KIND_SERVER
    if work.kinds[low] == wanted:
        return work.rank_of[low]
    if work.kinds[low + 1] == wanted:
        return work.rank_of[low + 1]
    return -1


cdef int resolve_parents(Workspace work, const uint64_t[::1] parent_id, Py_ssize_t count) except -1 nogil:
    """Fill ``parents`` and the lists of children by rank. Returns the number of roots."""
    cdef Py_ssize_t i, rank
    cdef int32_t parent
    cdef int roots = 0
    for i in range(count + 1):
        work.first_child[i] = 0
    for rank in range(count):
        i = work.by_rank[rank]
        if parent_id[work.rows[i]] == 0:
            roots += 1
            work.parents[rank] = -1
            continue
        parent = find_parent(work, parent_id[work.rows[i]], work.kinds[i], count)
        work.parents[rank] = parent
        if parent >= 0:
            work.first_child[parent + 1] += 1
    for i in range(count):
        work.first_child[i + 1] += work.first_child[i]
        work.next_child[i] = work.first_child[i]
    for rank in range(count):
        parent = work.parents[rank]
        if parent >= 0:
            work.children[work.next_child[parent]] = <int32_t> rank
            work.next_child[parent] += 1
    return roots


cdef Py_ssize_t walk(
    Workspace work, Output out, const uint64_t[::1] parent_id, Py_ssize_t base, Py_ssize_t count
) except -1 nogil:
    """Number the spans reachable from roots, depth first. Returns where the next span goes.

    The way back up is ``parents``, so no stack is needed; ``next_child`` remembers where to go on.
    """
    cdef Py_ssize_t root, place = base
    cdef int32_t rank, counter = 0
    for root in range(count):
        work.lefts[root] = 0
        work.next_child[root] = work.first_child[root]
    for root in range(count):
        if parent_id[work.rows[work.by_rank[root]]] != 0:
            continue
        rank = <int32_t> root
        while rank >= 0:
            if work.lefts[rank] == 0:
                counter += 1
                work.lefts[rank] = counter
                work.positions[rank] = <int32_t> (place - base)
                out.order[place] = work.rows[work.by_rank[rank]]
                out.left[place] = counter
                out.parent[place] = work.lefts[work.parents[rank]] if work.parents[rank] >= 0 else -1
                out.child_count[place] = work.first_child[rank + 1] - work.first_child[rank]
                place += 1
            if work.next_child[rank] < work.first_child[rank + 1]:
                work.next_child[rank] += 1
                rank = work.children[work.next_child[rank] - 1]
            else:
                counter += 1
                out.right[base + work.positions[rank]] = counter
                rank = work.parents[rank]
    return place


cdef Py_ssize_t arrange_trace(
    Workspace work,
    Output out,
    const uint64_t[::1] parent_id,
    const int64_t[::1] start_ns,
    Py_ssize_t base,
    Py_ssize_t count,
) except -1 nogil:
    """Arrange the trace whose records are in ``work``, output from ``base`` on. Returns its end."""
    cdef Py_ssize_t rank, place = base
    cdef int roots
    count = keep_distinct(work, count)
    rank_spans(work, start_ns, count)
    if count >= LONG:
        with gil:
            work.make_records(0)
    roots = resolve_parents(work, parent_id, count)
    if roots:
        place = walk(work, out, parent_id, base, count)
    for rank in range(count):
        if roots and work.lefts[rank]:
            continue
        out.order[place] = work.rows[work.by_rank[rank]]
        if roots:
            out.child_count[place] = work.first_child[rank + 1] - work.first_child[rank]
        place += 1
    return place


cdef int sort_traces(const uint8_t[:, ::1] trace_ids, Workspace work, int32_t[::1] trace_order) except -1 nogil:
    cdef Py_ssize_t i
    for i in range(trace_ids.shape[0]):
        work.records[i].key = read_big_endian(trace_ids, i, 0)
        work.records[i].second = read_big_endian(trace_ids, i, 8)
        work.records[i].row = i
    sort_records(work.records, work.scratch, trace_ids.shape[0])
    for i in range(trace_ids.shape[0]):
        trace_order[i] = <int32_t> work.records[i].row
    return 0


cdef int group_by_trace(const int32_t[::1] trace, int64_t[::1] ends, int64_t[::1] grouped) except -1 nogil:
    """Group rows by trace, in order of arrival within each.

    Args:
        ends: (T + 1,) 0, then the spans of each trace; on return where each trace ends.
    """
    cdef Py_ssize_t i
    for i in range(1, ends.shape[0]):
        ends[i] += ends[i - 1]
    for i in range(trace.shape[0]):
        grouped[ends[trace[i]]] = i
        ends[trace[i]] += 1
    return 0


def arrange(
    const uint8_t[:, ::1] trace_ids,
    const int32_t[::1] trace,
    const uint64_t[::1] span_id,
    const uint64_t[::1] parent_id,
    const int32_t[::1] kind,
    const int64_t[::1] start_ns,
):
    """Sort spans by trace ID, then nested-set left (0 last), then start, span ID and kind."""
    cdef Py_ssize_t spans = trace.shape[0], traces = trace_ids.shape[0]
    assert trace_ids.shape[1] == 16 and spans < SPANS_MAX
    assert spans == span_id.shape[0] == parent_id.shape[0] == kind.shape[0] == start_ns.shape[0]
    counts = np.bincount(np.asarray(trace), minlength=traces)
    assert len(counts) == traces, "a span names a trace that does not exist"

    cdef Py_ssize_t longest = counts.max(initial=0)
    cdef Workspace work = Workspace(longest, max(longest, traces))
    cdef Output out = Output(spans, traces)
    trace_order = np.empty(traces, np.int32)
    cdef int32_t[::1] ordered = trace_order
    cdef int64_t[::1] ends = np.concatenate([np.zeros(1, np.int64), counts.astype(np.int64)])
    cdef int64_t[::1] grouped = np.empty(spans, np.int64)
    cdef Py_ssize_t t, i, place = 0
    cdef int64_t first, last, row
    with nogil:
        sort_traces(trace_ids, work, ordered)
        group_by_trace(trace, ends, grouped)
        for t in range(traces):
            first = 0 if ordered[t] == 0 else ends[ordered[t] - 1]
            last = ends[ordered[t]]
            if work.records.shape[0] < last - first:
                with gil:
                    work.make_records(longest)
            for i in range(last - first):
                row = grouped[first + i]
                work.records[i].key = span_id[row]
                work.records[i].second = ordered_kind(kind[row])
                work.records[i].row = row
            place = arrange_trace(work, out, parent_id, start_ns, place, last - first)
            out.first_span[t + 1] = place
    return Arrangement(
        order=np.asarray(out.order)[:place],
        first_span=np.asarray(out.first_span),
        trace_order=trace_order,
        nested_left=np.asarray(out.left)[:place],
        nested_right=np.asarray(out.right)[:place],
        nested_parent=np.asarray(out.parent)[:place],
        child_count=np.asarray(out.child_count)[:place],
    )


def compact_codes(const int32_t[::1] codes, Py_ssize_t entries):
    """Renumber dictionary codes to those in use, in order of first use.

    Raises: ValueError if a code is no code of a dictionary of that many entries.
    """
    renumbered = np.empty(codes.shape[0], np.int32)
    used = np.empty(min(entries, codes.shape[0]), np.int32)
    cdef int32_t[::1] new = renumbered, old = used
    cdef int32_t[::1] number = np.full(entries, -1, np.int32)
    cdef Py_ssize_t i, bad = -1
    cdef int32_t count = 0, code
    with nogil:
        for i in range(codes.shape[0]):
            code = codes[i]
            if code == -1:
                new[i] = -1
                continue
            if code < -1 or code >= entries:
                bad = i
                break
            if number[code] == -1:
                number[code] = count
                old[count] = code
                count += 1
            new[i] = number[code]
    if bad >= 0:
        raise ValueError(f"code {codes[bad]} at row {bad} is not in a dictionary of {entries}")
    return renumbered, used[:count].copy()
