"""Growing memory, and texts that are stored once and known by a number.

``Texts`` is laid out as Arrow lays out a string array, so that a dictionary is copied out as it
is. Its hash is keyed, since senders choose the texts.

Source: the wyhash family of hashes, https://github.com/wangyi-fudan/wyhash, for inputs of any length.
"""

from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

from tracestore.kernel.wire cimport Wire, load32, load64, same_bytes

cdef extern from *:
    """
    static inline unsigned long long tracestore_mix(unsigned long long a, unsigned long long b) {
        unsigned __int128 product = (unsigned __int128)a * b;
        return (unsigned long long)product ^ (unsigned long long)(product >> 64);
    }
    """
    uint64_t mix "tracestore_mix"(uint64_t a, uint64_t b) noexcept nogil
    void prefetch "__builtin_prefetch"(const void* place) noexcept nogil


cdef struct HashKey:
    uint64_t first
    uint64_t second


cdef struct Texts:
    int32_t count
    int32_t capacity
    int32_t* ends  # (capacity + 1), as Arrow offsets: text i lies between ends[i] and ends[i + 1]
    uint8_t* bytes
    int64_t bytes_capacity
    uint64_t* slots  # hash << 32 | number + 1, open addressing; 0 is free. NULL: texts may repeat
    uint32_t mask


cdef struct Bytes:
    uint8_t* data
    int64_t size
    int64_t capacity


cdef inline int refuse_memory() except -1 nogil:
    with gil:
        raise MemoryError


cdef inline int refuse_size() except -1 nogil:
    with gil:
        from tracestore.errors import LimitExceededError

        raise LimitExceededError(
            "a column would hold more than 2 GiB of text or 2**31 rows: append to a new builder",
            limit="2 GiB a column",
        )


cdef inline int grow(void** data, int64_t* capacity, int64_t needed, int64_t item) except -1 nogil:
    """Make room for ``needed`` items, at least doubling."""
    cdef int64_t wanted = max(needed, 2 * capacity[0], 4)
    cdef void* moved = realloc(data[0], wanted * item)
    if moved == NULL:
        return refuse_memory()
    data[0] = moved
    capacity[0] = wanted
    return 0


cdef inline int put(Bytes* out, const void* data, int64_t size) except -1 nogil:
    """Append bytes."""
    if out.size + size > out.capacity:
        grow(<void**>&out.data, &out.capacity, out.size + size, 1)
    if size:
        memcpy(out.data + out.size, data, size)
    out.size += size
    return 0


cdef inline int put_byte(Bytes* out, uint8_t byte) except -1 nogil:
    if out.size == out.capacity:
        grow(<void**>&out.data, &out.capacity, out.size + 1, 1)
    out.data[out.size] = byte
    out.size += 1
    return 0


cdef inline uint64_t hash_bytes(const HashKey* key, Wire p, int64_t size) noexcept nogil:
    cdef uint64_t a = 0
    cdef uint64_t b = 0
    cdef uint64_t seed = key.first ^ <uint64_t>size
    cdef int64_t left = size
    if size <= 16:
        if size >= 8:
            a = load64(p)
            b = load64(p + size - 8)
        elif size >= 4:
            a = load32(p)
            b = load32(p + size - 4)
        elif size > 0:
            a = <uint64_t>p[0] << 16 | <uint64_t>p[size >> 1] << 8 | p[size - 1]
    else:
        while left > 16:
            seed = mix(load64(p) ^ key.second, load64(p + 8) ^ seed)
            p += 16
            left -= 16
        a = load64(p + left - 16)
        b = load64(p + left - 8)
    return mix(mix(a ^ key.second, b ^ seed) ^ key.first, key.second)


cdef inline Wire text_start(const Texts* texts, int32_t number) noexcept nogil:
    return texts.bytes + texts.ends[number]


cdef inline int32_t text_size(const Texts* texts, int32_t number) noexcept nogil:
    return texts.ends[number + 1] - texts.ends[number]


cdef inline bint text_equals(const Texts* texts, int32_t number, Wire p, int64_t size) noexcept nogil:
    return text_size(texts, number) == size and same_bytes(text_start(texts, number), p, size)


