"""ExportTraceServiceRequest -> rows, texts and sparse attributes of a head, in one pass.

Bytes come here checked (``check.pyx``), but every read is bounded by the end of its message all the same.
Of a repeated singular field the last one counts, messages merge; fields may come in any order.

Source: opentelemetry-proto 1.10, trace.proto; https://protobuf.dev/programming-guides/encoding.
"""

from tracestore.errors import MalformedError

from libc.stdint cimport INT32_MAX, UINT32_MAX, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcmp, memcpy, memset

from tracestore.kernel.sparse cimport (
    Attributes,
    append_attribute,
    begin_row,
    end_row,
    first_string,
    row_has,
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
    Rows,
    ScopeRow,
    SpanRow,
)
from tracestore.kernel.texts cimport Bytes, Texts, grow, intern, put, refuse_size, text_start
from tracestore.kernel.values cimport put_entities
from tracestore.kernel.wire cimport (
    DEPTH_MAX,
    FIXED32,
    FIXED64,
    LENGTH,
    VARINT,
    Field,
    Wire,
    load_big64,
    next_field,
)


cdef struct Slice:
    Wire data
    Wire end


cdef struct Group:  # a message that many spans share, and what stands beside it
    Bytes key  # 1 if the message was sent, size of the schema_url, schema_url, message
    Slice url
    Slice message  # its parts joined
    uint8_t is_sent
    int32_t row  # of resources or scopes; -1: not yet needed


cdef int refuse_change() except -1 nogil:
    with gil:
        raise MalformedError("request changed while it was read", 0)


cdef inline void cut(Slice* slice, Field* field) noexcept nogil:
    slice.data, slice.end = field.data, field.end


cdef inline Wire step(Wire p, Wire end, Field* field) except? NULL nogil:
    p = next_field(p, end, DEPTH_MAX, field)
    if p == NULL:
        refuse_change()
    return p


cdef inline int32_t number_text(Head* head, int dictionary, Slice* text) except -1 nogil:
    if text.data == text.end:
        return 0
    return intern(&head.hash_key, &head.texts[dictionary], text.data, text.end - text.data)


cdef inline void* add_row(Rows* rows, int64_t size) except NULL nogil:
    if rows.size == INT32_MAX:
        refuse_size()
    if rows.size == rows.capacity:
        grow(&rows.data, &rows.capacity, rows.size + 1, size)
    rows.size += 1
    return <char*>rows.data + (rows.size - 1) * size


cdef int decode_request(Head* head, Wire p, Wire end) except -1 nogil:
    cdef Field field
    while p < end:
        p = step(p, end, &field)
        if field.wire_type == LENGTH and field.number == 1:
            decode_resource_spans(head, field.data, field.end)
    return 0


cdef int decode_resource_spans(Head* head, Wire p, Wire end) except -1 nogil:
    cdef Field field
    cdef Group resource
    memset(&resource, 0, sizeof(Group))
    try:
        read_group(p, end, &resource)
        while p < end:
            p = step(p, end, &field)
            if field.wire_type == LENGTH and field.number == 2:
                decode_scope_spans(head, &resource, field.data, field.end)
    finally:
        free(resource.key.data)
    return 0


cdef int decode_scope_spans(Head* head, Group* resource, Wire p, Wire end) except -1 nogil:
    cdef Field field
    cdef Group scope
    memset(&scope, 0, sizeof(Group))
    try:
        read_group(p, end, &scope)
        while p < end:
            p = step(p, end, &field)
            if field.wire_type == LENGTH and field.number == 2:
                if resource.row < 0:
                    resource.row = number_resource(head, resource)
                if scope.row < 0:
                    scope.row = number_scope(head, &scope)
                decode_span(head, resource.row, scope.row, field.data, field.end)
    finally:
        free(scope.key.data)
    return 0


