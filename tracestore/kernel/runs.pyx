"""Marks of rows that lie in runs, as the spans of a trace do: marks -> runs and back.

A mask is a byte a row, 0 or 1. Runs are short, so they are looked at eight bytes at a time. Lengths are
checked before any row is touched. No Python, no allocation in the loops; no GIL.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset

cdef enum:
    WORD = 8

cdef uint64_t ONES = 0x0101010101010101ULL


cdef int check_runs(const int32_t[::1] counts, Py_ssize_t rows) except -1:
    """Raise ValueError unless the runs are all of the rows."""
    cdef int64_t total = 0
    cdef Py_ssize_t i
    cdef bint is_sound = True
    with nogil:
        for i in range(counts.shape[0]):
            is_sound &= counts[i] >= 0
            total += counts[i]
    if not is_sound or total != rows:
        raise ValueError(f"{counts.shape[0]} runs of {total} rows instead of {rows}")
    return 0


cdef inline uint64_t load(const uint8_t* place) noexcept nogil:
    cdef uint64_t word
    memcpy(&word, place, WORD)
    return word


cdef inline uint64_t first_bytes(int64_t count) noexcept nogil:
    """Mask the first 1 to 8 bytes of a little-endian word."""
    return (<uint64_t> -1) >> (8 * (WORD - count))


cdef bint has_mark(const uint8_t* mask, int64_t count, int64_t behind) noexcept nogil:
    """Tell whether one of ``count`` rows is marked; ``behind``: bytes that may be read."""
    cdef int64_t i = 0
    while count - i > WORD:
        if load(mask + i):
            return True
        i += WORD
    if count == i:
        return False
    if i + WORD <= behind:
        return (load(mask + i) & first_bytes(count - i)) != 0
    while i < count:
        if mask[i]:
            return True
        i += 1
    return False


cdef int64_t count_marks(const uint8_t* mask, int64_t count, int64_t behind) noexcept nogil:
    cdef int64_t i = 0, found = 0
    while count - i > WORD:
        found += (load(mask + i) * ONES) >> 56
        i += WORD
    if count == i:
        return found
    if i + WORD <= behind:
        return found + (((load(mask + i) & first_bytes(count - i)) * ONES) >> 56)
    while i < count:
        found += mask[i]
        i += 1
    return found


def marked_runs(mask, const int32_t[::1] counts):
    """Find the runs with a marked row: (M,) their numbers, ascending."""
    cdef const uint8_t[::1] marks = np.ascontiguousarray(mask).view(np.uint8)
    cdef Py_ssize_t rows = marks.shape[0], run, found = 0
    check_runs(counts, rows)
    numbers = np.empty(counts.shape[0], np.int64)
    cdef int64_t[::1] out = numbers
    cdef int64_t place = 0
    if rows == 0:
        return numbers[:0]
    with nogil:
        for run in range(counts.shape[0]):
            out[found] = run
            found += has_mark(&marks[0] + place, counts[run], rows - place)
            place += counts[run]
    return numbers[:found].copy()


def count_marked(mask, const int32_t[::1] counts):
    """Count the marked rows of each run: (T,)."""
    cdef const uint8_t[::1] marks = np.ascontiguousarray(mask).view(np.uint8)
    cdef Py_ssize_t rows = marks.shape[0], run
    check_runs(counts, rows)
    found = np.zeros(counts.shape[0], np.int64)
    cdef int64_t[::1] out = found
    cdef int64_t place = 0
    if rows == 0:
        return found
    with nogil:
        for run in range(counts.shape[0]):
            out[run] = count_marks(&marks[0] + place, counts[run], rows - place)
            place += counts[run]
    return found


def spread_runs(kept, const int32_t[::1] counts, Py_ssize_t rows):
    """Mark all rows of the marked runs: (N,) mask.

    Args:
        kept: (T,) the runs.
    """
    cdef const uint8_t[::1] wanted = np.ascontiguousarray(kept).view(np.uint8)
    assert wanted.shape[0] == counts.shape[0]
    check_runs(counts, rows)
    found = np.empty(rows, np.bool_)
    cdef uint8_t[::1] out = found.view(np.uint8)
    cdef Py_ssize_t run
    cdef int64_t place = 0
    cdef uint64_t word
    if rows == 0:
        return found
    with nogil:
        for run in range(counts.shape[0]):
            if counts[run] <= WORD and place + WORD <= rows:
                word = ONES if wanted[run] else 0  # what it says of the next run is overwritten
                memcpy(&out[place], &word, WORD)
            elif counts[run]:
                memset(&out[place], wanted[run], counts[run])
            place += counts[run]
    return found


def run_numbers(const int32_t[::1] counts, Py_ssize_t rows):
    """Number the rows by their run: (N,) int32."""
    check_runs(counts, rows)
    found = np.empty(rows, np.int32)
    cdef int32_t[::1] out = found
    cdef Py_ssize_t run
    cdef int64_t place = 0, i
    with nogil:
        for run in range(counts.shape[0]):
            if counts[run] <= WORD and place + WORD <= rows:
                for i in range(WORD):  # the next run overwrites what is too much
                    out[place + i] = <int32_t> run
            else:
                for i in range(counts[run]):
                    out[place + i] = <int32_t> run
            place += counts[run]
    return found
