"""``TextTable``: texts, or rows of numbers, that are stored once and known by a number, for Python."""

import numpy as np
import pyarrow as pa

from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from tracestore.kernel.texts cimport (
    HashKey,
    Texts,
    find_text,
    free_texts,
    intern,
    text_size,
    text_start,
    texts_memory,
)
from tracestore.kernel.wire cimport Wire


cdef class TextTable:
    """Numbers of distinct byte strings, in the order in which they first came.

    Not thread-safe by itself, but every method runs under the GIL.
    """

    cdef Texts texts
    cdef HashKey key

    def __cinit__(self):
        cdef uint64_t first = <uint64_t><int64_t>hash(b"tracestore table, first key") | 1
        cdef uint64_t second = <uint64_t><int64_t>hash(b"tracestore table, second key") | 1
        self.key.first = first * 0x9E3779B97F4A7C15ULL
        self.key.second = second * 0xD6E8FEB86659FD93ULL

    def __dealloc__(self):
        free_texts(&self.texts)

    def __len__(self):
        return self.texts.count

    @property
    def memory_bytes(self):
        return texts_memory(&self.texts)

    def intern(self, const uint8_t[::1] data, const int32_t[::1] offsets, int64_t most=INT32_MAX):
        """Number each string; new ones get the next number while there are fewer than ``most``."""
        cdef Py_ssize_t count = offsets.shape[0] - 1
        cdef Py_ssize_t i
        cdef int32_t begin = 0
        cdef int32_t end = 0
        cdef Wire start = &data[0] if data.shape[0] else <Wire>b""
        cdef int32_t[::1] found = np.empty(max(count, 0), np.int32)
        if count > 0 and (offsets[0] < 0 or offsets[count] > data.shape[0]):
            raise ValueError("offsets outside the data")
        for i in range(count):
            begin, end = offsets[i], offsets[i + 1]
            if not 0 <= begin <= end <= data.shape[0]:
                raise ValueError("offsets do not ascend")
            if self.texts.count < most:
                found[i] = intern(&self.key, &self.texts, start + begin, end - begin)
            else:
                found[i] = find_text(&self.key, &self.texts, start + begin, end - begin)
        return np.asarray(found)

    def intern_rows(self, const int32_t[:, ::1] rows, int64_t most=INT32_MAX):
        """Number each row of a matrix likewise."""
        cdef Py_ssize_t i
        cdef int64_t size = rows.shape[1] * <int64_t>sizeof(int32_t)
        cdef int32_t[::1] found = np.empty(rows.shape[0], np.int32)
        cdef Wire at
        for i in range(rows.shape[0]):
            at = <Wire>&rows[i, 0] if size else <Wire>b""
            if self.texts.count < most:
                found[i] = intern(&self.key, &self.texts, at, size)
            else:
                found[i] = find_text(&self.key, &self.texts, at, size)
        return np.asarray(found)

    def rows(self, Py_ssize_t width, Py_ssize_t start=0):
        """Get the rows from ``start`` on as a matrix; all strings must have been such rows."""
        cdef Py_ssize_t count = max(0, self.texts.count - start)
        cdef int64_t size = width * <int64_t>sizeof(int32_t)
        found = np.empty((count, width), np.int32)
        cdef int32_t[:, ::1] view = found
        if count and size:
            if text_size(&self.texts, <int32_t>start) != size:
                raise ValueError("rows are of another width")
            memcpy(&view[0, 0], text_start(&self.texts, <int32_t>start), count * size)
        return found

    def text(self, Py_ssize_t number):
        """Get the bytes of a string."""
        if not 0 <= number < self.texts.count:
            raise IndexError(number)
        cdef Wire at = text_start(&self.texts, <int32_t>number)
        return (<const char*>at)[: text_size(&self.texts, <int32_t>number)]

    def take(self, const int32_t[::1] numbers):
        """Copy the strings of some numbers, as an Arrow array of text."""
        return texts_at(&self.texts, numbers)

    def array(self, Py_ssize_t start=0):
        """Copy the strings from number ``start`` on, as an Arrow array of text."""
        return text_array(&self.texts, start)


cdef object text_array(const Texts* texts, Py_ssize_t start):
    cdef Py_ssize_t count = texts.count - start
    cdef int64_t size
    if count <= 0:
        return pa.array([], pa.string())
    offsets = np.empty(count + 1, np.int32)
    cdef int32_t[::1] ends = offsets
    memcpy(&ends[0], texts.ends + start, (count + 1) * sizeof(int32_t))
    size = ends[count] - ends[0]
    data = (<const char*>text_start(texts, <int32_t>start))[:size] if size else b""
    return pa.StringArray.from_buffers(
        count, pa.py_buffer(offsets - offsets[0]), pa.py_buffer(data)
    )


cdef object texts_at(const Texts* texts, const int32_t[::1] numbers):
    """Copy some strings."""
    cdef Py_ssize_t count = numbers.shape[0]
    cdef Py_ssize_t i
    offsets = np.zeros(count + 1, np.int32)
    cdef int32_t[::1] ends = offsets
    for i in range(count):
        if not 0 <= numbers[i] < texts.count:
            raise IndexError(numbers[i])
        if <int64_t>ends[i] + text_size(texts, numbers[i]) > INT32_MAX:
            raise MemoryError("more than 2 GiB of text at once")
        ends[i + 1] = ends[i] + text_size(texts, numbers[i])
    data = np.empty(max(ends[count], 1), np.uint8)
    cdef uint8_t[::1] bytes_view = data
    for i in range(count):
        if ends[i + 1] > ends[i]:
            memcpy(&bytes_view[ends[i]], text_start(texts, numbers[i]), ends[i + 1] - ends[i])
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(data))
