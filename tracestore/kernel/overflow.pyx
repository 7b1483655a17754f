"""The ``<scope>.*`` column: rare keys, repeated keys and attributes without a value, in the order sent.

Its entries come from the log that keys share and from sparse columns too rare to become columns. They are
put in order by row with a counting sort; within a row by the row's sequence of keys.
"""

import numpy as np
import pyarrow as pa

from tracestore.model.tables import OVERFLOW, AttributeType

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from tracestore.kernel.dense cimport text_array
from tracestore.kernel.sparse cimport Attributes, Entry, SparseColumn, has_payload, lower_bound
from tracestore.kernel.texts cimport Bytes, Texts, add_text, free_texts, put, put_byte, text_size, text_start
from tracestore.kernel.values cimport (
    TYPE_ANY,
    TYPE_BOOL,
    TYPE_BOOLS,
    TYPE_BYTES,
    TYPE_EMPTY,
    TYPE_FLOAT,
    TYPE_FLOATS,
    TYPE_INT,
    TYPE_INTS,
    TYPE_KEY_VALUE,
    TYPE_NONE,
    TYPE_STRING,
    TYPE_STRINGS,
    Value,
    free_value,
    put_base64,
    put_double,
    put_integer,
    put_quoted,
    read_value,
)
from tracestore.kernel.wire cimport DEPTH_MAX, LENGTH, Field, Wire, next_field

TYPES = pa.array([*(kind.value for kind in AttributeType), "empty", "none", "keyvalue"])

cdef enum:
    LOG = -1

cdef struct Item:
    int32_t key
    int32_t column  # LOG: of the log
    int32_t at  # place in the column or log


cdef inline bint is_left(const Leftovers* l, const Entry* entry) noexcept nogil:
    """Tell whether an entry of the log has not moved to a column, and its row is there."""
    cdef int32_t column = l.attributes.keys[entry.key].column
    if entry.is_first and 0 <= column < l.columns:
        return False
    return l.position[entry.row] >= 0


cdef bint has_leftovers(const Leftovers* l) noexcept nogil:
    """Tell whether the column is needed."""
    cdef Attributes* a = l.attributes
    cdef SparseColumn* c
    cdef int32_t i, j
    for i in range(l.columns):
        c = &a.columns[i]
        if not l.is_own[i]:
            for j in range(lower_bound(c.rows, c.size, l.size)):
                if l.position[c.rows[j]] >= 0:
                    return True
    for i in range(a.log_size):
        if a.log[i].row >= l.size:
            break
        if is_left(l, &a.log[i]):
            return True
    return False


cdef int64_t visit(const Leftovers* l, int32_t* next_item, Item* items) noexcept nogil:
    """Go through all entries, the log first. Counts them by row + 1; with ``items``, places them.

    Args:
        next_item: (rows + 2,) with ``items``: where the next entry of row r goes, at r + 1.
    """
    cdef Attributes* a = l.attributes
    cdef SparseColumn* c
    cdef int32_t i, j, row
    cdef int64_t count = 0
    for i in range(a.log_size):
        if a.log[i].row >= l.size:
            break
        if is_left(l, &a.log[i]):
            place(&next_item[l.position[a.log[i].row] + 1], items, a.log[i].key, LOG, i)
            count += 1
    for i in range(l.columns):
        c = &a.columns[i]
        if l.is_own[i]:
            continue
        for j in range(lower_bound(c.rows, c.size, l.size)):
            row = l.position[c.rows[j]]
            if row >= 0:
                place(&next_item[row + 1], items, c.key, i, j)
                count += 1
    return count


cdef inline void place(
    int32_t* next_item, Item* items, int32_t key, int32_t column, int32_t at
) noexcept nogil:
    if items != NULL:
        items[next_item[0]].key = key
        items[next_item[0]].column = column
        items[next_item[0]].at = at
    next_item[0] += 1


