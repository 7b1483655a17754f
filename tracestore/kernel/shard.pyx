"""One OTLP request -> a request for each place that traces go to, by trace ID.

Spans are copied as they are, byte ranges and no decode; what wraps them (resource, scope, fields that
nobody knows) is repeated in the requests that have a span of it, and in no other. The place of a
trace is the one with the highest score (rendezvous hashing): when places come or go, only the traces
of these move.

Source: Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates" (1998); the
finalizer of SplitMix64, https://prng.di.unimi.it/splitmix64.c; opentelemetry-proto 1.10.
"""

from tracestore.errors import MalformedError

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from tracestore.kernel.check cimport buffer_start
from tracestore.kernel.wire cimport DEPTH_MAX, LENGTH, Field, Wire, load64, next_field
from tracestore.kernel.writer cimport Writer, begin, end as end_message, put_bytes, varint_length


cdef enum:
    REQUEST = 0  # levels: what each has below it
    RESOURCE_SPANS = 1
    SCOPE_SPANS = 2

cdef enum:
    RESOURCE_SPANS_TAG = 0x0A
    SCOPE_SPANS_TAG = 0x12

cdef struct Place:
    uint64_t seed
    int64_t spans
    Writer out
    Py_ssize_t resource  # where its open ResourceSpans begins in ``out``; 0: none is open
    Py_ssize_t scope  # the same of its ScopeSpans

cdef struct Walk:
    Wire start
    Place* places
    int32_t count
    int32_t* place_of  # of each span
    int64_t spans_max
    int64_t span  # number of the next one
    uint64_t high  # trace ID of the last one
    uint64_t low
    int32_t last  # its place, -1: there is none yet
    Writer resource  # what a ResourceSpans has beside its ScopeSpans
    Writer scope  # what a ScopeSpans has beside its spans
    int resource_guess
    int scope_guess


cdef int refuse(const char* reason, int64_t offset) except -1 nogil:
    with gil:
        raise MalformedError(reason.decode(), offset)


cdef inline uint64_t scramble(uint64_t value) noexcept nogil:
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9ULL
    value = (value ^ value >> 27) * 0x94D049BB133111EBULL
    return value ^ value >> 31


cdef int32_t highest(Walk* walk, uint64_t high, uint64_t low) noexcept nogil:
    """Find the place with the highest score; of equal ones the first."""
    cdef uint64_t key = scramble(scramble(high) ^ low)
    cdef uint64_t best = scramble(key ^ walk.places[0].seed)
    cdef uint64_t score
    cdef int32_t found = 0
    cdef int32_t i
    for i in range(1, walk.count):
        score = scramble(key ^ walk.places[i].seed)
        if score > best:
            best, found = score, i
    return found


cdef inline bint is_below(int level, Field* field) noexcept nogil:
    """Tell whether a field holds what the level is about: ResourceSpans, ScopeSpans or a span."""
    return field.wire_type == LENGTH and field.number == (1 if level == REQUEST else 2)


cdef int place_span(Walk* walk, Wire p, Wire end, int depth) except -1 nogil:
    """Choose the place of a span by its trace ID: the last one, as protobuf has it."""
    cdef Field field
    cdef Wire id = NULL
    cdef uint64_t high = 0
    cdef uint64_t low = 0
    while p < end:
        p = next_field(p, end, depth, &field)
        if p == NULL:
            refuse(field.reason, field.bad - walk.start)
        if field.number == 1 and field.wire_type == LENGTH and field.end - field.data == 16:
            id = field.data
    if id != NULL:
        high, low = load64(id), load64(id + 8)
    if walk.last < 0 or high != walk.high or low != walk.low:
        walk.high, walk.low = high, low
        walk.last = highest(walk, high, low)
    if walk.span >= walk.spans_max:
        refuse("more spans than were counted", end - walk.start)
    walk.place_of[walk.span] = walk.last
    walk.places[walk.last].spans += 1
    walk.span += 1
    return 0


cdef int place_spans(Walk* walk, int level, Wire p, Wire end, int depth) except -1 nogil:
    """Choose the place of every span below."""
    cdef Field field
    while p < end:
        p = next_field(p, end, depth, &field)
        if p == NULL:
            refuse(field.reason, field.bad - walk.start)
        if not is_below(level, &field):
            continue
        if level == SCOPE_SPANS:
            place_span(walk, field.data, field.end, depth - 1)
        else:
            place_spans(walk, level + 1, field.data, field.end, depth - 1)
    return 0


cdef int copy_rest(Writer* out, int level, Wire p, Wire end, int depth) except -1 nogil:
    """Copy the fields of a message beside those that the level is about, in their order."""
    cdef Field field
    cdef Wire before
    while p < end:
        before = p
        p = next_field(p, end, depth, &field)
        if not is_below(level, &field):
            put_bytes(out, before, p - before)
    return 0


cdef int open_message(Walk* walk, Place* place) except -1 nogil:
    """Begin the ScopeSpans at hand in a place, and the ResourceSpans around it if it is new there."""
    if not place.resource:
        place.resource = begin(&place.out, RESOURCE_SPANS_TAG, walk.resource_guess)
        put_bytes(&place.out, walk.resource.data, walk.resource.size)
    place.scope = begin(&place.out, SCOPE_SPANS_TAG, walk.scope_guess)
    put_bytes(&place.out, walk.scope.data, walk.scope.size)
    return 0


