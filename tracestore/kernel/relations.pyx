"""Relations between the spans of a trace, by nested-set numbers: parent, ancestor, sibling and back.

The spans of a run (a trace, or those of a trace that belong together) come in the order of their left
numbers, those outside the tree (number 0) behind them. So no tree is built or walked. Runs without a
marked span cost a look. Nothing branches on a mark, as marks cannot be predicted. Numbers are checked
before they are used as places. No allocation in the loops; no GIL.

Source: TraceQL reference, 5.3 and 5.4; Celko, "Trees and Hierarchies in SQL", ch. 4.
"""

import numpy as np

from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint8_t

from tracestore.kernel.runs cimport check_runs, has_mark, pack_marks


cdef class Spans:
    """N spans in T runs, two of their numbers, and which are marked. Raises: ValueError."""

    cdef const uint8_t[::1] marks, bits
    cdef uint8_t[::1] out
    cdef const int32_t[::1] counts, first, second
    cdef Py_ssize_t rows
    cdef int64_t largest
    cdef object found

    def __init__(self, mask, counts, first, second):
        self.counts, self.first, self.second = counts, first, second
        self.rows = len(first)
        self.marks = np.ascontiguousarray(mask).view(np.uint8)
        self.found = np.zeros(self.rows, np.bool_)
        self.out = self.found.view(np.uint8)
        self.bits = pack_marks(mask, self.rows)
        if self.rows != self.second.shape[0]:
            raise ValueError(f"{self.rows} spans and {self.second.shape[0]} numbers")
        check_runs(self.counts, self.rows)
        if first.min(initial=0) < 0:
            raise ValueError("a nested-set number is negative")
        self.largest = max(first.max(initial=0), second.max(initial=0))

    cdef inline bint has_mark(self, Py_ssize_t row, Py_ssize_t run) noexcept nogil:
        return has_mark(&self.bits[0], row, self.counts[run])


def mask_descendants(mask, counts, left, right):
    """Mark the spans below a marked one of their run: an earlier one whose right number is larger."""
    cdef Spans s = Spans(mask, counts, left, right)
    if s.rows == 0:
        return s.found
    cdef const uint8_t* marks = &s.marks[0]
    cdef uint8_t* out = &s.out[0]
    cdef const int32_t* lefts = &s.first[0]
    cdef const int32_t* rights = &s.second[0]
    cdef Py_ssize_t run, row, end, begin = 0
    cdef int32_t reach, right_of
    with nogil:
        for run in range(s.counts.shape[0]):
            end = begin + s.counts[run]
            if s.has_mark(begin, run):
                reach = 0
                for row in range(begin, end):
                    out[row] = 0 < lefts[row] < reach
                    right_of = rights[row] & -<int32_t> marks[row]
                    reach = max(reach, right_of)
            begin = end
    return s.found


def mask_ancestors(mask, counts, left, right):
    """Mark the spans above a marked one of their run: the next marked one begins before they end."""
    cdef Spans s = Spans(mask, counts, left, right)
    if s.rows == 0:
        return s.found
    cdef const uint8_t* marks = &s.marks[0]
    cdef uint8_t* out = &s.out[0]
    cdef const int32_t* lefts = &s.first[0]
    cdef const int32_t* rights = &s.second[0]
    cdef Py_ssize_t run, row, begin, end = s.rows
    cdef int32_t following
    with nogil:
        for run in range(s.counts.shape[0] - 1, -1, -1):
            begin = end - s.counts[run]
            if s.has_mark(begin, run):
                following = INT32_MAX
                for row in range(end - 1, begin - 1, -1):
                    out[row] = following < rights[row]
                    following = lefts[row] if marks[row] & (lefts[row] > 0) else following
            end = begin
    return s.found


