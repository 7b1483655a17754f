"""Cells of spans, and counts, sums and extremes by cell: in one pass what numpy does in several.

A number outside of its bounds is a mistake of ours, and raises IndexError. Runs without the GIL.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint64_t

cdef extern from *:
    """
    #if defined(_MSC_VER)
    #include <intrin.h>
    static int bit_length(unsigned __int64 value) {
        unsigned long top;
        return _BitScanReverse64(&top, value) ? (int)top + 1 : 0;
    }
    #else
    static int bit_length(unsigned long long value) {
        return value ? 64 - __builtin_clzll(value) : 0;
    }
    #endif
    """
    int bit_length(uint64_t value) nogil


def cell_keys(
    const uint64_t[::1] start_ns,
    grid,
    *,
    const int64_t[::1] rows=None,
    const int64_t[::1] numbers=None,
    const int64_t[::1] codes=None,
    const int32_t[::1] index=None,
    const int64_t[::1] buckets=None,
    int64_t width=1,
):
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
    cdef uint64_t origin_ns = (grid[0] + 1) & 0xFFFFFFFFFFFFFFFF
    cdef uint64_t step_ns = grid[1]
    cdef int64_t points = grid[2]
    cdef uint64_t length_ns = step_ns * <uint64_t>points
    cdef double per_ns = 1.0 / step_ns
    cdef Py_ssize_t total = start_ns.shape[0] if rows is None else rows.shape[0]
    keys = np.empty(total, np.int64)
    cdef int64_t[::1] found = keys
    cdef Py_ssize_t place
    cdef int64_t row, key, point
    cdef uint64_t offset
    cdef bint has_rows = rows is not None, has_numbers = numbers is not None
    cdef bint has_codes = codes is not None, has_buckets = buckets is not None
    cdef bint is_bad = False
    if has_numbers and numbers.shape[0] != total or has_buckets and buckets.shape[0] != total:
        raise IndexError("every span has one number")
    if has_codes and index.shape[0] != start_ns.shape[0]:
        raise IndexError("every span has one row of the small table")
    with nogil:
        for place in range(total):
            row = rows[place] if has_rows else place
            if row < 0 or row >= start_ns.shape[0]:
                is_bad = True
                break
            key = 0
            if has_numbers:
                key = numbers[place]
            elif has_codes:
                key = index[row]
                if key < 0 or key >= codes.shape[0]:
                    is_bad = True
                    break
                key = codes[key]
            if has_buckets:
                key = key * width + buckets[place]
            offset = start_ns[row] - origin_ns
            if offset >= length_ns:
                is_bad = True
                break
            # a quotient of floats is off by less than one, which is cheaper to mend than to divide
            point = <int64_t>(<double><int64_t>offset * per_ns)
            if <uint64_t>point * step_ns > offset:
                point -= 1
            elif offset - <uint64_t>point * step_ns >= step_ns:
                point += 1
            found[place] = key * points + point
    if is_bad:
        raise IndexError("a span that is not there, or begins outside of the grid")
    return keys


def tally(const int64_t[::1] keys, Py_ssize_t size):
    """Count how often each number below ``size`` occurs: (size,) int64."""
    counts = np.zeros(size, np.int64)
    cdef int64_t[::1] found = counts
    cdef Py_ssize_t row
    cdef int64_t key
    cdef bint is_bad = False
    with nogil:
        for row in range(keys.shape[0]):
            key = keys[row]
            if key < 0 or key >= size:
                is_bad = True
                break
            found[key] += 1
    if is_bad:
        raise IndexError(f"{key} is not a number below {size}")
    return counts


def tally_sums(const int64_t[::1] keys, const double[::1] values, Py_ssize_t size):
    """Count each number, and sum the values beside it: (size,) int64 and (size,) float64."""
    counts, sums = np.zeros(size, np.int64), np.zeros(size)
    cdef int64_t[::1] found = counts
    cdef double[::1] total = sums
    cdef Py_ssize_t row
    cdef int64_t key
    cdef bint is_bad = keys.shape[0] != values.shape[0]
    if is_bad:
        raise IndexError("every number has one value")
    with nogil:
        for row in range(keys.shape[0]):
            key = keys[row]
            if key < 0 or key >= size:
                is_bad = True
                break
            found[key] += 1
            total[key] += values[row]
    if is_bad:
        raise IndexError(f"{key} is not a number below {size}")
    return counts, sums


def tally_extremes(
    const int64_t[::1] keys, const double[::1] values, Py_ssize_t size, bint largest
):
    """Count each number, and find the smallest or largest value beside it.

    Returns: (size,) int64 and (size,) float64, which means nothing where the count is 0.
    """
    counts = np.zeros(size, np.int64)
    extremes = np.full(size, -np.inf if largest else np.inf)
    cdef int64_t[::1] found = counts
    cdef double[::1] best = extremes
    cdef Py_ssize_t row
    cdef int64_t key
    cdef double value, known
    cdef bint is_bad = keys.shape[0] != values.shape[0]
    if is_bad:
        raise IndexError("every number has one value")
    with nogil:
        for row in range(keys.shape[0]):
            key = keys[row]
            if key < 0 or key >= size:
                is_bad = True
                break
            # without a branch, which would be guessed wrong most of the time
            value, known = values[row], best[key]
            if largest:
                best[key] = value if value > known else known
            else:
                best[key] = value if value < known else known
            found[key] += 1
    if is_bad:
        raise IndexError(f"{key} is not a number below {size}")
    return counts, extremes


def power_buckets(const int64_t[::1] values):
    """Find the exponent of the smallest power of two not below each value: (N,) int64.

    0 for values below 2, which have none.
    """
    buckets = np.empty(values.shape[0], np.int64)
    cdef int64_t[::1] found = buckets
    cdef Py_ssize_t row
    with nogil:
        for row in range(values.shape[0]):
            found[row] = bit_length(<uint64_t>(values[row] - 1)) if values[row] >= 2 else 0
    return buckets
