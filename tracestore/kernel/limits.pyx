"""What the limits of a tenant leave of a request: shortened attributes, spans of some traces left out.

Bytes in, bytes out, before anything is durable: what is in the log is what was acknowledged. Only
requests that are known to be valid (``check``) come here, and only those that a limit may touch.

Source: wire contract, section 6.3; opentelemetry-proto 1.10.
"""

from typing import NamedTuple

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport strlen

from tracestore.kernel.check cimport buffer_start
from tracestore.kernel.wire cimport DEPTH_MAX, LENGTH, Field, Wire, next_field
from tracestore.kernel.writer cimport Writer, begin, end as end_message, put_bytes, put_delimited

TRUNCATED = "tracestore.truncated"
"""Attribute that lists the keys of the attributes beside it that were cut."""

SCOPES = ("resource", "scope", "span", "event", "link")


class LimitedRequest(NamedTuple):
    """A request after its limits."""

    request: bytes
    truncated: tuple[int, ...]
    """Keys and values cut, by ``SCOPES``."""


cdef enum:
    PLAIN
    REQUEST
    RESOURCE_SPANS
    SCOPE_SPANS
    RESOURCE  # from here to LINK in the order of SCOPES
    SCOPE
    SPAN
    EVENT
    LINK
    KEY_VALUE
    ANY_VALUE
    ARRAY
    KEY_VALUES
    TEXT

cdef const char* MARKER = b"tracestore.truncated"


cdef inline int role_of(int message, uint32_t number) noexcept nogil:
    """Say what a length-delimited field holds, as far as an attribute may be in it."""
    if message == REQUEST:
        return RESOURCE_SPANS if number == 1 else PLAIN
    if message == RESOURCE_SPANS:
        return RESOURCE if number == 1 else SCOPE_SPANS if number == 2 else PLAIN
    if message == SCOPE_SPANS:
        return SCOPE if number == 1 else SPAN if number == 2 else PLAIN
    if message == SPAN and number == 11:
        return EVENT
    if message == SPAN and number == 13:
        return LINK
    if message >= RESOURCE and message <= LINK:
        return KEY_VALUE if number == attributes_number(message) else PLAIN
    if message == KEY_VALUE:
        return TEXT if number == 1 else ANY_VALUE if number == 2 else PLAIN
    if message == ANY_VALUE:
        return TEXT if number == 1 else ARRAY if number == 5 else KEY_VALUES if number == 6 else PLAIN
    if message == ARRAY:
        return ANY_VALUE if number == 1 else PLAIN
    return KEY_VALUE if number == 1 else PLAIN  # KEY_VALUES


cdef inline uint32_t attributes_number(int owner) noexcept nogil:
    """Get the field of an owner's attributes."""
    if owner == RESOURCE:
        return 1
    if owner == SPAN:
        return 9
    return 4 if owner == LINK else 3


cdef struct Walk:
    int64_t bytes_max  # of a text, 0: any
    const uint8_t* refused  # a byte for each span, NULL: none is
    Py_ssize_t span  # number of the next one
    int64_t cut  # texts cut in the attribute that is being written
    int64_t[5] truncated
    Writer* out


cdef inline Wire shorten(Wire start, Wire end, int64_t size) noexcept nogil:
    """Find where the last character ends that still fits into ``size`` bytes."""
    if end - start <= size:
        return end
    end = start + size
    while end > start and (end[0] & 0xC0) == 0x80:
        end -= 1
    return end


cdef int put_field(Walk* walk, Wire before, Field* field, Wire stop) except -1 nogil:
    """Write the tag of a field as it came, then a payload that ends at ``stop``."""
    cdef Py_ssize_t tag = 1
    while before[tag - 1] >= 0x80:
        tag += 1
    put_bytes(walk.out, before, tag - 1)
    put_delimited(walk.out, before[tag - 1], field.data, stop - field.data)
    return 0


