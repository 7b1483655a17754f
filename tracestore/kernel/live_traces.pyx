"""Which traces of a tenant are live, and how large each has become: for the limits of both.

A hash table by trace ID. A trace is live while its last span is younger than ``idle_s``; its size is
remembered for ``keep_s``, so that a trace that grows slowly is measured too.

Source: wire contract, section 6.3, checks 6 and 7.
"""

from typing import NamedTuple

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from tracestore.kernel.check cimport buffer_start
from tracestore.kernel.texts cimport mix
from tracestore.kernel.wire cimport DEPTH_MAX, LENGTH, Field, Wire, load64, next_field


class Admission(NamedTuple):
    """What the limits say of the spans of a request."""

    refused: bytes | None
    """A byte for each span in order, 1 for the refused; None: all may come in."""
    live_traces_exceeded: int
    """Spans refused because too many traces are live."""
    trace_too_large: int
    """Spans refused because their trace would be too large."""


cdef enum:
    SECONDS = 1024  # for which the number of live traces is known; more than any idle_s
    SLOTS_MIN = 1024

cdef struct Trace:
    uint64_t high
    uint64_t low
    int64_t bytes
    int64_t last_s  # when its last span came; 0: the slot is free

cdef struct Group:  # the spans of one trace in a request
    uint64_t high
    uint64_t low
    int64_t bytes
    int32_t spans
    uint8_t refused

cdef struct Request:
    int64_t spans
    Group* groups
    int32_t count
    int32_t* slots  # number of a group + 1, 0 is free
    uint32_t mask
    int32_t* group_of  # of each span
    uint64_t seed


cdef inline uint64_t hash_id(uint64_t high, uint64_t low, uint64_t seed) noexcept nogil:
    return mix(high ^ seed, low ^ 0x9E3779B97F4A7C15ULL)


cdef int add_span(Request* request, Wire p, Wire end, int depth) noexcept nogil:
    """Put a span to its trace. The request was checked, so a trace ID of 16 bytes is there."""
    cdef Field field
    cdef Wire id = NULL
    cdef int64_t size = end - p
    cdef uint64_t high = 0
    cdef uint64_t low = 0
    cdef uint32_t slot
    cdef Group* group
    while p < end:
        p = next_field(p, end, depth, &field)
        if field.number == 1 and field.wire_type == LENGTH and field.end - field.data == 16:
            id = field.data
    if id != NULL:
        high, low = load64(id), load64(id + 8)
    slot = <uint32_t> hash_id(high, low, request.seed) & request.mask
    while request.slots[slot]:
        group = &request.groups[request.slots[slot] - 1]
        if group.high == high and group.low == low:
            break
        slot = (slot + 1) & request.mask
    else:
        group = &request.groups[request.count]
        request.count += 1
        request.slots[slot] = request.count
        group.high, group.low = high, low
    group.bytes += size
    group.spans += 1
    request.group_of[request.spans] = request.slots[slot] - 1
    request.spans += 1
    return 0


cdef int add_spans(Request* request, int level, Wire p, Wire end, int depth) noexcept nogil:
    """Go down to the spans: level 0 is the request, 1 a ResourceSpans, 2 a ScopeSpans."""
    cdef Field field
    while p < end:
        p = next_field(p, end, depth, &field)
        if field.wire_type != LENGTH or field.number != (1 if level == 0 else 2):
            continue
        if level == 2:
            add_span(request, field.data, field.end, depth - 1)
        else:
            add_spans(request, level + 1, field.data, field.end, depth - 1)
    return 0


