"""Sparse columns of attributes: what ``sparse.pyx`` fills and ``frozen.pyx`` reads."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from tracestore.kernel.texts cimport Bytes, HashKey, Texts
from tracestore.kernel.values cimport TYPE_ANY, TYPE_BOOL, TYPE_KEY_VALUE, TYPE_STRING
from tracestore.kernel.wire cimport Wire

cdef struct Key:
    int32_t last_row  # last row that has the key, -1: none
    int32_t follower  # key that came behind it last time, -1: none
    int32_t column  # its oldest column, -1: its values are in the log
    int32_t logged  # last entry of the log that belongs into a column, -1: none
    int32_t waiting  # number of those


cdef struct SparseColumn:  # the values of one key that have one type
    int32_t key
    int32_t type
    int32_t next  # the next younger column of the key, -1: none
    int32_t size
    int64_t capacity
    int32_t* rows  # ascending
    uint64_t* wide  # of int and double: the value; of lists: where it ends in ``items``
    int32_t* codes  # of string and any: the number in ``texts``
    uint8_t* bools
    Texts texts  # dictionary of string and any; values of bytes; items of string[]
    uint64_t* items  # of int[], float[] and bool[]
    int64_t items_size
    int64_t items_capacity


cdef struct Entry:  # a value without a column
    int32_t row
    int32_t key
    int32_t previous  # entry of the same key that is_first, -1: none
    uint8_t type
    uint8_t is_first  # first value of the key in the row, so that it may move to a column
    uint8_t repeats  # the row has the key before
    uint64_t value  # of int, float and bool; of others the place in ``pool``: size, then bytes


cdef struct Pending:  # a string whose number is not yet known
    int32_t column
    int32_t at
    uint64_t hash
    Wire data
    int64_t size


cdef enum:
    PENDING_MAX = 32


cdef struct Attributes:  # of all rows of one table
    HashKey hash_key
    Texts key_texts
    Key* keys
    int32_t keys_known
    int64_t keys_capacity
    int32_t first_key  # key that came first last time, -1: none
    SparseColumn* columns
    int32_t columns_size
    int64_t columns_capacity
    Entry* log  # rows ascend
    int32_t log_size
    int64_t log_capacity
    Bytes pool
    Texts shapes  # sequences of keys, each as int32s
    int32_t* sequence  # the keys of the row at hand
    int32_t sequence_size
    int64_t sequence_capacity
    Bytes scratch
    Pending[PENDING_MAX] pending
    int32_t pending_size


cdef void init_attributes(Attributes* a, const HashKey* hash_key) noexcept nogil
cdef void begin_row(Attributes* a) noexcept nogil
cdef int append_attribute(Attributes* a, int32_t row, Wire p, Wire end) except -1 nogil
cdef int32_t end_row(Attributes* a) except -2 nogil
cdef Wire first_string(Attributes* a, int32_t row, const char* key, int64_t* size) noexcept nogil
cdef bint row_has(Attributes* a, int32_t row, const char* key, const char* text) noexcept nogil
cdef int promote(Attributes* a, int32_t key) except -1 nogil
cdef int truncate_attributes(Attributes* a, int32_t rows) except -1 nogil
cdef int64_t attributes_memory(const Attributes* a) noexcept nogil
cdef void free_attributes(Attributes* a) noexcept nogil


cdef inline bint has_payload(int type) noexcept nogil:
    """Tell whether an entry of the log has bytes in the pool."""
    return type == TYPE_STRING or TYPE_BOOL < type <= TYPE_ANY or type == TYPE_KEY_VALUE


cdef inline int32_t lower_bound(const int32_t* rows, int32_t size, int32_t row) noexcept nogil:
    """Count the leading elements that are less than ``row``."""
    cdef int32_t low = 0
    cdef int32_t middle
    while low < size:
        middle = low + (size - low) // 2
        if rows[middle] < row:
            low = middle + 1
        else:
            size = middle
    return low
