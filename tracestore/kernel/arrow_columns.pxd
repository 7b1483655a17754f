"""An Arrow column as pointers, so that a row of it is read without Python."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

cdef enum ColumnKind:
    TEXT = 0  # dictionary: codes into offsets into data
    RAW = 1  # the same, and the bytes are an encoded AnyValue
    NUMBER = 2  # data of ``width`` bytes a row
    FLOAT = 3
    BOOL = 4
    BYTES = 5  # offsets into data
    TEXT_LIST = 6  # lists: codes are the offsets of the elements
    NUMBER_LIST = 7
    FLOAT_LIST = 8
    BOOL_LIST = 9

cdef struct Column:
    int kind
    int width
    const uint8_t* validity  # NULL: no nulls
    Py_ssize_t bit  # where row 0 stands in validity
    const int32_t* codes
    const int32_t* offsets
    const uint8_t* data
    Py_ssize_t data_bit  # where row 0 (or element 0) stands in the data of bools
    Py_ssize_t entries  # of the dictionary
    int32_t key  # number of the attribute key


cdef inline bint is_valid(const Column* column, Py_ssize_t row) noexcept nogil:
    if column.validity == NULL:
        return True
    return column.validity[(column.bit + row) >> 3] >> ((column.bit + row) & 7) & 1


cdef inline bint bool_at(const Column* column, Py_ssize_t row) noexcept nogil:
    return column.data[(column.data_bit + row) >> 3] >> ((column.data_bit + row) & 7) & 1


cdef inline int64_t int64_at(const Column* column, Py_ssize_t row) noexcept nogil:
    return (<const int64_t*> column.data)[row]


cdef inline int32_t int32_at(const Column* column, Py_ssize_t row) noexcept nogil:
    return (<const int32_t*> column.data)[row]


cdef inline const uint8_t* span_of(const Column* column, Py_ssize_t entry, Py_ssize_t* length) noexcept nogil:
    """Find the bytes between two offsets."""
    length[0] = column.offsets[entry + 1] - column.offsets[entry]
    return column.data + column.offsets[entry]


cdef int bind(Column* column, object array, object keep) except -1