cdef class LiveTraces:
    """The traces of one tenant. Not thread-safe: one caller at a time.

    Args:
        seed: of the hash, which senders must not know.
        idle_s: how long after its last span a trace counts as live, below 1024.
        keep_s: how long after its last span its size is remembered.
        traces_max: traces remembered; beyond it those that were idle for longest are forgotten.
    """

    cdef Trace* slots
    cdef int64_t capacity
    cdef int64_t used
    cdef uint64_t seed
    cdef int64_t idle_s
    cdef int64_t keep_s
    cdef int64_t remembered_max
    cdef int64_t[SECONDS] counts
    cdef int64_t[SECONDS] stamps

    def __cinit__(self, *, uint64_t seed, int64_t idle_s, int64_t keep_s, int64_t traces_max):
        assert 0 < idle_s < SECONDS and idle_s <= keep_s
        self.seed = seed
        self.idle_s = idle_s
        self.keep_s = keep_s
        self.remembered_max = traces_max
        self.slots = <Trace*> calloc(SLOTS_MIN, sizeof(Trace))
        if self.slots == NULL:
            raise MemoryError
        self.capacity = SLOTS_MIN

    def __dealloc__(self):
        free(self.slots)

    def live(self, int64_t now_s):
        """Count the live traces."""
        return self.count_live(now_s)

    def admit(self, request, int64_t spans, int64_t now_s, *, int64_t traces_max, int64_t bytes_max):
        """Decide which spans may come in, and count those. A trace of a request comes in whole or not.

        Args:
            request: valid, as ``check`` says, with ``spans`` spans.
            now_s: a clock that does not go back, more than 0.
            traces_max: live traces, 0: any number.
            bytes_max: bytes of the spans of a trace, 0: any.

        Cost: about 0.1 us a span.
        """
        cdef const unsigned char[::1] view = request
        cdef Wire start = buffer_start(view)
        cdef Request found
        cdef int64_t room = 16
        while room < 2 * spans:
            room *= 2
        found.spans = found.count = 0
        found.mask = <uint32_t> (room - 1)
        found.seed = self.seed
        found.groups = <Group*> calloc(spans + 1, sizeof(Group))
        found.slots = <int32_t*> calloc(room, sizeof(int32_t))
        found.group_of = <int32_t*> calloc(spans + 1, sizeof(int32_t))
        cdef int64_t exceeded = 0
        cdef int64_t large = 0
        cdef int32_t i
        try:
            if found.groups == NULL or found.slots == NULL or found.group_of == NULL:
                raise MemoryError
            with nogil:
                add_spans(&found, 0, start, start + view.shape[0], DEPTH_MAX)
                self.make_room(found.count, now_s)
                for i in range(found.count):
                    self.decide(&found.groups[i], now_s, traces_max, bytes_max)
                    if found.groups[i].refused == 1:
                        exceeded += found.groups[i].spans
                    elif found.groups[i].refused == 2:
                        large += found.groups[i].spans
            assert found.spans == spans
            if not exceeded and not large:
                return Admission(None, 0, 0)
            mask = bytearray(spans)
            for i in range(spans):
                mask[i] = found.groups[found.group_of[i]].refused != 0
            return Admission(bytes(mask), exceeded, large)
        finally:
            free(found.groups)
            free(found.slots)
            free(found.group_of)

    cdef int64_t count_live(self, int64_t now_s) noexcept nogil:
        cdef int64_t total = 0
        cdef int64_t second
        for second in range(max(1, now_s - self.idle_s + 1), now_s + 1):
            if self.stamps[second % SECONDS] == second:
                total += self.counts[second % SECONDS]
        return total

    cdef Trace* find(self, uint64_t high, uint64_t low) noexcept nogil:
        """Find the slot of a trace, or the free one that it would take."""
        cdef int64_t slot = <int64_t> (hash_id(high, low, self.seed) & <uint64_t> (self.capacity - 1))
        while self.slots[slot].last_s:
            if self.slots[slot].high == high and self.slots[slot].low == low:
                break
            slot = (slot + 1) & (self.capacity - 1)
        return &self.slots[slot]

    cdef void decide(self, Group* group, int64_t now_s, int64_t traces_max, int64_t bytes_max) noexcept nogil:
        cdef Trace* trace = self.find(group.high, group.low)
        cdef bint is_new = trace.last_s == 0
        cdef bint is_live = not is_new and trace.last_s > now_s - self.idle_s
        cdef int64_t size = 0 if is_new or trace.last_s <= now_s - self.keep_s else trace.bytes
        if traces_max and not is_live and self.count_live(now_s) >= traces_max:
            group.refused = 1
            return
        if bytes_max and size + group.bytes > bytes_max:
            group.refused = 2
            return
        if is_new:
            trace.high, trace.low = group.high, group.low
            self.used += 1
        else:
            self.count(trace.last_s, -1)
        trace.bytes = size + group.bytes
        trace.last_s = now_s
        self.count(now_s, 1)

    cdef void count(self, int64_t second, int64_t change) noexcept nogil:
        """Change how many traces had their last span in a second; of old ones nobody asks."""
        cdef int64_t at = second % SECONDS
        if self.stamps[at] < second:
            self.stamps[at] = second
            self.counts[at] = 0
        if self.stamps[at] == second:
            self.counts[at] += change

    cdef int make_room(self, int64_t more, int64_t now_s) except -1 nogil:
        """See that the table stays half empty; forget what is too old, and too much."""
        cdef int64_t keep_s = self.keep_s
        cdef int64_t left
        if 2 * (self.used + more) <= self.capacity:
            return 0
        left = self.count_since(now_s - keep_s)
        while left + more > self.remembered_max and keep_s:
            keep_s //= 2
            left = self.count_since(now_s - keep_s)
        self.rebuild(left + more, now_s - keep_s)
        return 0

    cdef int64_t count_since(self, int64_t since_s) noexcept nogil:
        cdef int64_t slot
        cdef int64_t found = 0
        for slot in range(self.capacity):
            found += self.slots[slot].last_s > since_s and self.slots[slot].last_s != 0
        return found

    cdef int rebuild(self, int64_t traces, int64_t since_s) except -1 nogil:
        cdef Trace* old = self.slots
        cdef int64_t old_capacity = self.capacity
        cdef int64_t slot
        cdef int64_t capacity = SLOTS_MIN
        while capacity < 4 * traces:
            capacity *= 2
        cdef Trace* fresh = <Trace*> calloc(capacity, sizeof(Trace))
        if fresh == NULL:
            with gil:
                raise MemoryError
        self.slots, self.capacity, self.used = fresh, capacity, 0
        for slot in range(old_capacity):
            if old[slot].last_s == 0:
                continue
            if old[slot].last_s > since_s:
                self.find(old[slot].high, old[slot].low)[0] = old[slot]
                self.used += 1
            else:
                self.count(old[slot].last_s, -1)
        free(old)
        return 0
