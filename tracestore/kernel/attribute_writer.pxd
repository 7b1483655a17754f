"""The attributes of the rows of one table, written in the order in which they were sent."""

from libc.stdint cimport int32_t, uint8_t

from tracestore.kernel.arrow_columns cimport Column
from tracestore.kernel.writer cimport Writer


cdef class AttributeWriter:
    cdef Column* columns
    cdef Py_ssize_t count
    cdef uint8_t tag
    cdef object keep  # what the pointers point into
    cdef dict key_numbers
    cdef const uint8_t[::1] key_bytes  # the key field of each key, one behind the other
    cdef const int32_t[::1] key_offsets
    cdef const int32_t[::1] first_column  # columns of a key: from here to that of the next key
    cdef Column order  # codes into the next three
    cdef bint has_order
    cdef const int32_t[::1] order_offsets
    cdef const int32_t[::1] order_key
    cdef const int32_t[::1] order_occurrence  # 0: the first time that the row has the key
    cdef int32_t[::1] only_column  # of a row without an order; -1: none
    cdef const int32_t[::1] entry_offsets  # overflow: entries of a row
    cdef const int32_t[::1] entry_key
    cdef const int32_t[::1] entry_bytes  # offsets into entry_data: the KeyValue
    cdef const uint8_t[::1] entry_data

    cdef int write(self, Writer* out, Py_ssize_t row) except -1 nogil
    cdef int write_unordered(self, Writer* out, Py_ssize_t row) except -1 nogil
    cdef int write_pair(self, Writer* out, const Column* column, Py_ssize_t row) except -1 nogil
    cdef Py_ssize_t find_column(self, int32_t key, Py_ssize_t row) except -2 nogil
    cdef Py_ssize_t find_entry(self, int32_t key, int32_t occurrence, Py_ssize_t row) except -2 nogil
    cdef int write_entry(self, Writer* out, Py_ssize_t entry) except -1 nogil
