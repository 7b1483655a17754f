from libc.stdint cimport int32_t, int64_t, uint8_t

from tracestore.kernel.sparse cimport Attributes

cdef struct Leftovers:  # what of a table's attributes has no column of its own
    Attributes* attributes
    int32_t size  # rows of arrival
    int32_t columns  # sparse columns there were
    const uint8_t* is_own  # (columns,) which of them are columns of the table
    const int32_t* position  # (size,) final rows, -1: left out
    int64_t rows  # final rows
    const int64_t* order  # (rows,) rows of arrival
    const char* shapes  # the shape of the first row of arrival
    int64_t stride  # and how far it is to the next

cdef bint has_leftovers(const Leftovers* l) noexcept nogil
cdef overflow_array(const Leftovers* l)