cdef int copy(Walk* walk, int message, Wire p, Wire end, int depth) except -1 nogil:
    """Write what is left of a message."""
    cdef Field field
    cdef Wire before
    cdef Wire stop
    cdef int role
    cdef Writer cut_keys
    cdef bint owner = RESOURCE <= message <= LINK
    cut_keys.data = NULL
    cut_keys.size = cut_keys.capacity = 0
    try:
        while p < end:
            before = p
            p = next_field(p, end, depth, &field)
            if p == NULL:
                with gil:
                    raise AssertionError("a request was to be limited before it was checked")
            role = PLAIN if field.wire_type != LENGTH else role_of(message, field.number)
            if role == SPAN:
                walk.span += 1
                if walk.refused != NULL and walk.refused[walk.span - 1]:
                    continue
            if role == TEXT:
                stop = shorten(field.data, field.end, walk.bytes_max)
                walk.cut += stop < field.end
                put_field(walk, before, &field, stop)
            elif role == PLAIN or not may_change(walk, role, &field):
                put_bytes(walk.out, before, p - before)
            elif owner and role == KEY_VALUE:
                copy_attribute(walk, message, before, &field, depth, &cut_keys)
            else:
                copy_message(walk, role, before, &field, depth)
        if cut_keys.size:
            put_marker(walk, message, &cut_keys)
    finally:
        free(cut_keys.data)
    return 0


cdef inline bint may_change(Walk* walk, int role, Field* field) noexcept nogil:
    """Tell whether something below may be cut or left out."""
    if walk.refused != NULL and role <= SCOPE_SPANS:
        return True
    return walk.bytes_max > 0 and field.end - field.data > walk.bytes_max


cdef int copy_message(Walk* walk, int role, Wire before, Field* field, int depth) except -1 nogil:
    """Write what is left of a message within a message. No tag of OTLP has more than one byte."""
    cdef Py_ssize_t start
    if before[0] >= 0x80:  # written in a longer way than needed
        start = begin(walk.out, <uint8_t> (field.number << 3 | LENGTH), 3)
    else:
        start = begin(walk.out, before[0], 3)
    copy(walk, role, field.data, field.end, depth - 1)
    end_message(walk.out, start, 3)
    return 0


cdef int copy_attribute(
    Walk* walk, int owner, Wire before, Field* field, int depth, Writer* cut_keys
) except -1 nogil:
    """Write an attribute; if anything of it is cut, note its key for the marker."""
    cdef Field key
    cdef Field found
    cdef Py_ssize_t start
    cdef Wire p = field.data
    walk.cut = 0
    copy_message(walk, KEY_VALUE, before, field, depth)
    if not walk.cut:
        return 0
    walk.truncated[owner - RESOURCE] += walk.cut
    key.data = key.end = p
    while p < field.end:
        p = next_field(p, field.end, depth, &found)
        if found.number == 1 and found.wire_type == LENGTH:
            key = found
    start = begin(cut_keys, 0x0A, 2)  # ArrayValue.values
    put_delimited(cut_keys, 0x0A, key.data, shorten(key.data, key.end, walk.bytes_max) - key.data)
    end_message(cut_keys, start, 2)
    return 0


cdef int put_marker(Walk* walk, int owner, Writer* cut_keys) except -1 nogil:
    """Write the attribute that tells which others were cut."""
    cdef Writer* out = walk.out
    cdef Py_ssize_t pair = begin(out, <uint8_t> (attributes_number(owner) << 3 | LENGTH), 2)
    cdef Py_ssize_t value
    put_delimited(out, 0x0A, <const uint8_t*> MARKER, strlen(MARKER))
    value = begin(out, 0x12, 2)
    put_delimited(out, 0x2A, cut_keys.data, cut_keys.size)
    end_message(out, value, 2)
    end_message(out, pair, 2)
    return 0


def limit_request(request, *, int64_t attribute_bytes_max=0, refused=None):
    """Shorten long keys and string values of attributes, and leave spans out.

    Args:
        attribute_bytes_max: longest key or string, nested ones too, in bytes; 0: any. Cut between
            two characters.
        refused: a byte for each span in order, not 0 for those that go; None: none goes.

    Returns: LimitedRequest; what no limit touches is as it was, byte for byte and in its place.
    Cost: a copy of the request; what is not larger than the limit is not looked into.
    """
    cdef const unsigned char[::1] view = request
    cdef const unsigned char[::1] mask = b"" if refused is None else refused
    cdef Writer out
    cdef Walk walk
    cdef int i
    out.data = NULL
    out.size = out.capacity = 0
    walk.bytes_max = attribute_bytes_max
    walk.refused = buffer_start(mask)
    walk.span = 0
    walk.cut = 0
    walk.out = &out
    for i in range(5):
        walk.truncated[i] = 0
    cdef Wire start = buffer_start(view)
    try:
        with nogil:
            copy(&walk, REQUEST, start, start + view.shape[0], DEPTH_MAX)
        assert refused is None or walk.span == mask.shape[0]
        limited = out.data[:out.size] if out.size else b""
        return LimitedRequest(limited, tuple([walk.truncated[i] for i in range(5)]))
    finally:
        free(out.data)