cdef void sort_row(
    const Leftovers* l, int32_t arrival, Item* items, int32_t count, Item* scratch, int32_t[:, ::1] seen
) noexcept nogil:
    """Bring the entries of one row into the order sent.

    Those of the log are in order and come first. Walks along the row's keys: the first occurrence of a
    key may be in a sparse column or the log, further ones are in the log.

    Args:
        seen: (keys, 2) by key: last arrival row that had it + 1; place of its column entry + 1, then 0.
    """
    cdef Attributes* a = l.attributes
    cdef int32_t shape = (<const int32_t*>(l.shapes + arrival * l.stride))[0]
    cdef const int32_t* keys = <const int32_t*>text_start(&a.shapes, shape)
    cdef int32_t logged = 0
    cdef int32_t of_log, i, key
    cdef int32_t out = 0
    cdef bint repeats
    while logged < count and items[logged].column == LOG:
        logged += 1
    of_log = logged
    for i in range(of_log, count):
        seen[items[i].key, 1] = i + 1
    logged = 0
    for i in range(text_size(&a.shapes, shape) // <int32_t>sizeof(int32_t)):
        key = keys[i]
        repeats = seen[key, 0] == arrival + 1
        seen[key, 0] = arrival + 1
        if seen[key, 1]:
            scratch[out] = items[seen[key, 1] - 1]
            seen[key, 1] = 0
            out += 1
        elif (
            logged < of_log
            and items[logged].key == key
            and a.log[items[logged].at].repeats == repeats
        ):
            scratch[out] = items[logged]
            logged += 1
            out += 1
    if out == count:
        memcpy(items, scratch, count * sizeof(Item))


cdef overflow_array(const Leftovers* l):
    """Make the array, null where a row has no entry."""
    cdef Attributes* a = l.attributes
    cdef Texts texts
    ends_made = np.zeros(l.rows + 2, np.int32)
    cdef int32_t[::1] ends = ends_made
    cdef int64_t count
    with nogil:
        count = visit(l, &ends[0], NULL)
    np.cumsum(ends_made, out=ends_made)
    # Placing moves each start to its row's end, which is the start of the next: ends shift by one.
    items_made = np.empty((max(count, 1), 3), np.int32)
    scratch_made = np.empty((max(count, 1), 3), np.int32)
    seen_made = np.zeros((a.keys_known + 1, 2), np.int32)
    cdef int32_t[:, ::1] items = items_made
    cdef int32_t[:, ::1] scratch = scratch_made
    cdef int32_t[:, ::1] seen = seen_made
    starts_made = np.zeros(l.rows + 2, np.int32)
    starts_made[1:] = ends_made[: l.rows + 1]
    cdef int32_t[::1] starts = starts_made
    cdef int64_t row
    with nogil:
        visit(l, &starts[0], <Item*>&items[0, 0])
        for row in range(l.rows):
            if ends[row + 1] - ends[row] > 1:
                sort_row(
                    l,
                    <int32_t>l.order[row],
                    <Item*>&items[ends[row], 0],
                    ends[row + 1] - ends[row],
                    <Item*>&scratch[0, 0],
                    seen,
                )
    kinds_made = np.empty(max(count, 1), np.int8)
    cdef int8_t[::1] kinds = kinds_made
    memset(&texts, 0, sizeof(Texts))
    try:
        with nogil:
            write_texts(a, <Item*>&items[0, 0], count, &kinds[0], &texts)
        values = text_array(&texts, texts.count)
    finally:
        free_texts(&texts)
    return assemble(a, l.rows, count, ends_made, items_made, kinds_made, values)


cdef assemble(Attributes* a, rows, count, ends, items, kinds, values):
    keys = text_array(&a.key_texts, a.key_texts.count).take(pa.array(items[:count, 0].copy()))
    types = TYPES.take(pa.array(kinds[:count]))
    has_value = (kinds[:count] != TYPE_EMPTY) & (kinds[:count] != TYPE_NONE)
    buffers = [pa.py_buffer(np.packbits(has_value, bitorder="little")), *values.buffers()[1:]]
    values = pa.Array.from_buffers(pa.string(), count, buffers)
    entries = pa.StructArray.from_arrays([keys, types, values], fields=list(OVERFLOW.value_type))
    valid = np.packbits(ends[1 : rows + 1] != ends[:rows], bitorder="little")
    buffers = [pa.py_buffer(valid), pa.py_buffer(ends[: rows + 1])]
    return pa.Array.from_buffers(OVERFLOW, rows, buffers, children=[entries])


cdef int write_texts(
    Attributes* a, const Item* items, int64_t count, int8_t* kinds, Texts* texts
) except -1 nogil:
    cdef Bytes out
    cdef int64_t i
    memset(&out, 0, sizeof(Bytes))
    try:
        for i in range(count):
            out.size = 0
            if items[i].column == LOG:
                kinds[i] = <int8_t>a.log[items[i].at].type
                put_entry(&out, a, &a.log[items[i].at])
            else:
                kinds[i] = <int8_t>a.columns[items[i].column].type
                put_cell(&out, &a.columns[items[i].column], items[i].at)
            add_text(texts, out.data, out.size)
    finally:
        free(out.data)
    return 0


cdef int put_entry(Bytes* out, Attributes* a, const Entry* entry) except -1 nogil:
    """Write the text of an entry of the log."""
    cdef Wire data
    cdef uint32_t size
    if entry.type == TYPE_EMPTY or entry.type == TYPE_NONE:
        return 0
    if not has_payload(entry.type):
        return put_scalar(out, entry.type, entry.value)
    data = a.pool.data + entry.value + sizeof(uint32_t)
    memcpy(&size, a.pool.data + entry.value, sizeof(uint32_t))
    if entry.type == TYPE_BYTES:
        return put_base64(out, data, data + size)
    if TYPE_STRINGS <= entry.type <= TYPE_BOOLS:
        return put_array(out, entry.type, data, data + size)
    return put(out, data, size)


cdef int put_array(Bytes* out, int type, Wire p, Wire end) except -1 nogil:
    """Write the elements of an ArrayValue as a JSON array."""
    cdef Field field
    cdef Value element
    cdef bint follows = False
    put_byte(out, c"[")
    while p < end:
        p = next_field(p, end, DEPTH_MAX, &field)
        if p == NULL:
            break
        if field.wire_type != LENGTH or field.number != 1:
            continue
        read_value(field.data, field.end, &element)
        free_value(&element)
        if follows:
            put_byte(out, c",")
        follows = True
        if type == TYPE_STRINGS:
            put_quoted(out, element.data, element.end)
        else:
            put_element(out, type, element.number)
    return put_byte(out, c"]")


cdef int put_cell(Bytes* out, const SparseColumn* c, int32_t at) except -1 nogil:
    """Write the text of a value of a sparse column."""
    cdef Wire start
    cdef int32_t text
    cdef uint64_t i, begin
    if c.type == TYPE_BOOL:
        return put_scalar(out, c.type, c.bools[at])
    if c.type == TYPE_INT or c.type == TYPE_FLOAT:
        return put_scalar(out, c.type, c.wide[at])
    if c.type == TYPE_STRING or c.type == TYPE_ANY or c.type == TYPE_BYTES:
        text = at if c.type == TYPE_BYTES else c.codes[at]
        start = text_start(&c.texts, text)
        if c.type == TYPE_BYTES:
            return put_base64(out, start, start + text_size(&c.texts, text))
        return put(out, start, text_size(&c.texts, text))
    put_byte(out, c"[")
    begin = c.wide[at - 1] if at else 0
    for i in range(begin, c.wide[at]):
        if i > begin:
            put_byte(out, c",")
        if c.type == TYPE_STRINGS:
            start = text_start(&c.texts, <int32_t>i)
            put_quoted(out, start, start + text_size(&c.texts, <int32_t>i))
        else:
            put_element(out, c.type, c.items[i])
    return put_byte(out, c"]")


cdef int put_element(Bytes* out, int type, uint64_t number) except -1 nogil:
    """Write an element of a list: JSON, in which an odd double is a string."""
    if type == TYPE_FLOATS:
        return put_double(out, number, True)
    return put_scalar(out, TYPE_INT if type == TYPE_INTS else TYPE_BOOL, number)


cdef int put_scalar(Bytes* out, int type, uint64_t number) except -1 nogil:
    if type == TYPE_INT:
        return put_integer(out, <int64_t>number)
    if type == TYPE_FLOAT:
        return put_double(out, number, False)
    return put(out, "true", 4) if number else put(out, "false", 5)
