"""Marks of rows that lie in runs, as the spans of a trace do: marks -> runs and back.

A mask is a byte a row, 0 or 1. Runs are short and of all lengths, so that nothing here branches on a length
or a mark as far as it can be helped: marks are packed to bits, and those of a run are one word. Lengths are
checked before any row is touched. No Python, no allocation in the loops; no GIL.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset

cdef enum:
    WORD_BITS = 57  # that begin at any bit of a byte lie in the 8 bytes from there
    SHORT = 32  # rows that are written whether they belong to the run or not


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


cdef const uint8_t[::1] pack_marks(mask, Py_ssize_t rows):
    """Pack a mask of N rows to bits, the first is the lowest, with a word of zeros behind them."""
    if len(mask) != rows:
        raise ValueError(f"a mask of {len(mask)} rows instead of {rows}")
    packed = np.packbits(mask, bitorder="little")
    return np.concatenate([packed, np.zeros(sizeof(uint64_t), np.uint8)])


cdef inline uint64_t word_at(const uint8_t* bits, int64_t place, int64_t count) noexcept nogil:
    """Get 0 to 57 bits from bit ``place`` on."""
    cdef uint64_t word
    memcpy(&word, bits + (place >> 3), sizeof(word))
    return word >> (place & 7) & ((<uint64_t> 1 << count) - 1)


cdef inline int64_t ones_of(uint64_t word) noexcept nogil:
    """Count the bits that are set."""
    word -= word >> 1 & 0x5555555555555555ULL
    word = (word & 0x3333333333333333ULL) + (word >> 2 & 0x3333333333333333ULL)
    word = (word + (word >> 4)) & 0x0F0F0F0F0F0F0F0FULL
    return <int64_t> (word * 0x0101010101010101ULL >> 56)


cdef bint has_mark(const uint8_t* bits, int64_t place, int64_t count) noexcept nogil:
    """Tell whether one of ``count`` rows from ``place`` on is marked."""
    while count > WORD_BITS:
        if word_at(bits, place, WORD_BITS):
            return True
        place += WORD_BITS
        count -= WORD_BITS
    return word_at(bits, place, count) != 0


cdef int64_t count_marks(const uint8_t* bits, int64_t place, int64_t count) noexcept nogil:
    cdef int64_t found = 0
    while count > WORD_BITS:
        found += ones_of(word_at(bits, place, WORD_BITS))
        place += WORD_BITS
        count -= WORD_BITS
    return found + ones_of(word_at(bits, place, count))


def marked_runs(mask, const int32_t[::1] counts):
    """Find the runs with a marked row: (M,) their numbers, ascending."""
    cdef Py_ssize_t rows = len(mask), run, found = 0
    cdef const uint8_t[::1] bits = pack_marks(mask, rows)
    check_runs(counts, rows)
    numbers = np.empty(counts.shape[0], np.int64)
    cdef int64_t[::1] out = numbers
    cdef int64_t place = 0
    with nogil:
        for run in range(counts.shape[0]):
            out[found] = run
            found += has_mark(&bits[0], place, counts[run])
            place += counts[run]
    return numbers[:found].copy()


def count_marked(mask, const int32_t[::1] counts):
    """Count the marked rows of each run: (T,)."""
    cdef Py_ssize_t rows = len(mask), run
    cdef const uint8_t[::1] bits = pack_marks(mask, rows)
    check_runs(counts, rows)
    found = np.empty(counts.shape[0], np.int64)
    cdef int64_t[::1] out = found
    cdef int64_t place = 0
    with nogil:
        for run in range(counts.shape[0]):
            out[run] = count_marks(&bits[0], place, counts[run])
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
    if rows == 0:
        return found
    with nogil:
        for run in range(counts.shape[0]):
            if counts[run] <= SHORT and place + SHORT <= rows:
                memset(&out[place], wanted[run], SHORT)  # the next run overwrites what is too much
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
            if counts[run] <= SHORT and place + SHORT <= rows:
                for i in range(SHORT):  # the next run overwrites what is too much
                    out[place + i] = <int32_t> run
            else:
                for i in range(counts[run]):
                    out[place + i] = <int32_t> run
            place += counts[run]
    return found


def or_zero(const int32_t[::1] values, mask):
    """Put 0 in place of what is not marked: (N,)."""
    cdef const uint8_t[::1] marks = np.ascontiguousarray(mask).view(np.uint8)
    cdef Py_ssize_t rows = values.shape[0], row
    if marks.shape[0] != rows:
        raise ValueError(f"a mask of {marks.shape[0]} rows instead of {rows}")
    found = np.empty(rows, np.int32)
    cdef int32_t[::1] out = found
    with nogil:
        for row in range(rows):
            out[row] = values[row] & -<int32_t> marks[row]
    return found