cdef int read_group(Wire p, Wire end, Group* group) except -1 nogil:
    """Find the fields of ResourceSpans or ScopeSpans that are not the repeated one.

    Both have the shared message as 1 and schema_url as 3, before or behind what they apply to.
    """
    cdef Field field
    cdef Wire start = p
    cdef uint32_t url_size
    group.row = -1
    group.url.data = group.url.end = p
    while p < end:
        p = step(p, end, &field)
        if field.wire_type == LENGTH and field.number == 3:
            cut(&group.url, &field)
        elif field.wire_type == LENGTH and field.number == 1:
            group.is_sent = True
    url_size = <uint32_t>(group.url.end - group.url.data)
    put(&group.key, &group.is_sent, 1)
    put(&group.key, &url_size, sizeof(url_size))
    put(&group.key, group.url.data, url_size)
    p = start
    while p < end and group.is_sent:
        p = step(p, end, &field)
        if field.wire_type == LENGTH and field.number == 1:
            put(&group.key, field.data, field.end - field.data)
    group.message.data = group.key.data + 1 + sizeof(url_size) + url_size
    group.message.end = group.key.data + group.key.size
    return 0


cdef int32_t number_resource(Head* head, Group* group) except -1 nogil:
    """Get the row of a resource, which is decoded if it is new."""
    cdef Attributes* a = &head.attributes[RESOURCES]
    cdef int32_t row = intern(&head.hash_key, &head.resources, group.key.data, group.key.size)
    cdef ResourceRow resource
    cdef Field field
    cdef Wire p = group.message.data
    cdef int64_t size = 0
    cdef bint has_entities = False
    if row < head.rows[RESOURCES].size:
        return row
    memset(&resource, 0, sizeof(ResourceRow))
    begin_row(a)
    while p < group.message.end:
        p = step(p, group.message.end, &field)
        if field.wire_type == LENGTH and field.number == 1:
            append_attribute(a, row, field.data, field.end)
        elif field.wire_type == VARINT and field.number == 2:
            resource.dropped_attributes = <uint32_t>field.value
        elif field.wire_type == LENGTH and field.number == 3:
            has_entities = True
    resource.shape = end_row(a)
    resource.is_sent = group.is_sent
    resource.schema_url = number_text(head, RESOURCE_SCHEMA_URL, &group.url)
    resource.entity_refs = -1
    if has_entities:
        head.scratch.size = 0
        put_entities(&head.scratch, group.message.data, group.message.end)
        resource.entity_refs = intern(
            &head.hash_key, &head.texts[ENTITY_REFS], head.scratch.data, head.scratch.size
        )
    p = first_string(a, row, "service.name", &size)
    resource.service_name = -1
    if p != NULL:
        resource.service_name = intern(&head.hash_key, &head.texts[SERVICE_NAME], p, size)
    (<ResourceRow*>add_row(&head.rows[RESOURCES], sizeof(ResourceRow)))[0] = resource
    return row


cdef int32_t number_scope(Head* head, Group* group) except -1 nogil:
    """Get the row of a scope, which is decoded if it is new."""
    cdef Attributes* a = &head.attributes[SCOPES]
    cdef int32_t row = intern(&head.hash_key, &head.scopes, group.key.data, group.key.size)
    cdef ScopeRow scope
    cdef Field field
    cdef Wire p = group.message.data
    cdef Slice name
    cdef Slice version
    if row < head.rows[SCOPES].size:
        return row
    memset(&scope, 0, sizeof(ScopeRow))
    name.data = name.end = version.data = version.end = p
    begin_row(a)
    while p < group.message.end:
        p = step(p, group.message.end, &field)
        if field.wire_type == LENGTH and field.number == 1:
            cut(&name, &field)
        elif field.wire_type == LENGTH and field.number == 2:
            cut(&version, &field)
        elif field.wire_type == LENGTH and field.number == 3:
            append_attribute(a, row, field.data, field.end)
        elif field.wire_type == VARINT and field.number == 4:
            scope.dropped_attributes = <uint32_t>field.value
    scope.shape = end_row(a)
    scope.is_sent = group.is_sent
    scope.name = number_text(head, SCOPE_NAME, &name)
    scope.version = number_text(head, SCOPE_VERSION, &version)
    scope.schema_url = number_text(head, SCOPE_SCHEMA_URL, &group.url)
    (<ScopeRow*>add_row(&head.rows[SCOPES], sizeof(ScopeRow)))[0] = scope
    return row


