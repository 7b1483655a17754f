"""The columns that every block has (``FIXED_SCHEMA``), copied out of a builder's rows."""

import numpy as np
import pyarrow as pa

from tracestore.model.tables import FIXED_SCHEMA, SPAN_ID, TEXT, TIMESTAMP, TRACE_ID, Table

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

from tracestore.kernel.dense cimport (
    dictionary_array,
    gather,
    pack_valid,
    primitive_array,
    text_array,
)
from tracestore.kernel.head cimport (
    ENTITY_REFS,
    EVENT_NAME,
    EVENTS,
    LINK_TRACE_STATE,
    LINKS,
    RESOURCE_SCHEMA_URL,
    RESOURCES,
    SCOPE_NAME,
    SCOPE_SCHEMA_URL,
    SCOPE_VERSION,
    SCOPES,
    SERVICE_NAME,
    SPAN_NAME,
    SPANS,
    STATUS_MESSAGE,
    TRACE_STATE,
    EventRow,
    Head,
    LinkRow,
    ResourceRow,
    ScopeRow,
    SpanRow,
    row_size,
)
from tracestore.kernel.sparse cimport Attributes
from tracestore.kernel.texts cimport (
    Bytes,
    Texts,
    add_text,
    free_texts,
    put_byte,
    text_size,
    text_start,
)
from tracestore.kernel.values cimport put_quoted

cdef enum:
    STATUS_ERROR = 2
    SHAPES = -1  # instead of a dictionary: attribute_order

cdef SpanRow span
cdef EventRow event
cdef LinkRow link
cdef ResourceRow resource
cdef ScopeRow scope

cdef int64_t distance(const void* row, const void* field):
    return <const char*>field - <const char*>row


LAYOUT = {
    # column: place in the row, dictionary, place of the byte that says that it is not null
    SPANS: {
        "span_id": (distance(&span, &span.span_id), None, None),
        "parent_span_id": (distance(&span, &span.parent_id), None, distance(&span, &span.has_parent)),
        "resource": (distance(&span, &span.resource), None, None),
        "scope": (distance(&span, &span.scope), None, None),
        "name": (distance(&span, &span.name), SPAN_NAME, None),
        "kind": (distance(&span, &span.kind), None, None),
        "status_code": (distance(&span, &span.status_code), None, distance(&span, &span.has_status)),
        "status_message": (distance(&span, &span.status_message), STATUS_MESSAGE, None),
        "start_time": (distance(&span, &span.start_ns), None, None),
        "duration": (distance(&span, &span.duration), None, None),
        "trace_state": (distance(&span, &span.trace_state), TRACE_STATE, None),
        "flags": (distance(&span, &span.flags), None, None),
        "dropped_attributes_count": (distance(&span, &span.dropped_attributes), None, None),
        "dropped_events_count": (distance(&span, &span.dropped_events), None, None),
        "dropped_links_count": (distance(&span, &span.dropped_links), None, None),
        "attribute_order": (distance(&span, &span.shape), SHAPES, None),
    },
    EVENTS: {
        "name": (distance(&event, &event.name), EVENT_NAME, None),
        "time": (distance(&event, &event.time), None, None),
        "dropped_attributes_count": (distance(&event, &event.dropped_attributes), None, None),
        "attribute_order": (distance(&event, &event.shape), SHAPES, None),
    },
    LINKS: {
        "trace_id": (distance(&link, &link.trace_id), None, distance(&link, &link.trace_id_size)),
        "span_id": (distance(&link, &link.span_id), None, distance(&link, &link.span_id_size)),
        "trace_state": (distance(&link, &link.trace_state), LINK_TRACE_STATE, None),
        "flags": (distance(&link, &link.flags), None, None),
        "dropped_attributes_count": (distance(&link, &link.dropped_attributes), None, None),
        "attribute_order": (distance(&link, &link.shape), SHAPES, None),
    },
    RESOURCES: {
        "schema_url": (distance(&resource, &resource.schema_url), RESOURCE_SCHEMA_URL, None),
        "dropped_attributes_count": (
            distance(&resource, &resource.dropped_attributes),
            None,
            distance(&resource, &resource.is_sent),
        ),
        "entity_refs": (distance(&resource, &resource.entity_refs), ENTITY_REFS, None),
        "attribute_order": (distance(&resource, &resource.shape), SHAPES, None),
    },
    SCOPES: {
        "name": (distance(&scope, &scope.name), SCOPE_NAME, distance(&scope, &scope.is_sent)),
        "version": (distance(&scope, &scope.version), SCOPE_VERSION, distance(&scope, &scope.is_sent)),
        "schema_url": (distance(&scope, &scope.schema_url), SCOPE_SCHEMA_URL, None),
        "dropped_attributes_count": (
            distance(&scope, &scope.dropped_attributes),
            None,
            distance(&scope, &scope.is_sent),
        ),
        "attribute_order": (distance(&scope, &scope.shape), SHAPES, None),
    },
}
TABLES = {SPANS: Table.SPANS, EVENTS: Table.EVENTS, LINKS: Table.LINKS}
TABLES |= {RESOURCES: Table.RESOURCES, SCOPES: Table.SCOPES}


