"""AnyValue and KeyValue: reading them with protobuf's rules of merging, and writing them as OTLP JSON.

Messages that come in several parts are joined: protobuf reads two encodings behind one another as their
merger. Bytes come here checked; should they not be what the check saw, reading stops with an error and
never goes beyond the end. Recursion is bounded by the check's limit on nesting.

Source: https://protobuf.dev/programming-guides/encoding (last one wins); the JSON mapping of OTLP.
"""

from tracestore.errors import MalformedError

from cpython.mem cimport PyMem_Free
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport free
from libc.string cimport memcpy, memset, strlen

from tracestore.kernel.texts cimport Bytes, grow, put, put_byte
from tracestore.kernel.wire cimport DEPTH_MAX, FIXED64, LENGTH, VARINT, Field, Wire, next_field

cdef extern from "Python.h":
    char* PyOS_double_to_string(double value, char code, int precision, int flags, int* kind) except NULL
    int Py_DTSF_ADD_DOT_0


cdef int refuse_change() except -1 nogil:
    with gil:
        raise MalformedError("request changed while it was read", 0)


cdef inline int put_text(Bytes* out, const char* text) except -1 nogil:
    return put(out, text, strlen(text))


cdef int join(Bytes* joined, Field* part, Wire* start, Wire* end, bint follows) except -1 nogil:
    """Take a part of a message; the first one stays where it is, further ones are put behind it."""
    if not follows:
        start[0], end[0] = part.data, part.end
        return 0
    if joined.data == NULL or start[0] != joined.data:
        joined.size = 0
        grow(<void**>&joined.data, &joined.capacity, end[0] - start[0], 1)  # NULL says: none sent
        put(joined, start[0], end[0] - start[0])
    put(joined, part.data, part.end - part.data)
    start[0], end[0] = joined.data, joined.data + joined.size
    return 0


cdef int read_value_slowly(Wire p, Wire end, Value* value) except -1 nogil:
    cdef Field field
    cdef bint follows
    memset(value, 0, sizeof(Value))
    while p < end:
        p = next_field(p, end, DEPTH_MAX, &field)
        if p == NULL:
            free_value(value)
            return refuse_change()
        if field.wire_type == LENGTH and field.number in (STRING_VALUE, BYTES_VALUE):
            value.data, value.end = field.data, field.end
        elif field.wire_type == LENGTH and field.number in (ARRAY_VALUE, KEY_VALUES_VALUE):
            follows = value.member == <int>field.number
            join(&value.joined, &field, &value.data, &value.end, follows)
        elif field.wire_type == VARINT and field.number == BOOL_VALUE:
            value.number = field.value != 0
        elif field.wire_type == VARINT and field.number == INT_VALUE:
            value.number = field.value
        elif field.wire_type == VARINT and field.number == STRING_INDEX_VALUE:
            value.number = <uint64_t><int64_t><int32_t>field.value
        elif field.wire_type == FIXED64 and field.number == DOUBLE_VALUE:
            value.number = field.value
        else:
            continue
        value.member = field.number
    return 0


cdef int read_pair_slowly(Wire p, Wire end, Pair* pair) except -1 nogil:
    cdef Field field
    memset(pair, 0, sizeof(Pair))
    pair.key = pair.key_end = p
    while p < end:
        p = next_field(p, end, DEPTH_MAX, &field)
        if p == NULL:
            free_pair(pair)
            return refuse_change()
        if field.wire_type == LENGTH and field.number == 1:
            pair.key, pair.key_end = field.data, field.end
        elif field.wire_type == LENGTH and field.number == 2:
            join(&pair.joined, &field, &pair.value, &pair.value_end, pair.value != NULL)
        elif field.wire_type == VARINT and field.number == 3:
            pair.key_index = <int32_t>field.value
    return 0


cdef int classify(const Value* value) except -1 nogil:
    """Tell the type of the column that holds a value."""
    cdef Field field
    cdef Value element
    cdef Wire p = value.data
    cdef int only = NO_MEMBER
    if value.member == NO_MEMBER:
        return TYPE_EMPTY
    if value.member == BYTES_VALUE:
        return TYPE_BYTES
    if value.member <= DOUBLE_VALUE:
        return scalar_type(value.member)
    if value.member != ARRAY_VALUE:
        return TYPE_ANY
    while p < value.end:
        p = next_field(p, value.end, DEPTH_MAX, &field)
        if p == NULL:
            return refuse_change()
        if field.wire_type != LENGTH or field.number != 1:
            continue
        read_value(field.data, field.end, &element)
        free_value(&element)
        if not STRING_VALUE <= element.member <= DOUBLE_VALUE:
            return TYPE_ANY
        if only != NO_MEMBER and only != element.member:
            return TYPE_ANY
        only = element.member
    return TYPE_ANY if only == NO_MEMBER else scalar_type(only) + TYPE_STRINGS


cdef int put_value(Bytes* out, Wire p, Wire end) except -1 nogil:
    """Write an AnyValue as OTLP JSON."""
    cdef Value value
    read_value(p, end, &value)
    try:
        put_byte(out, c"{")
        put_member(out, &value)
        return put_byte(out, c"}")
    finally:
        free_value(&value)


