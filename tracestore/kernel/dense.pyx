"""Rows and sparse columns -> Arrow arrays in the final order of the rows.

Every function copies: the caller holds the builder's lock, and what it gets is its own.
"""

import numpy as np
import pyarrow as pa

from tracestore.model.tables import TEXT

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from tracestore.kernel.sparse cimport Attributes, SparseColumn, lower_bound
from tracestore.kernel.texts cimport Texts
from tracestore.kernel.values cimport (
    TYPE_ANY,
    TYPE_BOOL,
    TYPE_BYTES,
    TYPE_FLOAT,
    TYPE_FLOATS,
    TYPE_INT,
    TYPE_INTS,
    TYPE_STRING,
    TYPE_STRINGS,
)


cdef gather(const void* base, int64_t stride, int width, const int64_t[::1] order):
    """Copy ``width`` (1, 4, 8 or 16) bytes out of each row, in the order given: (N * width,) uint8."""
    cdef int64_t n = order.shape[0]
    made = np.empty(max(n * width, 1), np.uint8)
    cdef uint8_t[::1] view = made
    cdef uint8_t* out = &view[0]
    cdef const char* rows = <const char*>base
    cdef int64_t i
    with nogil:
        if width == 4:
            for i in range(n):
                (<uint32_t*>out)[i] = (<const uint32_t*>(rows + order[i] * stride))[0]
        elif width == 8:
            for i in range(n):
                (<uint64_t*>out)[i] = (<const uint64_t*>(rows + order[i] * stride))[0]
        else:
            for i in range(n):
                memcpy(out + i * width, rows + order[i] * stride, width)
    return made[: n * width]


cdef copy_out(const void* data, int64_t size):
    """Copy bytes into an array of their own."""
    made = np.empty(max(size, 1), np.uint8)
    cdef uint8_t[::1] view = made
    if size:
        memcpy(&view[0], data, size)
    return made[:size]


cdef text_array(const Texts* texts, int32_t count, object kind=pa.string()):
    """Make an Arrow array of the first ``count`` texts."""
    cdef int64_t size = texts.ends[count] if count else 0
    ends = copy_out(texts.ends, 4 * (count + 1)) if count else np.zeros(1, np.int32)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(copy_out(texts.bytes, size))]
    return pa.Array.from_buffers(kind, count, buffers, null_count=0)


cdef primitive_array(object kind, object values, object valid=None):
    """Wrap a numpy array of the right width; ``valid`` is a bitmap or None."""
    length = values.nbytes // (kind.bit_width // 8)
    buffers = [None if valid is None else pa.py_buffer(valid), pa.py_buffer(values)]
    return pa.Array.from_buffers(kind, length, buffers)


