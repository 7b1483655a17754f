from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport free

from tracestore.kernel.texts cimport Bytes
from tracestore.kernel.wire cimport Wire, load_little64, read_long_varint

cdef enum:
    NO_MEMBER = 0  # field numbers of AnyValue's members
    STRING_VALUE = 1
    BOOL_VALUE = 2
    INT_VALUE = 3
    DOUBLE_VALUE = 4
    ARRAY_VALUE = 5
    KEY_VALUES_VALUE = 6
    BYTES_VALUE = 7
    STRING_INDEX_VALUE = 8

cdef enum:  # in the order of AttributeType; then the types that only the overflow column has
    TYPE_STRING = 0
    TYPE_INT
    TYPE_FLOAT
    TYPE_BOOL
    TYPE_STRINGS
    TYPE_INTS
    TYPE_FLOATS
    TYPE_BOOLS
    TYPE_BYTES
    TYPE_ANY
    TYPE_EMPTY
    TYPE_NONE
    TYPE_KEY_VALUE
    COLUMN_TYPES = TYPE_EMPTY

cdef struct Value:
    int member
    uint64_t number  # of a scalar: the integer, or the bits of the double
    Wire data  # of the others: the payload
    Wire end
    Bytes joined  # holds the payload if it came in several parts; see free_value

cdef struct Pair:
    Wire key
    Wire key_end
    Wire value  # the AnyValue, not looked into; NULL if there is none
    Wire value_end
    int32_t key_index
    Bytes joined

cdef int read_value_slowly(Wire p, Wire end, Value* value) except -1 nogil
cdef int read_pair_slowly(Wire p, Wire end, Pair* pair) except -1 nogil
cdef int classify(const Value* value) except -1 nogil
cdef int put_value(Bytes* out, Wire p, Wire end) except -1 nogil
cdef int put_pair(Bytes* out, Wire p, Wire end) except -1 nogil
cdef int put_entities(Bytes* out, Wire p, Wire end) except -1 nogil
cdef int put_quoted(Bytes* out, Wire p, Wire end) except -1 nogil
cdef int put_integer(Bytes* out, int64_t number) except -1 nogil
cdef int put_double(Bytes* out, uint64_t bits, bint quote_odd) except -1 nogil
cdef int put_base64(Bytes* out, Wire p, Wire end) except -1 nogil


cdef inline int scalar_type(int member) noexcept nogil:
    if member == STRING_VALUE:
        return TYPE_STRING
    if member == BOOL_VALUE:
        return TYPE_BOOL
    return TYPE_INT if member == INT_VALUE else TYPE_FLOAT


cdef inline void free_value(Value* value) noexcept nogil:
    if value.joined.data != NULL:
        free(value.joined.data)


cdef inline void free_pair(Pair* pair) noexcept nogil:
    if pair.joined.data != NULL:
        free(pair.joined.data)


cdef inline int read_value(Wire p, Wire end, Value* value) except -1 nogil:
    """Read an AnyValue: one field as all senders write it, or anything that protobuf allows.

    The caller calls ``free_value`` when it is done.
    """
    cdef Wire after
    value.joined.data = NULL
    if end - p >= 2:
        if p[0] == 0x0A:
            after = p + 2
            if p[1] < 0x80 and end - after == p[1]:
                value.member = STRING_VALUE
                value.data = after
                value.end = end
                return 0
        elif p[0] == 0x18 or p[0] == 0x10:
            after = read_long_varint(p + 1, end, 10, &value.number)
            if after == end:
                value.member = p[0] >> 3
                if value.member == BOOL_VALUE:
                    value.number = value.number != 0
                return 0
        elif p[0] == 0x21 and end - p == 9:
            value.member = DOUBLE_VALUE
            value.number = load_little64(p + 1)
            return 0
    return read_value_slowly(p, end, value)


cdef inline int read_pair(Wire p, Wire end, Pair* pair) except -1 nogil:
    """Read a KeyValue: short key, then short value, or anything that protobuf allows.

    The caller calls ``free_pair`` when it is done.
    """
    cdef Wire value
    pair.joined.data = NULL
    if end - p >= 4 and p[0] == 0x0A and p[1] < 0x80:
        value = p + 2 + p[1]
        if end - value >= 2 and value[0] == 0x12 and value[1] < 0x80 and end - value - 2 == value[1]:
            pair.key = p + 2
            pair.key_end = value
            pair.value = value + 2
            pair.value_end = end
            pair.key_index = 0
            return 0
    return read_pair_slowly(p, end, pair)