cdef int put_member(Bytes* out, const Value* value) except -1 nogil:
    if value.member == STRING_VALUE:
        put_text(out, '"stringValue":')
        put_quoted(out, value.data, value.end)
    elif value.member == BOOL_VALUE:
        put_text(out, '"boolValue":true' if value.number else '"boolValue":false')
    elif value.member == INT_VALUE:
        put_text(out, '"intValue":"')
        put_integer(out, <int64_t>value.number)
        put_byte(out, c'"')
    elif value.member == DOUBLE_VALUE:
        put_text(out, '"doubleValue":')
        put_double(out, value.number, True)
    elif value.member == BYTES_VALUE:
        put_text(out, '"bytesValue":"')
        put_base64(out, value.data, value.end)
        put_byte(out, c'"')
    elif value.member == STRING_INDEX_VALUE:
        put_text(out, '"stringValueStrindex":')
        put_integer(out, <int64_t>value.number)
    elif value.member == ARRAY_VALUE:
        put_text(out, '"arrayValue":{"values":')
        put_elements(out, value.data, value.end, 1, put_value)
        put_byte(out, c"}")
    elif value.member == KEY_VALUES_VALUE:
        put_text(out, '"kvlistValue":{"values":')
        put_elements(out, value.data, value.end, 1, put_pair)
        put_byte(out, c"}")
    return 0


cdef int put_elements(
    Bytes* out,
    Wire p,
    Wire end,
    uint32_t number,
    int (*put_element)(Bytes*, Wire, Wire) except -1 nogil,
) except -1 nogil:
    """Write a JSON array of the occurrences of a repeated field."""
    cdef Field field
    cdef bint follows = False
    put_byte(out, c"[")
    while p < end:
        p = next_field(p, end, DEPTH_MAX, &field)
        if p == NULL:
            return refuse_change()
        if field.wire_type == LENGTH and field.number == number:
            if follows:
                put_byte(out, c",")
            put_element(out, field.data, field.end)
            follows = True
    return put_byte(out, c"]")


cdef int put_pair(Bytes* out, Wire p, Wire end) except -1 nogil:
    """Write a KeyValue as OTLP JSON."""
    cdef Pair pair
    read_pair(p, end, &pair)
    try:
        put_text(out, '{"key":')
        put_quoted(out, pair.key, pair.key_end)
        if pair.value != NULL:
            put_text(out, ',"value":')
            put_value(out, pair.value, pair.value_end)
        if pair.key_index:
            put_text(out, ',"keyStrindex":')
            put_integer(out, pair.key_index)
        return put_byte(out, c"}")
    finally:
        free_pair(&pair)


cdef int put_entity(Bytes* out, Wire p, Wire end) except -1 nogil:
    cdef Field field
    cdef Field[3] texts  # [number]: the last occurrence
    cdef Wire start = p
    texts[1].data = texts[1].end = texts[2].data = texts[2].end = p
    while p < end:
        p = next_field(p, end, DEPTH_MAX, &field)
        if p == NULL:
            return refuse_change()
        if field.wire_type == LENGTH and field.number <= 2:
            texts[field.number] = field
    put_text(out, '{"schemaUrl":')
    put_quoted(out, texts[1].data, texts[1].end)
    put_text(out, ',"type":')
    put_quoted(out, texts[2].data, texts[2].end)
    put_text(out, ',"idKeys":')
    put_elements(out, start, end, 3, put_quoted)
    put_text(out, ',"descriptionKeys":')
    put_elements(out, start, end, 4, put_quoted)
    return put_byte(out, c"}")


cdef int put_entities(Bytes* out, Wire p, Wire end) except -1 nogil:
    """Write the entity references of a Resource as an OTLP JSON array."""
    return put_elements(out, p, end, 3, put_entity)


cdef int put_quoted(Bytes* out, Wire p, Wire end) except -1 nogil:
    """Write a JSON string, as UTF-8, with the shortest escapes."""
    cdef char[8] escape
    cdef Wire plain = p
    cdef const char* short_form = "btn?fr"
    put_byte(out, c'"')
    while p < end:
        if p[0] >= 0x20 and p[0] != c'"' and p[0] != c"\\":
            p += 1
            continue
        put(out, plain, p - plain)
        if p[0] >= 0x20:
            put_byte(out, c"\\")
            put_byte(out, p[0])
        elif 8 <= p[0] <= 13 and p[0] != 11:
            put_byte(out, c"\\")
            put_byte(out, short_form[p[0] - 8])
        else:
            snprintf(escape, sizeof(escape), "\\u%04x", <int>p[0])
            put(out, escape, 6)
        p += 1
        plain = p
    put(out, plain, p - plain)
    return put_byte(out, c'"')


cdef int put_integer(Bytes* out, int64_t number) except -1 nogil:
    cdef char[24] text
    return put(out, text, snprintf(text, sizeof(text), "%lld", <long long>number))


cdef int put_double(Bytes* out, uint64_t bits, bint quote_odd) except -1 nogil:
    """Write the shortest text that reads back as this double; what JSON cannot say, as a name."""
    cdef double value
    cdef char* text
    memcpy(&value, &bits, 8)
    if value != value:
        return put_text(out, '"NaN"' if quote_odd else "NaN")
    if value - value != 0:
        if value > 0:
            return put_text(out, '"Infinity"' if quote_odd else "Infinity")
        return put_text(out, '"-Infinity"' if quote_odd else "-Infinity")
    with gil:
        text = PyOS_double_to_string(value, c"r", 0, Py_DTSF_ADD_DOT_0, NULL)
        try:
            return put_text(out, text)
        finally:
            PyMem_Free(text)


cdef int put_base64(Bytes* out, Wire p, Wire end) except -1 nogil:
    cdef const char* digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    cdef uint32_t bits
    while p < end:
        bits = p[0] << 16
        if end - p > 1:
            bits |= p[1] << 8
        if end - p > 2:
            bits |= p[2]
        put_byte(out, digits[bits >> 18])
        put_byte(out, digits[bits >> 12 & 63])
        put_byte(out, digits[bits >> 6 & 63] if end - p > 1 else c"=")
        put_byte(out, digits[bits & 63] if end - p > 2 else c"=")
        p += min(3, end - p)
    return 0
