"""Which attributes of a table get columns of their own.

A pair of key and type does if one row in 256 carries it, the most frequent first, up to a number that is
set and to 16 columns more than 32 times the mean number of attributes of a row: so that whatever a sender
makes up, the cells of the dense columns stay in proportion to what was sent.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracestore.model.tables import AttributeType

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from tracestore.kernel.dense cimport text_array
from tracestore.kernel.sparse cimport Attributes, Entry, SparseColumn, lower_bound, promote
from tracestore.kernel.texts cimport text_size, text_start
from tracestore.kernel.values cimport COLUMN_TYPES

TYPES = list(AttributeType)

cdef enum:
    ROWS_PER_VALUE_MAX = 256
    CELLS_PER_VALUE_MAX = 32
    CELLS_PER_ROW = 16


cdef choose_columns(
    Attributes* a, int32_t size, const int32_t[::1] position, int64_t rows, int64_t columns_max
):
    """Choose, and see to it that what is chosen has a sparse column.

    Args:
        size: rows of arrival that there are.
        position: (size,) their final rows, -1: left out.
        rows: final rows.
    Returns: list of (key, type, column number), in the order in which the columns should stand.
    """
    keys, types, counts = count_pairs(a, size, position, rows)
    cdef int64_t values = counts.sum()
    if rows:
        columns_max = min(columns_max, CELLS_PER_ROW + CELLS_PER_VALUE_MAX * values // rows)
    often = (counts > 0) & (counts * ROWS_PER_VALUE_MAX >= rows)
    keys, types, counts = keys[often], types[often], counts[often]
    if len(keys) > columns_max:
        found = select_most_frequent(a, keys, types, counts, columns_max)
        keys, types, counts = keys[found], types[found], counts[found]
    pairs = [
        (key_bytes(a, key), -count, type, key)
        for key, type, count in zip(keys.tolist(), types.tolist(), counts.tolist(), strict=True)
    ]
    return [(key.decode(), type, find_column(a, n, type)) for key, _, type, n in sorted(pairs)]


cdef find_columns(
    Attributes* a, int32_t size, const int32_t[::1] position, int64_t rows, wanted
):
    """Find the pairs of key and type that are wanted and there: (key, AttributeType) -> column."""
    keys, types, counts = count_pairs(a, size, position, rows)
    found = {}
    for key, type in zip(keys[counts > 0].tolist(), types[counts > 0].tolist(), strict=True):
        pair = (key_bytes(a, key).decode(), TYPES[type])
        if pair in wanted:
            found[pair] = find_column(a, key, type)
    return found


cdef select_most_frequent(Attributes* a, keys, types, counts, int64_t columns_max):
    """Get the places of the most frequent pairs; ties go by key, then type."""
    names = text_array(&a.key_texts, a.key_texts.count).take(pa.array(keys))
    table = pa.table({"count": counts, "key": names, "type": types})
    order = [("count", "descending"), ("key", "ascending"), ("type", "ascending")]
    return pc.select_k_unstable(table, columns_max, sort_keys=order).to_numpy()


cdef bytes key_bytes(Attributes* a, int32_t key):
    return text_start(&a.key_texts, key)[: text_size(&a.key_texts, key)]


cdef int32_t find_column(Attributes* a, int32_t key, int32_t type) except -1:
    cdef int32_t at
    if a.keys[key].column < 0:
        promote(a, key)
    at = a.keys[key].column
    while a.columns[at].type != type:
        at = a.columns[at].next
    return at


cdef count_pairs(Attributes* a, int32_t size, const int32_t[::1] position, int64_t rows):
    """Count the rows of each pair of key and type: arrays of keys, types and counts."""
    cdef int64_t most = a.columns_size + a.log_size
    keys, types, counts = np.empty(most, np.int32), np.empty(most, np.int32), np.empty(most, np.int64)
    cdef int32_t[::1] out_keys = keys
    cdef int32_t[::1] out_types = types
    cdef int64_t[::1] out_counts = counts
    cdef int64_t[COLUMN_TYPES] of_type
    cdef int64_t n = 0
    cdef int32_t i, type
    with nogil:
        for i in range(a.columns_size):
            out_keys[n], out_types[n] = a.columns[i].key, a.columns[i].type
            out_counts[n] = count_column(&a.columns[i], size, position, rows)
            n += 1
        for i in range(a.keys_known):
            if a.keys[i].column >= 0 or a.keys[i].waiting == 0:
                continue
            count_logged(a, i, size, position, of_type)
            for type in range(COLUMN_TYPES):
                if of_type[type]:
                    out_keys[n], out_types[n], out_counts[n] = i, type, of_type[type]
                    n += 1
    return keys[:n], types[:n], counts[:n]


cdef int64_t count_column(
    SparseColumn* c, int32_t size, const int32_t[::1] position, int64_t rows
) noexcept nogil:
    cdef int32_t count = lower_bound(c.rows, c.size, size)
    cdef int64_t kept = 0
    cdef int32_t i
    if rows == size:
        return count
    for i in range(count):
        kept += position[c.rows[i]] >= 0
    return kept


cdef void count_logged(
    Attributes* a, int32_t key, int32_t size, const int32_t[::1] position, int64_t* of_type
) noexcept nogil:
    cdef Entry* entry
    cdef int32_t at = a.keys[key].logged
    memset(of_type, 0, COLUMN_TYPES * sizeof(int64_t))
    while at >= 0:
        entry = &a.log[at]
        if entry.row < size and position[entry.row] >= 0:
            of_type[entry.type] += 1
        at = entry.previous