cdef dictionary_array(object codes, object valid, object dictionary):
    """Wrap (N,) int32 codes; ``valid`` is a bitmap or None."""
    buffers = [None if valid is None else pa.py_buffer(valid), pa.py_buffer(codes)]
    return pa.DictionaryArray.from_buffers(TEXT, codes.nbytes // 4, buffers, dictionary)


cdef pack_valid(object mask):
    """Make an Arrow bitmap of a boolean mask; None if all is valid."""
    return None if mask.all() else np.packbits(mask, bitorder="little")


cdef column_array(
    Attributes* a, int32_t number, int32_t size, const int32_t[::1] position, int64_t rows
):
    """Make the dense array of a sparse column.

    Args:
        size: rows of arrival that there are.
        position: (size,) their final rows, -1: left out.
        rows: final rows.
    """
    cdef SparseColumn* c = &a.columns[number]
    cdef int32_t count = lower_bound(c.rows, c.size, size)
    if c.type == TYPE_BOOL:
        return bool_array(c, count, position, rows)
    if c.type == TYPE_INT or c.type == TYPE_FLOAT:
        return number_array(c, count, position, rows)
    if c.type == TYPE_STRING or c.type == TYPE_ANY:
        return coded_array(c, count, position, rows)
    if c.type == TYPE_BYTES:
        return text_array(&c.texts, count, pa.binary()).take(places(c, count, position, rows))
    return list_array(c, count).take(places(c, count, position, rows))


cdef new_bitmap(int64_t rows):
    return np.zeros((rows + 7) // 8 + 1, np.uint8)


cdef coded_array(SparseColumn* c, int32_t count, const int32_t[::1] position, int64_t rows):
    made, valid = np.zeros(rows + 1, np.int32), new_bitmap(rows)
    cdef int32_t[::1] out = made
    cdef uint8_t[::1] bits = valid
    cdef int32_t i, at
    cdef int64_t found = 0
    with nogil:
        for i in range(count):
            at = position[c.rows[i]]
            if at >= 0:
                out[at] = c.codes[i]
                bits[at >> 3] |= <uint8_t>(1 << (at & 7))
                found += 1
    dictionary = text_array(&c.texts, c.texts.count)
    return dictionary_array(made[:rows], None if found == rows else valid, dictionary)


cdef number_array(SparseColumn* c, int32_t count, const int32_t[::1] position, int64_t rows):
    made, valid = np.zeros(rows + 1, np.uint64), new_bitmap(rows)
    cdef uint64_t[::1] out = made
    cdef uint8_t[::1] bits = valid
    cdef int32_t i, at
    cdef int64_t found = 0
    with nogil:
        for i in range(count):
            at = position[c.rows[i]]
            if at >= 0:
                out[at] = c.wide[i]
                bits[at >> 3] |= <uint8_t>(1 << (at & 7))
                found += 1
    kind = pa.int64() if c.type == TYPE_INT else pa.float64()
    return primitive_array(kind, made[:rows], None if found == rows else valid)


cdef bool_array(SparseColumn* c, int32_t count, const int32_t[::1] position, int64_t rows):
    made, valid = new_bitmap(rows), new_bitmap(rows)
    cdef uint8_t[::1] out = made
    cdef uint8_t[::1] bits = valid
    cdef int32_t i, at
    with nogil:
        for i in range(count):
            at = position[c.rows[i]]
            if at >= 0:
                out[at >> 3] |= <uint8_t>(c.bools[i] << (at & 7))
                bits[at >> 3] |= <uint8_t>(1 << (at & 7))
    return pa.Array.from_buffers(pa.bool_(), rows, [pa.py_buffer(valid), pa.py_buffer(made)])


cdef places(SparseColumn* c, int32_t count, const int32_t[::1] position, int64_t rows):
    """For each final row the place of its value in the sparse column, or null."""
    made, valid = np.zeros(rows + 1, np.int32), new_bitmap(rows)
    cdef int32_t[::1] out = made
    cdef uint8_t[::1] bits = valid
    cdef int32_t i, at
    for i in range(count):
        at = position[c.rows[i]]
        if at >= 0:
            out[at] = i
            bits[at >> 3] |= <uint8_t>(1 << (at & 7))
    return primitive_array(pa.int32(), made[:rows], valid)


cdef list_array(SparseColumn* c, int32_t count):
    """Make the lists of a column, one behind another as they arrived."""
    cdef int64_t items = c.wide[count - 1] if count else 0
    ends = np.zeros(count + 1, np.int32)
    ends[1:] = copy_out(c.wide, 8 * <int64_t>count).view(np.uint64)
    if c.type == TYPE_STRINGS:
        values = text_array(&c.texts, <int32_t>items)
    else:
        numbers = copy_out(c.items, 8 * items).view(np.uint64)
        if c.type == TYPE_INTS:
            values = primitive_array(pa.int64(), numbers)
        elif c.type == TYPE_FLOATS:
            values = primitive_array(pa.float64(), numbers)
        else:
            values = pa.array(numbers != 0)
    return pa.ListArray.from_arrays(pa.array(ends), values)
