"""Counts, sums and extremes of the values of each group of rows; numbers of groups.

Rows lie in runs, one a group, or each has the number of its group. A mask is a byte a row, None: all rows
count. Lengths and numbers are checked before they are used as places. No Python, no allocation in the
loops; no GIL.
"""

import numpy as np

from libc.math cimport NAN
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

ctypedef fused Number:
    int32_t
    int64_t
    double

ctypedef fused Code:
    int32_t
    int64_t

cdef const uint8_t[::1] marks_of(mask, Py_ssize_t rows):
    """View a mask; none is one byte that nobody looks at."""
    if mask is None:
        return np.ones(1, np.uint8)
    assert len(mask) == rows
    return np.ascontiguousarray(mask).view(np.uint8)


cdef int check_groups(const int32_t[::1] group, Py_ssize_t groups, Py_ssize_t rows) except -1:
    """Raise ValueError unless each row has one of the groups."""
    cdef Py_ssize_t i
    cdef int32_t largest = <int32_t> (groups - 1), wrong = 0
    with nogil:
        for i in range(group.shape[0]):
            wrong |= group[i] | (largest - group[i])  # negative if one of them is
    if wrong < 0 or group.shape[0] != rows:
        raise ValueError(f"{rows} rows are not in {groups} groups")
    return 0


def sum_runs(const Number[::1] values, mask, const int32_t[::1] group, Py_ssize_t groups):
    """Sum the marked values of each group, where the rows of a group lie together: (groups,).

    The sum is stored with every row, the last one stays: a loop a group would branch on its length.
    """
    cdef Py_ssize_t rows = values.shape[0], row
    cdef const uint8_t[::1] marks = marks_of(mask, rows)
    cdef uint8_t is_all = mask is None
    cdef Py_ssize_t where = 0 if is_all else -1  # without a mask there is one mark, that of all rows
    wide, real = np.zeros(groups, np.int64), np.zeros(groups if Number is double else 0, np.float64)
    cdef int64_t[::1] out_wide = wide
    cdef double[::1] out_real = real
    cdef int32_t last = -1
    cdef int64_t whole = 0
    cdef double total = 0.0
    check_groups(group, groups, rows)
    with nogil:
        for row in range(rows):
            if Number is double:
                total = total if group[row] == last else 0.0
                total += values[row] if is_all | marks[row & where] else 0.0
                out_real[group[row]] = total
            else:
                whole &= -<int64_t> (group[row] == last)
                whole += <int64_t> values[row] & -<int64_t> (is_all | marks[row & where])
                out_wide[group[row]] = whole
            last = group[row]
    return real if Number is double else wide


def sum_groups(const Number[::1] values, mask, const int32_t[::1] group, Py_ssize_t groups):
    """Sum the marked values of each group: (groups,), as ``sum_runs`` does."""
    cdef Py_ssize_t rows = values.shape[0], row
    cdef const uint8_t[::1] marks = marks_of(mask, rows)
    cdef uint8_t is_all = mask is None
    cdef Py_ssize_t where = 0 if is_all else -1
    wide, real = np.zeros(groups, np.int64), np.zeros(groups if Number is double else 0, np.float64)
    cdef int64_t[::1] out_wide = wide
    cdef double[::1] out_real = real
    check_groups(group, groups, rows)
    with nogil:
        for row in range(rows):
            if Number is double:
                out_real[group[row]] += values[row] if is_all | marks[row & where] else 0.0
            else:
                out_wide[group[row]] += <int64_t> values[row] & -<int64_t> (is_all | marks[row & where])
    return real if Number is double else wide


