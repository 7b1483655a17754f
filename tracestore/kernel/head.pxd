"""What a builder holds of its spans: rows in order of arrival, texts, and sparse attributes."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from tracestore.kernel.sparse cimport Attributes
from tracestore.kernel.texts cimport Bytes, HashKey, Texts
from tracestore.kernel.wire cimport Wire

cdef enum:  # in the order of model.tables.Table without TRACES
    SPANS = 0
    EVENTS
    LINKS
    RESOURCES
    SCOPES
    ROW_TABLES

cdef enum:  # dictionaries; the text number 0 of each is empty
    SPAN_NAME = 0
    STATUS_MESSAGE
    TRACE_STATE
    EVENT_NAME
    LINK_TRACE_STATE
    RESOURCE_SCHEMA_URL
    ENTITY_REFS
    SERVICE_NAME
    SCOPE_NAME
    SCOPE_VERSION
    SCOPE_SCHEMA_URL
    DICTIONARIES

cdef struct SpanRow:
    uint64_t span_id  # big-endian value
    uint64_t parent_id
    uint64_t start_ns
    int64_t duration
    int32_t trace
    int32_t resource
    int32_t scope
    int32_t name
    int32_t kind
    int32_t status_code
    int32_t status_message
    int32_t trace_state
    uint32_t flags
    uint32_t dropped_attributes
    uint32_t dropped_events
    uint32_t dropped_links
    int32_t shape  # of attribute_order; -1: fewer than two keys
    uint32_t wire_size  # bytes of the message
    uint8_t has_parent
    uint8_t has_status
    uint8_t is_child_by_link  # a link says that it is no root

cdef struct EventRow:
    uint64_t time
    int32_t span  # arrival row
    int32_t name
    uint32_t dropped_attributes
    int32_t shape

cdef struct LinkRow:
    uint8_t[16] trace_id
    uint8_t[8] span_id
    int32_t trace_id_size  # 0 or 16
    int32_t span_id_size  # 0 or 8
    int32_t span
    int32_t trace_state
    uint32_t flags
    uint32_t dropped_attributes
    int32_t shape
    uint8_t is_child_of  # opentracing.ref_type says so

cdef struct ResourceRow:
    int32_t schema_url
    int32_t entity_refs  # -1: none
    int32_t service_name  # -1: none, or no string
    uint32_t dropped_attributes
    int32_t shape
    uint8_t is_sent

cdef struct ScopeRow:
    int32_t name
    int32_t version
    int32_t schema_url
    uint32_t dropped_attributes
    int32_t shape
    uint8_t is_sent

cdef struct Rows:
    void* data
    int64_t size
    int64_t capacity

cdef struct Head:
    HashKey hash_key
    Rows[ROW_TABLES] rows
    Attributes[ROW_TABLES] attributes
    Texts[DICTIONARIES] texts
    Texts trace_ids
    Texts resources  # messages with their schema_url, as row of the table
    Texts scopes
    Bytes scratch
    int64_t wire_bytes
    uint64_t start_ns
    uint64_t end_ns

cdef struct Mark:  # the state of a head before an append
    int64_t[ROW_TABLES] rows
    int32_t traces

cdef int init_head(Head* head, uint64_t first_key, uint64_t second_key) except -1 nogil
cdef void free_head(Head* head) noexcept nogil
cdef int64_t head_memory(const Head* head) noexcept nogil
cdef int64_t row_size(int table) noexcept nogil
cdef void set_mark(const Head* head, Mark* mark) noexcept nogil
cdef int roll_back(Head* head, const Mark* mark) except -1 nogil