cdef struct SpanTexts:
    Slice trace_id
    Slice span_id
    Slice parent_id
    Slice name
    Slice trace_state
    Slice status_message


cdef int decode_span(Head* head, int32_t resource, int32_t scope, Wire p, Wire end) except -1 nogil:
    cdef Attributes* a = &head.attributes[SPANS]
    cdef int32_t row = <int32_t>head.rows[SPANS].size
    cdef int64_t links = head.rows[LINKS].size
    cdef uint64_t end_ns = 0
    cdef SpanRow span
    cdef SpanTexts texts
    cdef Field field
    memset(&span, 0, sizeof(SpanRow))
    span.wire_size = <uint32_t>min(end - p, UINT32_MAX)
    memset(&texts, 0, sizeof(SpanTexts))
    begin_row(a)
    while p < end:
        p = step(p, end, &field)
        if field.wire_type == LENGTH:
            if field.number == 9:
                append_attribute(a, row, field.data, field.end)
            elif field.number == 11:
                decode_event(head, row, field.data, field.end)
            elif field.number == 13:
                decode_link(head, row, field.data, field.end)
            elif field.number == 15:
                decode_status(field.data, field.end, &span, &texts)
            else:
                take_text(&field, &texts)
        elif field.wire_type == FIXED64:
            if field.number == 7:
                span.start_ns = field.value
            elif field.number == 8:
                end_ns = field.value
        else:
            take_number(&field, &span)
    span.resource, span.scope = resource, scope
    span.duration = <int64_t>(end_ns - span.start_ns)
    span.shape = end_row(a)
    finish_span(head, &span, &texts)
    if head.rows[LINKS].size > links:
        finish_links(head, &span, links, &texts)
    (<SpanRow*>add_row(&head.rows[SPANS], sizeof(SpanRow)))[0] = span
    return 0


cdef inline void take_text(Field* field, SpanTexts* texts) noexcept nogil:
    if field.number == 1:
        cut(&texts.trace_id, field)
    elif field.number == 2:
        cut(&texts.span_id, field)
    elif field.number == 3:
        cut(&texts.trace_state, field)
    elif field.number == 4:
        cut(&texts.parent_id, field)
    elif field.number == 5:
        cut(&texts.name, field)


cdef inline void take_number(Field* field, SpanRow* span) noexcept nogil:
    if field.wire_type == FIXED32:
        if field.number == 16:
            span.flags = <uint32_t>field.value
    elif field.wire_type == VARINT:
        if field.number == 6:
            span.kind = <int32_t>field.value
        elif field.number == 10:
            span.dropped_attributes = <uint32_t>field.value
        elif field.number == 12:
            span.dropped_events = <uint32_t>field.value
        elif field.number == 14:
            span.dropped_links = <uint32_t>field.value


cdef int decode_status(Wire p, Wire end, SpanRow* span, SpanTexts* texts) except -1 nogil:
    cdef Field field
    span.has_status = True
    while p < end:
        p = step(p, end, &field)
        if field.wire_type == LENGTH and field.number == 2:
            cut(&texts.status_message, &field)
        elif field.wire_type == VARINT and field.number == 3:
            span.status_code = <int32_t>field.value
    return 0


cdef int finish_span(Head* head, SpanRow* span, SpanTexts* texts) except -1 nogil:
    """Turn IDs and texts into numbers."""
    if texts.trace_id.end - texts.trace_id.data != 16 or texts.span_id.end - texts.span_id.data != 8:
        refuse_change()
    span.trace = number_trace(head, texts.trace_id.data)
    span.span_id = load_big64(texts.span_id.data)
    if texts.parent_id.end - texts.parent_id.data == 8:
        span.has_parent = True
        span.parent_id = load_big64(texts.parent_id.data)
    span.name = number_text(head, SPAN_NAME, &texts.name)
    span.trace_state = number_text(head, TRACE_STATE, &texts.trace_state)
    span.status_message = number_text(head, STATUS_MESSAGE, &texts.status_message)
    return 0