def sum_exactly(const Code[::1] values, mask, const int32_t[::1] group, Py_ssize_t groups):
    """Sum the marked ints of each group without wrapping: (groups,) float64, rounded once.

    The halves are summed apart, which loses nothing.
    """
    cdef Py_ssize_t rows = values.shape[0], row, number
    cdef const uint8_t[::1] marks = marks_of(mask, rows)
    cdef uint8_t is_all = mask is None
    cdef Py_ssize_t where = 0 if is_all else -1
    cdef uint64_t[::1] low = np.zeros(groups, np.uint64)
    cdef int64_t[::1] high = np.zeros(groups, np.int64)
    found = np.empty(groups, np.float64)
    cdef double[::1] out = found
    cdef int64_t whole
    check_groups(group, groups, rows)
    with nogil:
        for row in range(rows):
            whole = <int64_t> values[row] & -<int64_t> (is_all | marks[row & where])
            low[group[row]] += <uint32_t> whole
            high[group[row]] += whole >> 32
        for number in range(groups):
            high[number] += <int64_t> (low[number] >> 32)
            whole = <int64_t> ((<uint64_t> high[number] << 32) | (low[number] & 0xFFFFFFFFu))
            if -(<int64_t> 1 << 31) <= high[number] < <int64_t> 1 << 31:
                out[number] = <double> whole
            else:
                out[number] = <double> high[number] * 4294967296.0 + <double> <uint32_t> low[number]
    return found


def count_groups(mask, const int32_t[::1] group, Py_ssize_t groups):
    """Count the marked rows of each group: (groups,)."""
    cdef const uint8_t[::1] marks = marks_of(mask, group.shape[0])
    cdef bint is_all = mask is None
    counts = np.zeros(groups, np.int64)
    cdef int64_t[::1] out = counts
    cdef Py_ssize_t row
    check_groups(group, groups, group.shape[0])
    with nogil:
        if is_all:
            for row in range(group.shape[0]):
                out[group[row]] += 1
        else:
            for row in range(group.shape[0]):
                out[group[row]] += marks[row]
    return counts


cdef struct Extreme:
    int64_t count  # marked values, NaN not among them
    int64_t whole
    double real


cdef inline void compare(Extreme* e, Number value, uint8_t is_marked, bint is_largest) noexcept nogil:
    """Take a marked value if it is beyond the others; of equal ones the first stays."""
    cdef bint is_better
    if Number is double:
        is_better = (value > e.real if is_largest else value < e.real) | (e.count == 0)
        is_better &= is_marked & (value == value)
        e.real = value if is_better else e.real
        e.count += is_marked & (value == value)
    else:
        is_better = (value > e.whole if is_largest else value < e.whole) | (e.count == 0)
        e.whole = <int64_t> value if is_better & is_marked else e.whole
        e.count += is_marked


def extremes_of_runs(
    const Number[::1] values, mask, const int32_t[::1] group, Py_ssize_t groups, bint is_largest
):
    """Find the smallest or largest marked value of each group, where the rows of a group lie together.

    Returns: (groups,); arbitrary where there is none.
    """
    cdef Py_ssize_t rows = values.shape[0], row
    cdef const uint8_t[::1] marks = marks_of(mask, rows)
    cdef uint8_t is_all = mask is None
    cdef Py_ssize_t where = 0 if is_all else -1  # without a mask there is one mark, that of all rows
    found = np.full(groups, np.nan if Number is double else 0, np.asarray(values).dtype)
    cdef Number[::1] out = found
    cdef Number worst, best, value
    cdef int64_t mark
    cdef Extreme extreme
    cdef int32_t last = -1
    check_groups(group, groups, rows)
    if Number is not double and rows:
        limits = np.iinfo(found.dtype)
        worst = best = <Number> (limits.min if is_largest else limits.max)
    extreme.count, extreme.whole, extreme.real = 0, 0, NAN
    with nogil:
        for row in range(rows):
            if Number is double:
                extreme.count &= -<int64_t> (group[row] == last)
                compare(&extreme, values[row], is_all | marks[row & where], is_largest)
                out[group[row]] = extreme.real if extreme.count else NAN
            else:
                best = best if group[row] == last else worst
                mark = -<int64_t> (is_all | marks[row & where])
                value = <Number> ((<int64_t> values[row] & mark) | (<int64_t> worst & ~mark))
                best = (max(best, value) if is_largest else min(best, value))
                out[group[row]] = best
            last = group[row]
    return found