cdef int copy_spans(Walk* walk, Wire p, Wire end, int depth) except -1 nogil:
    """Copy the spans of a ScopeSpans to their places."""
    cdef Field field
    cdef Wire before
    cdef Place* place
    cdef int32_t i
    walk.scope.size = 0
    walk.scope_guess = varint_length((end - p) // walk.count)
    copy_rest(&walk.scope, SCOPE_SPANS, p, end, depth)
    while p < end:
        before = p
        p = next_field(p, end, depth, &field)
        if not is_below(SCOPE_SPANS, &field):
            continue
        place = &walk.places[walk.place_of[walk.span]]
        walk.span += 1
        if not place.scope:
            open_message(walk, place)
        put_bytes(&place.out, before, p - before)
    for i in range(walk.count):
        if walk.places[i].scope:
            end_message(&walk.places[i].out, walk.places[i].scope, walk.scope_guess)
            walk.places[i].scope = 0
    return 0


cdef int copy_resource(Walk* walk, Wire p, Wire end, int depth) except -1 nogil:
    """Copy a ResourceSpans to the places of its spans."""
    cdef Field field
    cdef int32_t i
    walk.resource.size = 0
    walk.resource_guess = varint_length((end - p) // walk.count)
    copy_rest(&walk.resource, RESOURCE_SPANS, p, end, depth)
    while p < end:
        p = next_field(p, end, depth, &field)
        if is_below(RESOURCE_SPANS, &field):
            copy_spans(walk, field.data, field.end, depth - 1)
    for i in range(walk.count):
        if walk.places[i].resource:
            end_message(&walk.places[i].out, walk.places[i].resource, walk.resource_guess)
            walk.places[i].resource = 0
    return 0


cdef int copy_request(Walk* walk, Wire p, Wire end) except -1 nogil:
    """Copy the whole request to the places of its spans."""
    cdef Field field
    cdef Wire start = p
    cdef int32_t i
    while p < end:
        p = next_field(p, end, DEPTH_MAX, &field)
        if is_below(REQUEST, &field):
            copy_resource(walk, field.data, field.end, DEPTH_MAX - 1)
    for i in range(walk.count):
        if walk.places[i].spans:
            copy_rest(&walk.places[i].out, REQUEST, start, end, DEPTH_MAX)
    return 0


def shard(request, int64_t spans, const uint64_t[::1] seeds):
    """Cut a request by trace ID.

    Args:
        request: valid, as ``check`` says, with ``spans`` spans.
        seeds: (n,) of the places, n > 0; equal for one place wherever this is computed.

    Returns: (n,) the request of each place, None for a place without spans. If one place has them
        all, it gets the very object that was given.
    Raises: MalformedError for what ``check`` would not have let through.
    Cost: two passes, the second a copy; about 0.1 us a span. No request is larger than the one
        given, all together are at most n times as large: if nearly all of it is in wrappers.
    """
    cdef const unsigned char[::1] view = request
    cdef Wire start = buffer_start(view)
    cdef Wire end = start + view.shape[0]
    cdef Walk walk
    cdef int32_t i
    assert seeds.shape[0] > 0 and spans >= 0
    walk.start = start
    walk.count = <int32_t> seeds.shape[0]
    walk.spans_max = spans
    walk.span = 0
    walk.high = walk.low = 0
    walk.last = -1
    walk.resource.data = walk.scope.data = NULL
    walk.resource.size = walk.resource.capacity = walk.scope.size = walk.scope.capacity = 0
    walk.places = <Place*> calloc(walk.count, sizeof(Place))
    walk.place_of = <int32_t*> calloc(spans + 1, sizeof(int32_t))
    try:
        if walk.places == NULL or walk.place_of == NULL:
            raise MemoryError
        for i in range(walk.count):
            walk.places[i].seed = seeds[i]
        with nogil:
            place_spans(&walk, REQUEST, start, end, DEPTH_MAX)
        for i in range(walk.count):
            if walk.places[i].spans == walk.span:
                alone = [None] * walk.count
                if walk.span:
                    alone[i] = request
                return alone
        walk.span = 0
        with nogil:
            copy_request(&walk, start, end)
        return [
            walk.places[i].out.data[:walk.places[i].out.size] if walk.places[i].spans else None
            for i in range(walk.count)
        ]
    finally:
        if walk.places != NULL:
            for i in range(walk.count):
                free(walk.places[i].out.data)
        free(walk.places)
        free(walk.place_of)
        free(walk.resource.data)
        free(walk.scope.data)


def rank(uint64_t high, uint64_t low, const uint64_t[::1] seeds):
    """Put places in the order of their scores for a key, the home first.

    Args:
        high, low: the two halves of a trace ID, or any hash and 0, little-endian.
        seeds: (n,) of the places.

    Returns: (n,) numbers of places.
    """
    cdef uint64_t key = scramble(scramble(high) ^ low)
    scores = [scramble(key ^ seeds[i]) for i in range(seeds.shape[0])]
    return sorted(range(len(scores)), key=lambda i: (-scores[i], i))