cdef fixed_array(Head* head, int table, object column, const int64_t[::1] order):
    """Make a column of the table's rows, in the order given."""
    place, dictionary, presence = LAYOUT[table][column]
    cdef const char* rows = <const char*>head.rows[table].data
    cdef int64_t stride = row_size(table)
    kind = FIXED_SCHEMA[TABLES[table]].field(column).type
    if kind == pa.binary():
        return id_array(rows, stride, place, presence, order)
    valid = None
    if presence is not None:
        valid = pack_valid(gather(rows + <int64_t>presence, stride, 1, order) != 0)
    if kind == TEXT:
        codes = gather(rows + <int64_t>place, stride, 4, order).view(np.int32)
        if presence is None:
            valid = pack_valid(codes >= 0)
        return dictionary_array(codes, valid, texts_of(head, table, dictionary))
    values = gather(rows + <int64_t>place, stride, kind.bit_width // 8, order)
    if kind == SPAN_ID:
        values = values.view(np.uint64).astype(">u8")
    return primitive_array(kind, values, valid)


cdef texts_of(Head* head, int table, dictionary):
    if dictionary == SHAPES:
        return order_texts(&head.attributes[table])
    cdef Texts* texts = &head.texts[<int>dictionary]
    return text_array(texts, texts.count)


cdef id_array(const char* rows, int64_t stride, place, size_place, const int64_t[::1] order):
    """Make an array of IDs, each of which is there in full or empty."""
    cdef int64_t width = 16 if size_place - place > 16 else 8
    sizes = gather(rows + <int64_t>size_place, stride, 4, order).view(np.int32)
    whole = gather(rows + <int64_t>place, stride, <int>width, order).reshape(-1, width)
    ends = np.zeros(len(sizes) + 1, np.int32)
    np.cumsum(sizes, out=ends[1:])
    data = np.ascontiguousarray(whole[sizes > 0])
    return pa.Array.from_buffers(
        pa.binary(), len(sizes), [None, pa.py_buffer(ends), pa.py_buffer(data)]
    )


cdef order_texts(Attributes* a):
    """Write each sequence of keys as a JSON array."""
    cdef Texts texts
    memset(&texts, 0, sizeof(Texts))
    try:
        with nogil:
            write_orders(a, &texts)
        return text_array(&texts, texts.count)
    finally:
        free_texts(&texts)


cdef int write_orders(Attributes* a, Texts* texts) except -1 nogil:
    cdef Bytes out
    cdef const int32_t* keys
    cdef Texts* names = &a.key_texts
    cdef int32_t shape, i
    memset(&out, 0, sizeof(Bytes))
    try:
        for shape in range(a.shapes.count):
            out.size = 0
            keys = <const int32_t*>text_start(&a.shapes, shape)
            for i in range(text_size(&a.shapes, shape) // <int32_t>sizeof(int32_t)):
                put_byte(&out, c"," if i else c"[")
                put_quoted(
                    &out,
                    text_start(names, keys[i]),
                    text_start(names, keys[i]) + text_size(names, keys[i]),
                )
            put_byte(&out, c"]")
            add_text(texts, out.data, out.size)
    finally:
        free(out.data)
    return 0


cdef dict trace_arrays(
    Head* head,
    int32_t traces,
    const int64_t[::1] first_span,
    const int64_t[::1] order,
    const int32_t[::1] nested_parent,
    const int32_t[::1] trace_order,
):
    """Make the columns of ``traces`` that are sums over their spans.

    The root is the last of the spans without a parent, unless a link makes it a child.
    """
    made = {
        name: np.zeros(traces + 1, kind)
        for name, kind in (
            ("error_count", np.int32),
            ("start_time", np.uint64),
            ("end_time", np.uint64),
            ("root_span", np.int64),
            ("root_name", np.int32),
            ("root_service_name", np.int32),
        )
    }
    cdef int32_t[::1] errors = made["error_count"]
    cdef uint64_t[::1] start = made["start_time"]
    cdef uint64_t[::1] end = made["end_time"]
    cdef int64_t[::1] root = made["root_span"]
    cdef int32_t[::1] root_name = made["root_name"]
    cdef int32_t[::1] service = made["root_service_name"]
    cdef const SpanRow* spans = <const SpanRow*>head.rows[SPANS].data
    cdef const ResourceRow* resources = <const ResourceRow*>head.rows[RESOURCES].data
    cdef const SpanRow* s
    cdef int32_t t
    cdef int64_t row
    with nogil:
        for t in range(traces):
            root[t] = root_name[t] = service[t] = -1
            start[t] = ~<uint64_t>0
            for row in range(first_span[t], first_span[t + 1]):
                s = &spans[order[row]]
                start[t] = min(start[t], s.start_ns)
                end[t] = max(end[t], s.start_ns + <uint64_t>s.duration)
                errors[t] += s.status_code == STATUS_ERROR
                if nested_parent[row] == -1 and not s.is_child_by_link:
                    root[t] = row
                    root_name[t] = s.name
                    service[t] = resources[s.resource].service_name
    cut = {column: values[:traces] for column, values in made.items()}
    ids = head.trace_ids.bytes
    return {
        "trace_id": primitive_array(TRACE_ID, gather(ids, 16, 16, np.asarray(trace_order, np.int64))),
        "error_count": primitive_array(pa.int32(), cut["error_count"]),
        "start_time": primitive_array(TIMESTAMP, cut["start_time"]),
        "end_time": primitive_array(TIMESTAMP, cut["end_time"]),
        "root_span": primitive_array(pa.int64(), cut["root_span"], pack_valid(cut["root_span"] >= 0)),
        "root_name": coded(head, SPAN_NAME, cut["root_name"]),
        "root_service_name": coded(head, SERVICE_NAME, cut["root_service_name"]),
    }


cdef coded(Head* head, int dictionary, codes):
    texts = text_array(&head.texts[dictionary], head.texts[dictionary].count)
    return dictionary_array(codes, pack_valid(codes >= 0), texts)
