"""The rows of a builder in the order in which they came, with numbers in place of texts.

Nothing is sorted and nothing made dense: who counts spans as they come reads what is new since the
last time, and translates each text once. All functions take the builder's lock.
"""

import struct

import numpy as np
import pyarrow as pa

from tracestore.model.tables import AttributeType, Table

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from tracestore.kernel.builder cimport SpanBuilder
from tracestore.kernel.head cimport (
    RESOURCES,
    SPAN_NAME,
    SPANS,
    STATUS_MESSAGE,
    TRACE_STATE,
    SpanRow,
)
from tracestore.kernel.sparse cimport Attributes, Entry, SparseColumn, lower_bound
from tracestore.kernel.text_table cimport text_array, texts_at
from tracestore.kernel.texts cimport Bytes, Texts, find_text, put, put_byte, text_start
from tracestore.kernel.values cimport (
    TYPE_ANY,
    TYPE_BOOL,
    TYPE_BYTES,
    TYPE_FLOAT,
    TYPE_INT,
    TYPE_STRING,
    TYPE_STRINGS,
    put_value,
)
from tracestore.kernel.wire cimport Wire

TYPES = list(AttributeType)
DICTIONARIES = {"name": SPAN_NAME, "status_message": STATUS_MESSAGE, "trace_state": TRACE_STATE}


cdef object span_dtype():
    cdef SpanRow row
    cdef char* base = <char*>&row
    places = {
        "span_id": ("u8", <char*>&row.span_id - base),
        "parent_id": ("u8", <char*>&row.parent_id - base),
        "start_ns": ("u8", <char*>&row.start_ns - base),
        "duration": ("i8", <char*>&row.duration - base),
        "trace": ("i4", <char*>&row.trace - base),
        "resource": ("i4", <char*>&row.resource - base),
        "name": ("i4", <char*>&row.name - base),
        "kind": ("i4", <char*>&row.kind - base),
        "status_code": ("i4", <char*>&row.status_code - base),
        "status_message": ("i4", <char*>&row.status_message - base),
        "trace_state": ("i4", <char*>&row.trace_state - base),
        "wire_size": ("u4", <char*>&row.wire_size - base),
        "has_parent": ("u1", <char*>&row.has_parent - base),
    }
    return np.dtype(
        {
            "names": list(places),
            "formats": [kind for kind, _ in places.values()],
            "offsets": [at for _, at in places.values()],
            "itemsize": sizeof(SpanRow),
        }
    )


SPAN_DTYPE = span_dtype()


def arrived_spans(SpanBuilder builder, Py_ssize_t start, Py_ssize_t stop):
    """Copy rows: (n,) of ``SPAN_DTYPE``, and (n, 2) uint64, the bytes of the trace IDs."""
    cdef const SpanRow* rows
    cdef Texts* ids = &builder.head.trace_ids
    cdef Py_ssize_t i
    cdef Py_ssize_t count = max(0, stop - start)
    found = np.empty(count, SPAN_DTYPE)
    trace_ids = np.empty((count, 2), np.uint64)
    cdef uint64_t[:, ::1] id_view = trace_ids
    cdef size_t target = found.ctypes.data
    with builder.lock:
        if start < 0 or stop > builder.head.rows[SPANS].size:
            raise IndexError("rows that have not come")
        rows = <const SpanRow*>builder.head.rows[SPANS].data + start
        if count:
            memcpy(<void*>target, rows, count * sizeof(SpanRow))
        for i in range(count):
            memcpy(&id_view[i, 0], text_start(ids, rows[i].trace), 16)
    return found, trace_ids


def arrived_resources(SpanBuilder builder):
    """Count the resources so far."""
    return builder.head.rows[RESOURCES].size


def arrived_texts(SpanBuilder builder, str column, const int32_t[::1] numbers):
    """Copy the texts that numbers of a column stand for. The text 0 is empty."""
    cdef Texts* texts = &builder.head.texts[<int>DICTIONARIES[column]]
    with builder.lock:
        return texts_at(texts, numbers)


def arrived_keys(SpanBuilder builder, table, Py_ssize_t start):
    """Get the keys that rows of a table have, from number ``start`` on."""
    with builder.lock:
        return text_array(&builder.head.attributes[number_of(table)].key_texts, start)


