"""Writing of the protobuf wire format into one growing buffer.

A message is written forward with room for its length left before it; a length that needs another
number of bytes than guessed moves the message, which is cheaper than a pass to compute sizes.

Source: https://protobuf.dev/programming-guides/encoding.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove

cdef struct Writer:
    uint8_t* data
    Py_ssize_t size
    Py_ssize_t capacity


cdef inline int grow(Writer* out, Py_ssize_t more) except -1 nogil:
    cdef Py_ssize_t capacity = max(2 * out.capacity, out.size + more, 4096)
    cdef void* data = realloc(out.data, capacity)
    if data == NULL:
        with gil:
            raise MemoryError(f"no memory for a message of {capacity} bytes")
    out.data = <uint8_t*> data
    out.capacity = capacity
    return 0


cdef inline int reserve(Writer* out, Py_ssize_t more) except -1 nogil:
    """Make room for ``more`` bytes."""
    if out.capacity - out.size < more:
        grow(out, more)
    return 0


cdef inline int varint_length(uint64_t value) noexcept nogil:
    cdef int length = 1
    while value > 0x7F:
        value >>= 7
        length += 1
    return length


cdef inline void put_varint(Writer* out, uint64_t value) noexcept nogil:
    """Write into room already reserved: at most ten bytes."""
    while value > 0x7F:
        out.data[out.size] = <uint8_t> (value | 0x80)
        out.size += 1
        value >>= 7
    out.data[out.size] = <uint8_t> value
    out.size += 1


cdef inline int put_bytes(Writer* out, const uint8_t* data, Py_ssize_t length) except -1 nogil:
    """Write bytes as they are."""
    reserve(out, length)
    if length:
        memcpy(out.data + out.size, data, length)
        out.size += length
    return 0


cdef inline int put_integer(Writer* out, uint8_t tag, uint64_t value) except -1 nogil:
    """Write a varint field. A signed value comes sign-extended to 64 bits."""
    reserve(out, 11)
    out.data[out.size] = tag
    out.size += 1
    put_varint(out, value)
    return 0


cdef inline int put_fixed64(Writer* out, uint8_t tag, uint64_t value) except -1 nogil:
    reserve(out, 9)
    out.data[out.size] = tag
    memcpy(out.data + out.size + 1, &value, 8)  # little-endian machines only; hashing.pyx asserts it
    out.size += 9
    return 0


cdef inline int put_fixed32(Writer* out, uint32_t value) except -1 nogil:
    """Write the value of a fixed32 field, its tag not included."""
    reserve(out, 4)
    memcpy(out.data + out.size, &value, 4)
    out.size += 4
    return 0


cdef inline int put_delimited(Writer* out, uint8_t tag, const uint8_t* data, Py_ssize_t length) except -1 nogil:
    """Write a text, bytes or a message that is already encoded."""
    reserve(out, length + 11)
    out.data[out.size] = tag
    out.size += 1
    put_varint(out, length)
    if length:
        memcpy(out.data + out.size, data, length)
        out.size += length
    return 0


cdef inline Py_ssize_t begin(Writer* out, uint8_t tag, int guess) except -1 nogil:
    """Begin a message whose length will probably take ``guess`` bytes. Returns what ``end`` wants."""
    reserve(out, guess + 1)
    out.data[out.size] = tag
    out.size += guess + 1
    return out.size


cdef inline int end(Writer* out, Py_ssize_t start, int guess) except -1 nogil:
    """End the message that began at ``start`` with the same ``guess``."""
    cdef Py_ssize_t length = out.size - start
    cdef int needed = varint_length(length)
    if needed != guess:
        reserve(out, needed)
        memmove(out.data + start - guess + needed, out.data + start, length)
    out.size = start - guess
    put_varint(out, length)
    out.size += length
    return 0