def extremes_of_groups(
    const Number[::1] values, mask, const int32_t[::1] group, Py_ssize_t groups, bint is_largest
):
    """Find the smallest or largest marked value of each group, as ``extremes_of_runs`` does."""
    cdef Py_ssize_t rows = values.shape[0], row, number
    cdef const uint8_t[::1] marks = marks_of(mask, rows)
    cdef bint is_all = mask is None
    found = np.empty(groups, np.asarray(values).dtype)
    cdef Number[::1] out = found
    dtype = np.dtype([("count", "i8"), ("whole", "i8"), ("real", "f8")])
    cdef Extreme[::1] extremes = np.full(groups, np.array((0, 0, np.nan), dtype))
    check_groups(group, groups, rows)
    with nogil:
        for row in range(rows):
            compare(&extremes[group[row]], values[row], 1 if is_all else marks[row], is_largest)
        for number in range(groups):
            out[number] = (
                extremes[number].real if Number is double else <Number> extremes[number].whole
            )
    return found


def split_runs(const int32_t[::1] group, rows, const Code[::1] codes):
    """Number the pairs of group and code in the order in which they first occur.

    Args:
        group: (N,) of each row; the rows of a group lie together.
        rows: (M,) the rows that count, ascending; None: all.
        codes: (M,) of each, not negative.

    Returns: (N,) the number of each row, 0 for those that do not count; (K,) where each number occurs first
    among the M.
    """
    cdef Py_ssize_t total = group.shape[0], count = codes.shape[0], place, row, wrong = -1
    cdef const int64_t[::1] wanted = np.zeros(0, np.int64) if rows is None else rows
    cdef bint is_all = rows is None
    if count != (total if is_all else wanted.shape[0]):
        raise ValueError(f"{count} codes are not those of the rows")
    if count and np.asarray(codes).min() < 0:
        raise ValueError("a code is negative")
    numbers, first = np.zeros(total, np.int32), np.empty(count, np.int64)
    cdef int32_t[::1] out = numbers
    cdef int64_t[::1] out_first = first
    cdef int32_t[::1] seen = np.full(int(np.max(codes, initial=-1)) + 1, -1, np.int32)  # last number
    cdef int32_t known = 0, before = 0, last = -1, number, is_new
    with nogil:
        for place in range(count):
            row = place if is_all else wanted[place]
            if not 0 <= row < total:
                wrong = place
                break
            before = before if group[row] == last else known  # numbers known before this group
            last = group[row]
            number = seen[codes[place]]
            is_new = -<int32_t> (number < before)
            number = (known & is_new) | (number & ~is_new)  # no branch, as it cannot be predicted
            seen[codes[place]] = number
            out[row] = number
            out_first[known] = place  # known <= place; if it is not new, the next overwrites it
            known -= is_new
    if wrong >= 0:
        raise ValueError(f"row {wanted[wrong]} is none of {total}")
    return numbers, first[:known].copy()


def number_by_first(const int64_t[::1] keys, Py_ssize_t size):
    """Number distinct keys in the order in which they first occur.

    Args:
        keys: (M,) 0 to ``size`` - 1.

    Returns: (M,) numbers without gaps, and where each number occurs first.
    """
    numbers, first = np.empty(keys.shape[0], np.int32), np.empty(keys.shape[0], np.int64)
    cdef int32_t[::1] out = numbers
    cdef int64_t[::1] out_first = first
    cdef int32_t[::1] seen = np.full(size, -1, np.int32)
    cdef Py_ssize_t i, wrong = -1
    cdef int32_t known = 0, number, is_new
    with nogil:
        for i in range(keys.shape[0]):
            if not 0 <= keys[i] < size:
                wrong = i
                break
            number = seen[keys[i]]
            is_new = -<int32_t> (number < 0)
            number = (known & is_new) | (number & ~is_new)  # no branch, as it cannot be predicted
            seen[keys[i]] = number
            out[i] = number
            out_first[known] = i  # known <= i; if it is not new, the next overwrites it
            known -= is_new
    if wrong >= 0:
        raise ValueError(f"key {keys[wrong]} is not below {size}")
    return numbers, first[:known].copy()