cdef inline int32_t number_trace(Head* head, Wire trace_id) except -1 nogil:
    cdef Texts* ids = &head.trace_ids
    cdef Rows* spans = &head.rows[SPANS]
    cdef int32_t before
    if spans.size:
        before = (<SpanRow*>spans.data)[spans.size - 1].trace
        if memcmp(text_start(ids, before), trace_id, 16) == 0:
            return before
    return intern(&head.hash_key, ids, trace_id, 16)


cdef int decode_event(Head* head, int32_t span, Wire p, Wire end) except -1 nogil:
    cdef Attributes* a = &head.attributes[EVENTS]
    cdef int32_t row = <int32_t>head.rows[EVENTS].size
    cdef EventRow event
    cdef Slice name
    cdef Field field
    memset(&event, 0, sizeof(EventRow))
    name.data = name.end = p
    begin_row(a)
    while p < end:
        p = step(p, end, &field)
        if field.wire_type == LENGTH and field.number == 3:
            append_attribute(a, row, field.data, field.end)
        elif field.wire_type == LENGTH and field.number == 2:
            cut(&name, &field)
        elif field.wire_type == FIXED64 and field.number == 1:
            event.time = field.value
        elif field.wire_type == VARINT and field.number == 4:
            event.dropped_attributes = <uint32_t>field.value
    event.span = span
    event.shape = end_row(a)
    event.name = number_text(head, EVENT_NAME, &name)
    (<EventRow*>add_row(&head.rows[EVENTS], sizeof(EventRow)))[0] = event
    return 0


cdef int decode_link(Head* head, int32_t span, Wire p, Wire end) except -1 nogil:
    cdef Attributes* a = &head.attributes[LINKS]
    cdef int32_t row = <int32_t>head.rows[LINKS].size
    cdef LinkRow link
    cdef Slice state
    cdef Field field
    memset(&link, 0, sizeof(LinkRow))
    state.data = state.end = p
    begin_row(a)
    while p < end:
        p = step(p, end, &field)
        if field.wire_type == LENGTH and field.number == 1:
            link.trace_id_size = 16 if field.end - field.data == 16 else 0
            memcpy(link.trace_id, field.data, link.trace_id_size)
        elif field.wire_type == LENGTH and field.number == 2:
            link.span_id_size = 8 if field.end - field.data == 8 else 0
            memcpy(link.span_id, field.data, link.span_id_size)
        elif field.wire_type == LENGTH and field.number == 3:
            cut(&state, &field)
        elif field.wire_type == LENGTH and field.number == 4:
            append_attribute(a, row, field.data, field.end)
        elif field.wire_type == VARINT and field.number == 5:
            link.dropped_attributes = <uint32_t>field.value
        elif field.wire_type == FIXED32 and field.number == 6:
            link.flags = <uint32_t>field.value
    link.span = span
    link.shape = end_row(a)
    link.trace_state = number_text(head, LINK_TRACE_STATE, &state)
    link.is_child_of = row_has(a, row, "opentracing.ref_type", "child_of")
    (<LinkRow*>add_row(&head.rows[LINKS], sizeof(LinkRow)))[0] = link
    return 0


cdef int finish_links(Head* head, SpanRow* span, int64_t first, SpanTexts* texts) except -1 nogil:
    """See whether a link makes the span a child within its own trace. TraceQL reference, 4.3."""
    cdef LinkRow* links = <LinkRow*>head.rows[LINKS].data
    cdef int64_t i
    for i in range(first, head.rows[LINKS].size):
        if (
            links[i].is_child_of
            and links[i].trace_id_size == 16
            and memcmp(links[i].trace_id, texts.trace_id.data, 16) == 0
        ):
            span.is_child_by_link = True
    return 0