def arrived_values(SpanBuilder builder, table, str key, Py_ssize_t start, Py_ssize_t stop):
    """Get the first value of a key in rows ``start`` to ``stop``, in parts of one type each."""
    cdef Attributes* a = &builder.head.attributes[number_of(table)]
    cdef int32_t number, at, low, high
    cdef bytes name = key.encode()
    cdef SparseColumn* c
    parts = []
    with builder.lock:
        number = find_text(&a.hash_key, &a.key_texts, <Wire><const char*>name, len(name))
        if number < 0:
            return parts
        at = a.keys[number].column
        while at >= 0:
            c = &a.columns[at]
            low = lower_bound(c.rows, c.size, <int32_t>start)
            high = lower_bound(c.rows, c.size, <int32_t>stop)
            if high > low:
                parts.append((TYPES[c.type], at, copy_int32(c.rows, low, high), values(c, low, high)))
            at = c.next
        parts += logged_values(a, number, start, stop)
    return parts


def arrived_value_texts(
    SpanBuilder builder, table, int32_t column, const int32_t[::1] numbers
):
    """Copy the texts of a column of strings, or of JSON."""
    with builder.lock:
        return texts_at(&builder.head.attributes[number_of(table)].columns[column].texts, numbers)


cdef int number_of(table) except -1:
    return SPANS if table is Table.SPANS else RESOURCES


cdef object copy_int32(const int32_t* source, int32_t low, int32_t high):
    found = np.empty(high - low, np.int32)
    cdef int32_t[::1] view = found
    memcpy(&view[0], source + low, (high - low) * sizeof(int32_t))
    return found


cdef object copy_wide(const uint64_t* source, int64_t low, int64_t high, kind):
    found = np.empty(high - low, np.uint64)
    cdef uint64_t[::1] view = found
    if high > low:
        memcpy(&view[0], source + low, (high - low) * sizeof(uint64_t))
    return found.view(kind)


cdef object values(const SparseColumn* c, int32_t low, int32_t high):
    """Copy values: numbers of texts, numbers, or of lists an Arrow array."""
    if c.type == TYPE_STRING or c.type == TYPE_ANY:
        return copy_int32(c.codes, low, high)
    if c.type == TYPE_INT:
        return copy_wide(c.wide, low, high, np.int64)
    if c.type == TYPE_FLOAT:
        return copy_wide(c.wide, low, high, np.float64)
    if c.type == TYPE_BOOL:
        return np.frombuffer((<const char*>c.bools)[low:high], np.bool_)
    if c.type == TYPE_BYTES:
        return None
    cdef int64_t first = <int64_t>c.wide[low - 1] if low else 0
    ends = copy_wide(c.wide, low, high, np.int64)
    offsets = np.concatenate([[first], ends]).astype(np.int32) - first
    if c.type == TYPE_STRINGS:
        items = text_array(&c.texts, first)[: ends[-1] - first]
    else:
        wide = copy_wide(c.items, first, ends[-1], np.int64)
        kind = TYPES[c.type]
        if kind is AttributeType.FLOAT_LIST:
            wide = wide.view(np.float64)
        items = pa.array(wide != 0 if kind is AttributeType.BOOL_LIST else wide)
    return pa.ListArray.from_arrays(pa.array(offsets), items)


cdef list logged_values(Attributes* a, int32_t key, Py_ssize_t start, Py_ssize_t stop):
    """Get values that have no column yet, few: each with its row and as what it is, or JSON."""
    cdef int32_t at = a.keys[key].logged
    cdef Entry* entry
    found = []
    while at >= 0:
        entry = &a.log[at]
        if start <= entry.row < stop:
            found.append((TYPES[entry.type], -1, entry.row, logged_value(a, entry)))
        at = entry.previous
    return found


cdef object logged_value(Attributes* a, const Entry* entry):
    cdef uint32_t size
    cdef Wire data
    cdef Bytes message
    cdef Bytes text
    if entry.type == TYPE_INT:
        return <int64_t>entry.value
    if entry.type == TYPE_BOOL:
        return entry.value != 0
    if entry.type == TYPE_FLOAT:
        return struct.unpack("<d", struct.pack("<Q", entry.value))[0]
    if entry.type == TYPE_BYTES:
        return None
    memcpy(&size, a.pool.data + entry.value, sizeof(uint32_t))
    data = a.pool.data + entry.value + sizeof(uint32_t)
    if entry.type == TYPE_STRING or entry.type == TYPE_ANY:
        return (<const char*>data)[:size].decode("utf-8", "replace")
    memset(&message, 0, sizeof(Bytes))
    memset(&text, 0, sizeof(Bytes))
    try:
        put_byte(&message, 0x2A)  # AnyValue.array_value
        while size >= 0x80:
            put_byte(&message, <uint8_t>(size & 0x7F | 0x80))
            size >>= 7
        put_byte(&message, <uint8_t>size)
        memcpy(&size, a.pool.data + entry.value, sizeof(uint32_t))
        put(&message, data, size)
        put_value(&text, message.data, message.data + message.size)
        return (<const char*>text.data)[: text.size].decode("utf-8", "replace")
    finally:
        free(message.data)
        free(text.data)