def mask_children(mask, counts, left, parent):
    """Mark the spans whose parent is a marked one of their run."""
    cdef Spans s = Spans(mask, counts, left, parent)
    if s.rows == 0:
        return s.found
    cdef const uint8_t* marks = &s.marks[0]
    cdef uint8_t* out = &s.out[0]
    cdef const int32_t* lefts = &s.first[0]
    cdef const int32_t* parents = &s.second[0]
    cdef uint8_t[::1] table = np.zeros(s.largest + 1, np.uint8)
    cdef uint8_t* marked = &table[0]  # by left number
    cdef Py_ssize_t run, row, end, begin = 0
    with nogil:
        for run in range(s.counts.shape[0]):
            end = begin + s.counts[run]
            if s.has_mark(begin, run):
                for row in range(begin, end):
                    marked[lefts[row]] = marks[row]
                marked[0] = 0  # outside the tree
                for row in range(begin, end):
                    out[row] = marked[max(parents[row], 0)]
                for row in range(begin, end):
                    marked[lefts[row]] = 0
            begin = end
    return s.found


def mask_parents(mask, counts, left, parent):
    """Mark the spans of which a marked one of their run is a child."""
    cdef Spans s = Spans(mask, counts, left, parent)
    if s.rows == 0:
        return s.found
    cdef const uint8_t* marks = &s.marks[0]
    cdef uint8_t* out = &s.out[0]
    cdef const int32_t* lefts = &s.first[0]
    cdef const int32_t* parents = &s.second[0]
    cdef uint8_t[::1] table = np.zeros(s.largest + 1, np.uint8)
    cdef uint8_t* wanted = &table[0]  # by left number
    cdef Py_ssize_t run, row, end, begin = 0
    with nogil:
        for run in range(s.counts.shape[0]):
            end = begin + s.counts[run]
            if s.has_mark(begin, run):
                for row in range(begin, end):
                    wanted[max(parents[row], 0)] |= marks[row]
                wanted[0] = 0
                for row in range(begin, end):
                    out[row] = wanted[lefts[row]]
                for row in range(begin, end):
                    wanted[max(parents[row], 0)] = 0
            begin = end
    return s.found


def mask_siblings(mask, counts, left, parent):
    """Mark the spans beside a marked one of their run: below the same parent, or among the roots."""
    cdef Spans s = Spans(mask, counts, left, parent)
    if s.rows == 0:
        return s.found
    cdef const uint8_t* marks = &s.marks[0]
    cdef uint8_t* out = &s.out[0]
    cdef const int32_t* parents = &s.second[0]
    cdef int32_t[::1] table = np.zeros(s.largest + 1, np.int32)
    cdef int32_t* marked = &table[0]  # of a family, by left number of the parent; of roots 0
    cdef Py_ssize_t run, row, end, begin = 0
    with nogil:
        for run in range(s.counts.shape[0]):
            end = begin + s.counts[run]
            if s.has_mark(begin, run):
                for row in range(begin, end):
                    marked[max(parents[row], 0)] += marks[row] & (parents[row] != 0)
                for row in range(begin, end):
                    out[row] = (parents[row] != 0) & (marked[max(parents[row], 0)] > marks[row])
                for row in range(begin, end):
                    marked[max(parents[row], 0)] = 0
            begin = end
    return s.found


def parent_rows(counts, left, parent):
    """Find the row of each span's parent: (N,) int32, -1 where there is none."""
    rows = np.empty(len(left), np.int32)
    cdef Spans s = Spans(np.zeros(len(left), np.bool_), counts, left, parent)
    if s.rows == 0:
        return rows
    cdef int32_t[::1] found = rows
    cdef const int32_t* lefts = &s.first[0]
    cdef const int32_t* parents = &s.second[0]
    cdef int32_t[::1] table = np.full(s.largest + 1, -1, np.int32)
    cdef int32_t* of_left = &table[0]
    cdef Py_ssize_t run, row, end, begin = 0
    with nogil:
        for run in range(s.counts.shape[0]):
            end = begin + s.counts[run]
            for row in range(begin, end):
                of_left[lefts[row]] = <int32_t> row
            of_left[0] = -1  # outside the tree
            for row in range(begin, end):
                found[row] = of_left[max(parents[row], 0)]
            for row in range(begin, end):
                of_left[lefts[row]] = -1
            begin = end
    return rows
