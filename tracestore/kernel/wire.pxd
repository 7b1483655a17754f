"""Reading of the protobuf wire format, bounded by the end of what encloses it.

Both the check and the decoder read by these functions, so that they cannot disagree on what is
well-formed. They accept exactly what upb, the parser of the protobuf library, accepts.

Source: https://protobuf.dev/programming-guides/encoding; Unicode 15, table 3-7 (well-formed UTF-8).
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

ctypedef const uint8_t* Wire  # a place in a message

cdef enum:
    VARINT = 0
    FIXED64 = 1
    LENGTH = 2
    GROUP = 3
    GROUP_END = 4
    FIXED32 = 5

cdef enum:
    DEPTH_MAX = 100  # messages and groups below the root that upb accepts

cdef struct Field:
    uint32_t number
    uint32_t wire_type
    uint64_t value  # of a VARINT, FIXED64 or FIXED32
    Wire data  # payload of a LENGTH
    Wire end
    const char* reason  # why reading failed
    Wire bad  # where it failed


cdef inline uint64_t load64(Wire p) noexcept nogil:
    cdef uint64_t value
    memcpy(&value, p, 8)
    return value


cdef inline uint32_t load32(Wire p) noexcept nogil:
    cdef uint32_t value
    memcpy(&value, p, 4)
    return value


cdef inline uint64_t load_little64(Wire p) noexcept nogil:
    """Read eight bytes as the wire has them, whatever the order of this machine."""
    cdef uint64_t value = 0
    cdef int i
    for i in range(8):
        value |= <uint64_t>p[i] << (8 * i)
    return value


cdef inline uint64_t load_big64(Wire p) noexcept nogil:
    """Read eight bytes so that the order of the numbers is that of the bytes."""
    cdef uint64_t value = 0
    cdef int i
    for i in range(8):
        value = value << 8 | p[i]
    return value


cdef inline Wire read_long_varint(Wire p, Wire end, int size_max, uint64_t* value) noexcept nogil:
    """Read a varint of up to ``size_max`` bytes; NULL if it is longer or cut off."""
    cdef uint64_t result = 0
    cdef int i
    for i in range(size_max):
        if p + i >= end:
            return NULL
        result |= <uint64_t>(p[i] & 0x7F) << (7 * i)
        if p[i] < 0x80:
            value[0] = result
            return p + i + 1
    return NULL


cdef inline Wire fail(Field* field, const char* reason, Wire bad) noexcept nogil:
    field.reason = reason
    field.bad = bad
    return NULL


cdef inline Wire next_field(Wire p, Wire end, int depth, Field* field) noexcept nogil:
    """Read one field and return where the next one begins; NULL if it is malformed.

    A group is skipped as a whole: no message of OTLP has one, so it is an unknown field. ``depth``
    counts the levels that may still be entered. Needs ``p < end``.
    """
    cdef uint64_t tag
    cdef Wire start = p
    if p[0] < 0x80:
        tag = p[0]
        p += 1
    else:
        p = read_long_varint(p, end, 5, &tag)
        if p == NULL or tag >> 32:
            return fail(field, "truncated or oversized field tag", start)
    field.number = <uint32_t>(tag >> 3)
    field.wire_type = tag & 7
    if field.number == 0:
        return fail(field, "field number 0", start)
    if field.wire_type == LENGTH:
        return read_payload(p, end, field)
    if field.wire_type == VARINT:
        if p < end and p[0] < 0x80:
            field.value = p[0]
            return p + 1
        start = p
        p = read_long_varint(p, end, 10, &field.value)
        return p if p != NULL else fail(field, "truncated or oversized varint", start)
    if field.wire_type == FIXED64:
        if end - p < 8:
            return fail(field, "truncated 64-bit field", p)
        field.value = load_little64(p)
        return p + 8
    if field.wire_type == FIXED32:
        if end - p < 4:
            return fail(field, "truncated 32-bit field", p)
        field.value = p[0] | p[1] << 8 | p[2] << 16 | <uint64_t>p[3] << 24
        return p + 4
    if field.wire_type == GROUP:
        return skip_group(p, end, depth - 1, field)
    return fail(field, "invalid wire type", start)


cdef inline Wire read_payload(Wire p, Wire end, Field* field) noexcept nogil:
    """Read a length and take that many bytes as the payload."""
    cdef uint64_t size
    cdef Wire start = p
    if p < end and p[0] < 0x80:
        size = p[0]
        p += 1
    else:
        p = read_long_varint(p, end, 5, &size)
        if p == NULL:
            return fail(field, "truncated or oversized length", start)
    if size > <uint64_t>(end - p):
        return fail(field, "length beyond the end of what encloses it", start)
    field.data = p
    field.end = p + size
    return field.end


cdef inline Wire skip_group(Wire p, Wire end, int depth, Field* group) noexcept nogil:
    """Go behind the end tag of a group; only its form is looked at."""
    cdef Field field
    cdef Wire start = p
    cdef uint64_t tag
    cdef Wire after
    if depth < 0:
        return fail(group, "nested too deeply", start)
    while p < end:
        after = read_long_varint(p, end, 5, &tag)
        if after != NULL and tag == (<uint64_t>group.number << 3 | GROUP_END):
            return after
        p = next_field(p, end, depth, &field)
        if p == NULL:
            return fail(group, field.reason, field.bad)
    return fail(group, "group without an end", start)


cdef inline bint is_ascii(Wire p, Wire end) noexcept nogil:
    """Tell whether no byte has its high bit set. Loads overlap, so that a size class is one branch."""
    cdef uint64_t bits
    cdef int64_t size = end - p
    if size >= 8:
        bits = load64(p) | load64(end - 8)
        if size > 16:
            bits |= load64(p + 8) | load64(end - 16)
            p += 16
            while end - p > 16:
                bits |= load64(p)
                p += 8
        return (bits & 0x8080808080808080ULL) == 0
    if size >= 4:
        return ((load32(p) | load32(end - 4)) & 0x80808080U) == 0
    bits = 0
    while p < end:
        bits |= p[0]
        p += 1
    return bits < 0x80


cdef inline bint same_bytes(Wire p, Wire q, int64_t size) noexcept nogil:
    """Compare texts that are mostly short, where a call of memcmp would cost more than the work."""
    cdef int64_t i = 0
    if size >= 8:
        while i < size - 8:
            if load64(p + i) != load64(q + i):
                return False
            i += 8
        return load64(p + size - 8) == load64(q + size - 8)
    if size >= 4:
        return load32(p) == load32(q) and load32(p + size - 4) == load32(q + size - 4)
    while i < size:
        if p[i] != q[i]:
            return False
        i += 1
    return True


cdef inline Wire find_bad_utf8(Wire p, Wire end) noexcept nogil:
    """Find the first byte that is no part of a well-formed character; NULL if there is none."""
    cdef uint8_t first
    cdef uint8_t low
    cdef uint8_t high
    cdef int more
    if is_ascii(p, end):
        return NULL
    while p < end:
        first = p[0]
        if first < 0x80:
            p += 1
            continue
        low, high = 0x80, 0xBF
        if 0xC2 <= first <= 0xDF:
            more = 1
        elif 0xE0 <= first <= 0xEF:
            more = 2
            if first == 0xE0:
                low = 0xA0  # overlong
            elif first == 0xED:
                high = 0x9F  # surrogates
        elif 0xF0 <= first <= 0xF4:
            more = 3
            if first == 0xF0:
                low = 0x90
            elif first == 0xF4:
                high = 0x8F  # beyond U+10FFFF
        else:
            return p
        if end - p <= more or not low <= p[1] <= high:
            return p
        if more >= 2 and p[2] & 0xC0 != 0x80:
            return p
        if more == 3 and p[3] & 0xC0 != 0x80:
            return p
        p += more + 1
    return NULL
