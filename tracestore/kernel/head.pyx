"""Birth, size, return and end of what a builder holds. Layout: ``head.pxd``."""

from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

from tracestore.kernel.sparse cimport (
    attributes_memory,
    free_attributes,
    init_attributes,
    truncate_attributes,
)
from tracestore.kernel.texts cimport free_texts, intern, texts_memory, truncate_texts
from tracestore.kernel.wire cimport Wire


cdef int init_head(Head* head, uint64_t first_key, uint64_t second_key) except -1 nogil:
    cdef int i
    memset(head, 0, sizeof(Head))
    head.hash_key.first = first_key
    head.hash_key.second = second_key
    for i in range(ROW_TABLES):
        init_attributes(&head.attributes[i], &head.hash_key)
    for i in range(DICTIONARIES):
        intern(&head.hash_key, &head.texts[i], <Wire>head, 0)
    return 0


cdef void free_head(Head* head) noexcept nogil:
    cdef int i
    for i in range(ROW_TABLES):
        free_attributes(&head.attributes[i])
        free(head.rows[i].data)
    for i in range(DICTIONARIES):
        free_texts(&head.texts[i])
    free_texts(&head.trace_ids)
    free_texts(&head.resources)
    free_texts(&head.scopes)
    free(head.scratch.data)
    memset(head, 0, sizeof(Head))


cdef int64_t row_size(int table) noexcept nogil:
    if table == SPANS:
        return sizeof(SpanRow)
    if table == EVENTS:
        return sizeof(EventRow)
    if table == LINKS:
        return sizeof(LinkRow)
    return sizeof(ResourceRow) if table == RESOURCES else sizeof(ScopeRow)


cdef int64_t head_memory(const Head* head) noexcept nogil:
    cdef int64_t bytes = sizeof(Head) + head.scratch.capacity
    cdef int i
    for i in range(ROW_TABLES):
        bytes += attributes_memory(&head.attributes[i]) + head.rows[i].capacity * row_size(i)
    for i in range(DICTIONARIES):
        bytes += texts_memory(&head.texts[i])
    bytes += texts_memory(&head.trace_ids)
    return bytes + texts_memory(&head.resources) + texts_memory(&head.scopes)


cdef void set_mark(const Head* head, Mark* mark) noexcept nogil:
    cdef int i
    for i in range(ROW_TABLES):
        mark.rows[i] = head.rows[i].size
    mark.traces = head.trace_ids.count


cdef int roll_back(Head* head, const Mark* mark) except -1 nogil:
    """Forget what came after the mark. Dictionaries keep what they learnt."""
    cdef int i
    for i in range(ROW_TABLES):
        head.rows[i].size = mark.rows[i]
        truncate_attributes(&head.attributes[i], <int32_t>mark.rows[i])
    truncate_texts(&head.trace_ids, mark.traces)
    truncate_texts(&head.resources, <int32_t>mark.rows[RESOURCES])
    truncate_texts(&head.scopes, <int32_t>mark.rows[SCOPES])
    return 0