cdef inline int32_t add_text(Texts* texts, Wire p, int64_t size) except -1 nogil:
    """Append a text, repeated or not, and return its number."""
    cdef int32_t number = texts.count
    cdef int64_t begin = texts.ends[number] if number else 0
    cdef int64_t capacity
    if begin + size > INT32_MAX or number == INT32_MAX - 1:
        return refuse_size()
    if number == texts.capacity:
        capacity = texts.capacity + (texts.capacity > 0)
        grow(<void**>&texts.ends, &capacity, number + 2, sizeof(int32_t))
        texts.capacity = <int32_t>min(capacity - 1, INT32_MAX - 1)
        texts.ends[0] = 0
    if begin + size > texts.bytes_capacity:
        grow(<void**>&texts.bytes, &texts.bytes_capacity, begin + size, 1)
    if size:
        memcpy(texts.bytes + begin, p, size)
    texts.ends[number + 1] = <int32_t>(begin + size)
    texts.count = number + 1
    return number


cdef inline int rehash(Texts* texts, uint64_t slots) except -1 nogil:
    """Build the hash table anew with ``slots`` places, a power of two, for the texts there are."""
    cdef uint64_t* made = <uint64_t*>calloc(slots, sizeof(uint64_t))
    cdef uint64_t mask = slots - 1
    cdef uint64_t at
    cdef uint64_t i
    cdef uint64_t slot
    if made == NULL:
        return refuse_memory()
    if texts.slots != NULL:
        for i in range(<uint64_t>texts.mask + 1):
            slot = texts.slots[i]
            if slot == 0 or <uint32_t>slot > <uint32_t>texts.count:
                continue
            at = slot >> 32 & mask
            while made[at]:
                at = (at + 1) & mask
            made[at] = slot
    free(texts.slots)
    texts.slots = made
    texts.mask = <uint32_t>mask
    return 0


cdef inline int32_t find_text(const HashKey* key, Texts* texts, Wire p, int64_t size) noexcept nogil:
    """Find the number of a text, -1 if it is not there."""
    cdef uint64_t hash = hash_bytes(key, p, size) >> 32
    cdef uint64_t at = hash & texts.mask
    cdef uint64_t slot
    if texts.slots == NULL:
        return -1
    while True:
        slot = texts.slots[at]
        if slot == 0:
            return -1
        if slot >> 32 == hash and text_equals(texts, <int32_t>(<uint32_t>slot - 1), p, size):
            return <int32_t>(<uint32_t>slot - 1)
        at = (at + 1) & texts.mask


cdef inline int32_t intern(const HashKey* key, Texts* texts, Wire p, int64_t size) except -1 nogil:
    """Get the number of a text, which is appended if it is new."""
    return intern_hashed(texts, hash_bytes(key, p, size) >> 32, p, size)


cdef inline int32_t intern_hashed(Texts* texts, uint64_t hash, Wire p, int64_t size) except -1 nogil:
    """Do the same with the upper half of the hash at hand."""
    cdef uint64_t at
    cdef uint64_t slot
    cdef int32_t number
    if texts.slots == NULL or <uint64_t>texts.count * 8 >= 5 * (<uint64_t>texts.mask + 1):
        rehash(texts, 8 if texts.slots == NULL else 2 * (<uint64_t>texts.mask + 1))
    at = hash & texts.mask
    while True:
        slot = texts.slots[at]
        if slot == 0:
            number = add_text(texts, p, size)
            texts.slots[at] = hash << 32 | <uint32_t>(number + 1)
            return number
        if slot >> 32 == hash:
            number = <int32_t>(<uint32_t>slot - 1)
            if text_equals(texts, number, p, size):
                return number
        at = (at + 1) & texts.mask


cdef inline int truncate_texts(Texts* texts, int32_t count) except -1 nogil:
    """Forget the texts from ``count`` on."""
    if count == texts.count:
        return 0
    texts.count = count
    if texts.slots != NULL:
        rehash(texts, <uint64_t>texts.mask + 1)
    return 0


cdef inline void free_texts(Texts* texts) noexcept nogil:
    free(texts.ends)
    free(texts.bytes)
    free(texts.slots)
    memset(texts, 0, sizeof(Texts))


cdef inline int64_t texts_memory(const Texts* texts) noexcept nogil:
    cdef int64_t slots = (<int64_t>texts.mask + 1) * 8 if texts.slots != NULL else 0
    return 4 * <int64_t>texts.capacity + texts.bytes_capacity + slots
