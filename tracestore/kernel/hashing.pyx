"""XXH64 of the values of an Arrow array, straight from its buffers.

Source: xxHash specification, https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md, XXH64.
"""

import sys

import numpy as np
import pyarrow as pa

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef uint64_t PRIME_1 = 0x9E3779B185EBCA87u
cdef uint64_t PRIME_2 = 0xC2B2AE3D27D4EB4Fu
cdef uint64_t PRIME_3 = 0x165667B19E3779F9u
cdef uint64_t PRIME_4 = 0x85EBCA77C2B2AE63u
cdef uint64_t PRIME_5 = 0x27D4EB2F165667C5u

assert sys.byteorder == "little", "the kernel reads Arrow buffers as little-endian"


cdef inline uint64_t rotate(uint64_t value, int bits) noexcept nogil:
    return value << bits | value >> (64 - bits)


cdef inline uint64_t read_64(const uint8_t* at) noexcept nogil:
    cdef uint64_t value
    memcpy(&value, at, 8)
    return value


cdef inline uint64_t read_32(const uint8_t* at) noexcept nogil:
    cdef uint32_t value
    memcpy(&value, at, 4)
    return value


cdef inline uint64_t mix(uint64_t accumulator, uint64_t lane) noexcept nogil:
    return rotate(accumulator + lane * PRIME_2, 31) * PRIME_1


cdef inline uint64_t merge(uint64_t hashed, uint64_t accumulator) noexcept nogil:
    return (hashed ^ mix(0, accumulator)) * PRIME_1 + PRIME_4


cdef uint64_t xxh64(const uint8_t* at, uint64_t length) noexcept nogil:
    """Hash ``length`` bytes with seed 0."""
    cdef const uint8_t* end = at + length
    cdef uint64_t hashed = PRIME_5
    cdef uint64_t a, b, c, d
    if length >= 32:
        a, b, c, d = PRIME_1 + PRIME_2, PRIME_2, 0, 0 - PRIME_1
        while end - at >= 32:
            a = mix(a, read_64(at))
            b = mix(b, read_64(at + 8))
            c = mix(c, read_64(at + 16))
            d = mix(d, read_64(at + 24))
            at += 32
        hashed = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18)
        hashed = merge(merge(merge(merge(hashed, a), b), c), d)
    hashed += length
    while end - at >= 8:
        hashed = rotate(hashed ^ mix(0, read_64(at)), 27) * PRIME_1 + PRIME_4
        at += 8
    if end - at >= 4:
        hashed = rotate(hashed ^ read_32(at) * PRIME_1, 23) * PRIME_2 + PRIME_3
        at += 4
    while at < end:
        hashed = rotate(hashed ^ at[0] * PRIME_5, 11) * PRIME_1
        at += 1
    hashed = (hashed ^ hashed >> 33) * PRIME_2
    hashed = (hashed ^ hashed >> 29) * PRIME_3
    return hashed ^ hashed >> 32


ctypedef fused Offset:
    int32_t
    int64_t


cdef inline bint is_valid(const uint8_t[::1] validity, Py_ssize_t row) noexcept nogil:
    return validity.shape[0] == 0 or validity[row >> 3] >> (row & 7) & 1


cdef Py_ssize_t hash_variable(
    const Offset[::1] offsets, const uint8_t[::1] data, const uint8_t[::1] validity,
    Py_ssize_t first, uint64_t[::1] out,
) except -2 nogil:
    """Hash values between offsets. Returns the first row that lies outside ``data``, -1 if all lie inside."""
    cdef Py_ssize_t i, row
    cdef const uint8_t* base = &data[0] if data.shape[0] else NULL
    for i in range(out.shape[0]):
        row = first + i
        if not is_valid(validity, row):
            out[i] = 0
            continue
        if not 0 <= offsets[row] <= offsets[row + 1] <= data.shape[0]:
            return row
        out[i] = xxh64(base + offsets[row], offsets[row + 1] - offsets[row])
    return -1


cdef Py_ssize_t hash_fixed(
    const uint8_t[::1] data, Py_ssize_t width, const uint8_t[::1] validity,
    Py_ssize_t first, uint64_t[::1] out,
) except -2 nogil:
    """Hash values of ``width`` bytes. Returns as ``hash_variable`` does."""
    cdef Py_ssize_t i
    cdef const uint8_t* base = &data[0] if data.shape[0] else NULL
    if (first + out.shape[0]) * width > data.shape[0]:
        return first + out.shape[0]
    for i in range(out.shape[0]):
        out[i] = xxh64(base + (first + i) * width, width) if is_valid(validity, first + i) else 0
    return -1


EMPTY = np.empty(0, np.uint8)
FIXED_WIDTH = (pa.types.is_fixed_size_binary, pa.types.is_int64, pa.types.is_float64)
SHORT_OFFSETS = (pa.types.is_string, pa.types.is_binary)
LONG_OFFSETS = (pa.types.is_large_string, pa.types.is_large_binary)


def view(buffer, dtype):
    """View an Arrow buffer, which may be absent, as numbers."""
    return EMPTY.view(dtype) if buffer is None else np.frombuffer(buffer, dtype)


def hash64(values: pa.Array):
    """XXH64 (seed 0) of each value's bytes: text as UTF-8, int64 and float64 little-endian.

    Nulls hash to 0 and must be masked by the caller. Dictionaries are not accepted.

    Raises: TypeError for any other type; ValueError if the offsets of the array are broken.
    """
    cdef uint64_t[::1] out
    cdef const uint8_t[::1] validity, data
    cdef const int32_t[::1] short_offsets
    cdef const int64_t[::1] long_offsets
    cdef Py_ssize_t first = values.offset, width, bad
    hashes = np.empty(len(values), np.uint64)
    if not len(values):
        return hashes
    out = hashes
    first_buffer, *_, last_buffer = buffers = values.buffers()
    validity = view(first_buffer if values.null_count else None, np.uint8)
    data = view(last_buffer, np.uint8)
    if any(is_type(values.type) for is_type in FIXED_WIDTH):
        width = values.type.bit_width // 8
        with nogil:
            bad = hash_fixed(data, width, validity, first, out)
    elif any(is_type(values.type) for is_type in SHORT_OFFSETS):
        short_offsets = view(buffers[1], np.int32)
        with nogil:
            bad = hash_variable(short_offsets, data, validity, first, out)
    elif any(is_type(values.type) for is_type in LONG_OFFSETS):
        long_offsets = view(buffers[1], np.int64)
        with nogil:
            bad = hash_variable(long_offsets, data, validity, first, out)
    else:
        raise TypeError(f"no hash of {values.type}: decode or cast it")
    if bad >= 0:
        raise ValueError(f"{values.type} array has a value outside its buffer at row {bad - first}")
    return hashes
