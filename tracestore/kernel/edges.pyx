"""``EdgeStore``: requests between services of which one side has come and the other is awaited.

A hash table from the key of a request to its edge, and a list by age through the edges. One span
after another meets it, for what comes later overwrites; numpy cannot say that.

Source: wire contract, section 17.3.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from tracestore.kernel.arrivals import SPAN_DTYPE

from tracestore.kernel.head cimport SpanRow
from tracestore.kernel.texts cimport grow, mix, prefetch, refuse_memory

cdef class EdgeStore:
    """Pairs the two sides of requests. Not thread-safe; runs under the GIL."""

    cdef readonly Py_ssize_t width
    cdef Edge* edges
    cdef int64_t edges_capacity
    cdef int32_t* labels  # (capacity, 2 * width): of the client, of the server; -1: absent
    cdef int64_t labels_capacity
    cdef int32_t places  # edges ever used
    cdef int32_t free_place  # chain of free ones through ``newer``
    cdef int32_t count
    cdef int32_t oldest
    cdef int32_t newest
    cdef int32_t* slots  # place + 1, 0: free
    cdef uint32_t mask
    cdef uint64_t first_key
    cdef uint64_t second_key
    cdef Edge* out
    cdef int32_t* out_labels
    cdef int64_t out_size
    cdef int64_t out_capacity
    cdef int64_t out_labels_capacity

    def __cinit__(self, Py_ssize_t width):
        self.width = width
        self.free_place = self.oldest = self.newest = NONE
        self.mask = 1023
        self.first_key = <uint64_t><int64_t>hash(b"tracestore edges, first key") | 1
        self.second_key = <uint64_t><int64_t>hash(b"tracestore edges, second key") | 1
        self.slots = <int32_t*>calloc(self.mask + 1, sizeof(int32_t))
        if self.slots == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.edges)
        free(self.labels)
        free(self.slots)
        free(self.out)
        free(self.out_labels)

    def __len__(self):
        return self.count

    def add(
        self,
        rows,
        const uint64_t[:, ::1] trace_ids,
        const int32_t[::1] services,
        const int32_t[::1] peers,
        const int32_t[::1] databases,
        labels,
        multipliers,
        dropped,
        int64_t now,
        int64_t most,
        uint8_t messaging,
        uint8_t database,
    ):
        """Take spans in the order in which they came. See ``__init__.pyi``."""
        cdef Py_ssize_t count = len(rows)
        cdef const int32_t[:, ::1] label_view = labels
        cdef const double[::1] weights = multipliers
        cdef const uint8_t[::1] is_dropped = dropped
        cdef int64_t refused = 0
        cdef int64_t left_out = 0
        cdef Py_ssize_t i
        cdef Py_ssize_t taken = 0
        cdef Side[BLOCK] sides
        cdef int32_t[BLOCK] places
        if rows.dtype != SPAN_DTYPE or not rows.flags.c_contiguous:
            raise ValueError("rows are no contiguous array of SPAN_DTYPE")
        for array in (trace_ids, services, peers, databases, labels):
            if len(array) != count:
                raise ValueError("arrays of different lengths")
        if label_view.shape[1] != self.width or trace_ids.shape[1] != 2:
            raise ValueError("labels or trace IDs of another width")
        if weights is not None and len(weights) != count:
            raise ValueError("multipliers of another length")
        if is_dropped is not None and len(is_dropped) != count:
            raise ValueError("dropped of another length")
        cdef size_t address = rows.ctypes.data
        cdef const SpanRow* row = <const SpanRow*><void*>address
        self.out_size = 0
        for i in range(count):
            if services[i] > 0 and SERVER <= row[i].kind <= CONSUMER:
                fill_side(&sides[taken], &row[i], services[i], peers[i])
                sides[taken].key.high, sides[taken].key.low = trace_ids[i, 0], trace_ids[i, 1]
                sides[taken].database = databases[i] if row[i].kind == CLIENT else 0
                sides[taken].multiplier = weights[i] if weights is not None else 1.0
                sides[taken].dropped = is_dropped is not None and is_dropped[i]
                sides[taken].hash = self.hash_key(&sides[taken].key)
                places[taken] = <int32_t>i
                prefetch(&self.slots[sides[taken].hash & self.mask])
                taken += 1
            if taken == BLOCK or i == count - 1:
                self.add_block(
                    sides, places, taken, label_view, now, most, messaging, database,
                    &refused, &left_out,
                )
                taken = 0
        return (*self.taken(), refused, left_out)

    cdef int add_block(
        self,
        const Side* sides,
        const int32_t* places,
        Py_ssize_t count,
        const int32_t[:, ::1] labels,
        int64_t now,
        int64_t most,
        uint8_t messaging,
        uint8_t database,
        int64_t* refused,
        int64_t* left_out,
    ) except -1:
        """Take some spans, whose slots are on their way into the caches."""
        cdef Py_ssize_t i
        cdef int32_t slot
        cdef const int32_t* own = NULL
        for i in range(count):
            slot = self.slots[sides[i].hash & self.mask]
            if slot:
                prefetch(&self.edges[slot - 1])
        for i in range(count):
            if self.width:
                own = &labels[places[i], 0]
            self.add_side(&sides[i], own, now, most, messaging, database, refused, left_out)
        return 0

    cdef int add_side(
        self,
        const Side* side,
        const int32_t* own,
        int64_t now,
        int64_t most,
        uint8_t messaging,
        uint8_t database,
        int64_t* refused,
        int64_t* left_out,
    ) except -1:
        cdef int32_t place = self.find(&side.key, side.hash)
        if place < 0:
            if self.count >= most and (side.database <= 0 or side.dropped):
                refused[0] += 1
                return 0
            place = self.insert(&side.key, side.hash, now, side.kind)
            self.edges[place].dropped = side.dropped
            left_out[0] += side.dropped
        elif side.dropped or self.edges[place].dropped:
            left_out[0] += 1 + (self.edges[place].sides != 0)
            self.remove(place)
            return 0
        if side.dropped:
            return 0
        self.take(&self.edges[place], side, messaging, database)
        self.set_labels(place, side.is_client, own)
        if self.edges[place].client > 0 and self.edges[place].server > 0:
            self.put_out(place)
            self.remove(place)
        return 0

    cdef void take(
        self, Edge* edge, const Side* side, uint8_t messaging, uint8_t database
    ) noexcept nogil:
        """Put what a span says into its edge."""
        if side.is_client:
            edge.sides |= SIDE_CLIENT
            edge.last_side = SIDE_CLIENT
            edge.client = side.service
            edge.client_seconds = side.seconds
            edge.client_end = side.time_ns
        else:
            edge.sides |= SIDE_SERVER
            edge.last_side = SIDE_SERVER
            edge.server = side.service
            edge.server_seconds = side.seconds
            edge.server_start = side.time_ns
        if side.peer >= 0:
            edge.peer = side.peer
        edge.message_sides &= ~edge.last_side
        if side.kind == PRODUCER or side.kind == CONSUMER:
            edge.message_sides |= edge.last_side
        edge.connection = messaging if edge.message_sides else 0
        if side.database > 0:
            edge.connection = database
            edge.server = side.database
            edge.server_seconds = side.seconds
        edge.failed |= side.failed
        edge.multiplier = side.multiplier

    def expire(self, int64_t before):
        """Take out the edges that were born before a time: as ``add`` does those that are whole."""
        cdef int32_t place
        self.out_size = 0
        while self.oldest != NONE and self.edges[self.oldest].born < before:
            place = self.oldest
            if not self.edges[place].dropped:
                self.put_out(place)
            self.remove(place)
        return self.taken()

    def renumber(self, const int32_t[::1] numbers):
        """Put new numbers of texts for the old ones: (old,) each new one."""
        cdef int32_t place = self.oldest
        cdef Py_ssize_t i
        cdef Edge* edge
        cdef int32_t* labels
        while place != NONE:
            edge = &self.edges[place]
            edge.client, edge.server = numbers[edge.client], numbers[edge.server]
            if edge.peer >= 0:
                edge.peer = numbers[edge.peer]
            for i in range(2 * self.width):
                labels = self.labels + place * 2 * self.width
                if labels[i] >= 0:
                    labels[i] = numbers[labels[i]]
            place = edge.newer

    def texts(self):
        """Get the numbers of all texts that edges hold: (n,) int32."""
        found = []
        cdef int32_t place = self.oldest
        cdef Py_ssize_t i
        while place != NONE:
            found += [self.edges[place].client, self.edges[place].server, self.edges[place].peer]
            for i in range(2 * self.width):
                found.append(self.labels[place * 2 * self.width + i])
            place = self.edges[place].newer
        return np.array(found, np.int32)

    cdef inline uint64_t hash_key(self, const Key* key) noexcept nogil:
        cdef uint64_t hashed = mix(key.high ^ self.first_key, key.low ^ self.second_key)
        return mix(hashed ^ key.span, self.second_key + key.is_root)

    cdef int32_t find(self, const Key* key, uint64_t hashed) noexcept nogil:
        cdef uint32_t at = <uint32_t>hashed & self.mask
        cdef Key* other
        while self.slots[at]:
            other = &self.edges[self.slots[at] - 1].key
            if (
                other.span == key.span
                and other.low == key.low
                and other.high == key.high
                and other.is_root == key.is_root
            ):
                return self.slots[at] - 1
            at = (at + 1) & self.mask
        return NONE

    cdef int32_t insert(
        self, const Key* key, uint64_t hashed, int64_t now, uint8_t kind
    ) except -1:
        cdef int32_t place = self.free_place
        cdef Edge* edge
        cdef uint32_t at
        cdef Py_ssize_t i
        if 2 * <uint32_t>self.count >= self.mask:
            self.rehash()
        if place != NONE:
            self.free_place = self.edges[place].newer
        else:
            place = self.places
            if place == self.edges_capacity:
                grow(<void**>&self.edges, &self.edges_capacity, place + 1, sizeof(Edge))
            if self.width and (place + 1) * 2 * self.width > self.labels_capacity:
                grow(
                    <void**>&self.labels, &self.labels_capacity, (place + 1) * 2 * self.width,
                    sizeof(int32_t),
                )
            self.places += 1
        edge = &self.edges[place]
        memset(edge, 0, sizeof(Edge))
        edge.key, edge.born, edge.kind, edge.multiplier = key[0], now, kind, 1.0
        edge.peer = NONE
        for i in range(2 * self.width):
            self.labels[place * 2 * self.width + i] = NONE
        edge.older, edge.newer = self.newest, NONE
        if self.newest != NONE:
            self.edges[self.newest].newer = place
        else:
            self.oldest = place
        self.newest = place
        at = <uint32_t>hashed & self.mask
        while self.slots[at]:
            at = (at + 1) & self.mask
        self.slots[at] = place + 1
        self.count += 1
        return place

    cdef int remove(self, int32_t place) except -1:
        cdef Edge* edge = &self.edges[place]
        cdef uint32_t at = <uint32_t>self.hash_key(&edge.key) & self.mask
        cdef uint32_t hole, home
        while self.slots[at] != place + 1:
            at = (at + 1) & self.mask
        hole = at
        while True:  # close the gap, so that no search ends in it
            at = (at + 1) & self.mask
            if self.slots[at] == 0:
                break
            home = <uint32_t>self.hash_key(&self.edges[self.slots[at] - 1].key) & self.mask
            if (at - home & self.mask) >= (at - hole & self.mask):
                self.slots[hole] = self.slots[at]
                hole = at
        self.slots[hole] = 0
        if edge.older != NONE:
            self.edges[edge.older].newer = edge.newer
        else:
            self.oldest = edge.newer
        if edge.newer != NONE:
            self.edges[edge.newer].older = edge.older
        else:
            self.newest = edge.older
        edge.newer = self.free_place
        self.free_place = place
        self.count -= 1
        return 0

    cdef int rehash(self) except -1:
        cdef uint32_t size = 2 * (self.mask + 1)
        cdef int32_t* made = <int32_t*>calloc(size, sizeof(int32_t))
        cdef int32_t place = self.oldest
        cdef uint32_t at
        if made == NULL:
            return refuse_memory()
        free(self.slots)
        self.slots, self.mask = made, size - 1
        while place != NONE:
            at = <uint32_t>self.hash_key(&self.edges[place].key) & self.mask
            while self.slots[at]:
                at = (at + 1) & self.mask
            self.slots[at] = place + 1
            place = self.edges[place].newer
        return 0

    cdef void set_labels(self, int32_t place, bint is_client, const int32_t* given) noexcept nogil:
        """Take the labels of a side; what it lacks stays as it was."""
        cdef int32_t* own = self.labels + (2 * place + (0 if is_client else 1)) * self.width
        cdef Py_ssize_t i
        for i in range(self.width):
            if given[i] >= 0:
                own[i] = given[i]

    cdef int put_out(self, int32_t place) except -1:
        cdef Py_ssize_t width = 2 * self.width
        if self.out_size == self.out_capacity:
            grow(<void**>&self.out, &self.out_capacity, self.out_size + 1, sizeof(Edge))
        if width and (self.out_size + 1) * width > self.out_labels_capacity:
            grow(
                <void**>&self.out_labels, &self.out_labels_capacity, (self.out_size + 1) * width,
                sizeof(int32_t),
            )
        self.out[self.out_size] = self.edges[place]
        if width:
            memcpy(
                self.out_labels + self.out_size * width, self.labels + place * width,
                width * sizeof(int32_t),
            )
        self.out_size += 1
        return 0

    cdef object taken(self):
        """Copy what was put out."""
        edges = np.empty(self.out_size, EDGE_DTYPE)
        labels = np.empty((self.out_size, 2 * self.width), np.int32)
        cdef size_t target = edges.ctypes.data
        cdef size_t label_target = labels.ctypes.data
        if self.out_size:
            memcpy(<void*>target, self.out, self.out_size * sizeof(Edge))
            if self.width:
                memcpy(
                    <void*>label_target, self.out_labels,
                    self.out_size * 2 * self.width * sizeof(int32_t),
                )
        return edges, labels


cdef void fill_side(Side* side, const SpanRow* row, int32_t service, int32_t peer) noexcept nogil:
    """Put what a span says into a side."""
    cdef bint is_client = row.kind == CLIENT or row.kind == PRODUCER
    cdef bint is_root = not is_client and row.parent_id == 0
    side.key.is_root = row.kind if is_root else 0
    side.key.span = row.span_id if is_client or is_root else row.parent_id
    side.seconds = row.duration / 1e9 if row.duration > 0 else 0.0
    side.time_ns = row.start_ns + <uint64_t>row.duration if is_client else row.start_ns
    side.service, side.peer = service, peer
    side.is_client, side.kind = is_client, <uint8_t>row.kind
    side.failed = row.status_code == ERROR


cdef object as_dtype(places, Py_ssize_t size):
    return np.dtype(
        {
            "names": list(places),
            "formats": [kind for kind, _ in places.values()],
            "offsets": [at for _, at in places.values()],
            "itemsize": size,
        }
    )


cdef object edge_dtype():
    cdef Edge edge
    cdef char* base = <char*>&edge
    return as_dtype(
        {
            "trace_high": ("u8", <char*>&edge.key.high - base),
            "trace_low": ("u8", <char*>&edge.key.low - base),
            "is_root": ("u8", <char*>&edge.key.is_root - base),
            "client_seconds": ("f8", <char*>&edge.client_seconds - base),
            "server_seconds": ("f8", <char*>&edge.server_seconds - base),
            "multiplier": ("f8", <char*>&edge.multiplier - base),
            "client_end": ("u8", <char*>&edge.client_end - base),
            "server_start": ("u8", <char*>&edge.server_start - base),
            "client": ("i4", <char*>&edge.client - base),
            "server": ("i4", <char*>&edge.server - base),
            "peer": ("i4", <char*>&edge.peer - base),
            "connection": ("u1", <char*>&edge.connection - base),
            "failed": ("u1", <char*>&edge.failed - base),
            "sides": ("u1", <char*>&edge.sides - base),
            "last_side": ("u1", <char*>&edge.last_side - base),
            "kind": ("u1", <char*>&edge.kind - base),
        },
        sizeof(Edge),
    )


EDGE_DTYPE = edge_dtype()
