"""Rows of the six tables -> one ExportTraceServiceRequest, the inverse of the decoder.

Proto3's canonical form: fields ascend, scalars of value 0 are left out, members of a oneof and messages
that were present are written even if empty. The loop over spans is C and runs without the GIL.

Source: opentelemetry-proto, trace/v1/trace.proto, common/v1/common.proto, resource/v1/resource.proto.
"""

import numpy as np

from tracestore.errors import CorruptionError
from tracestore.kernel.any_value import encode_entity_refs
from tracestore.model import tables

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX

from tracestore.kernel.attribute_writer cimport AttributeWriter
from tracestore.kernel.attribute_writer import encoded_dictionary
from tracestore.kernel.arrow_columns cimport Column, bind, int32_at, int64_at, is_valid, span_of
from tracestore.kernel.arrow_columns import plain_array
from tracestore.kernel.writer cimport (
    Writer, begin, end, put_bytes, put_delimited, put_fixed32, put_fixed64, put_integer,
)

cdef enum:  # tags of protobuf fields: number << 3 | wire type
    REQUEST_RESOURCE_SPANS = 0x0A
    GROUP_OWNER = 0x0A  # resource of ResourceSpans, scope of ScopeSpans
    GROUP_MEMBERS = 0x12  # scope_spans, spans
    GROUP_SCHEMA_URL = 0x1A
    RESOURCE_ATTRIBUTES = 0x0A
    RESOURCE_DROPPED = 0x10
    SCOPE_NAME = 0x0A
    SCOPE_VERSION = 0x12
    SCOPE_ATTRIBUTES = 0x1A
    SCOPE_DROPPED = 0x20
    SPAN_TRACE_ID = 0x0A
    SPAN_ID = 0x12
    SPAN_TRACE_STATE = 0x1A
    SPAN_PARENT_ID = 0x22
    SPAN_NAME = 0x2A
    SPAN_KIND = 0x30
    SPAN_START = 0x39
    SPAN_END = 0x41
    SPAN_ATTRIBUTES = 0x4A
    SPAN_DROPPED_ATTRIBUTES = 0x50
    SPAN_EVENTS = 0x5A
    SPAN_DROPPED_EVENTS = 0x60
    SPAN_LINKS = 0x6A
    SPAN_DROPPED_LINKS = 0x70
    SPAN_STATUS = 0x7A
    SPAN_FLAGS = 0x85  # and one more byte
    STATUS_MESSAGE = 0x12
    STATUS_CODE = 0x18
    EVENT_TIME = 0x09
    EVENT_NAME = 0x12
    EVENT_ATTRIBUTES = 0x1A
    EVENT_DROPPED = 0x20
    LINK_TRACE_ID = 0x0A
    LINK_SPAN_ID = 0x12
    LINK_TRACE_STATE = 0x1A
    LINK_ATTRIBUTES = 0x22
    LINK_DROPPED = 0x28
    LINK_FLAGS = 0x35

cdef enum:  # bytes that the length of a message probably takes
    GROUP_GUESS = 2
    SPAN_GUESS = 2
    PART_GUESS = 1


cdef enum:  # places of SPAN_COLUMNS
    S_TRACE_ID
    S_SPAN_ID
    S_PARENT_SPAN_ID
    S_RESOURCE
    S_SCOPE
    S_NAME
    S_KIND
    S_STATUS_CODE
    S_STATUS_MESSAGE
    S_START_TIME
    S_DURATION
    S_TRACE_STATE
    S_FLAGS
    S_DROPPED_ATTRIBUTES
    S_DROPPED_EVENTS
    S_DROPPED_LINKS

SPAN_COLUMNS = (
    "trace_id", "span_id", "parent_span_id", "resource", "scope", "name", "kind", "status_code",
    "status_message", "start_time", "duration", "trace_state", "flags", "dropped_attributes_count",
    "dropped_events_count", "dropped_links_count",
)

cdef enum:  # places of EVENT_COLUMNS
    E_SPAN
    E_NAME
    E_TIME
    E_DROPPED

EVENT_COLUMNS = ("span", "name", "time", "dropped_attributes_count")

cdef enum:  # places of LINK_COLUMNS
    L_SPAN
    L_TRACE_ID
    L_SPAN_ID
    L_TRACE_STATE
    L_FLAGS
    L_DROPPED

LINK_COLUMNS = ("span", "trace_id", "span_id", "trace_state", "flags", "dropped_attributes_count")

cdef enum:  # places of RESOURCE_COLUMNS
    R_SCHEMA_URL
    R_DROPPED
    R_ENTITY_REFS

RESOURCE_COLUMNS = ("schema_url", "dropped_attributes_count", "entity_refs")

cdef enum:  # places of SCOPE_COLUMNS
    C_NAME
    C_VERSION
    C_SCHEMA_URL
    C_DROPPED
    COLUMNS_MAX = 16

SCOPE_COLUMNS = ("name", "version", "schema_url", "dropped_attributes_count")


cdef class Rows:
    """The fixed columns of one table that OTLP has a field for, and its attributes."""

    cdef Column[COLUMNS_MAX] columns
    cdef AttributeWriter attributes
    cdef Py_ssize_t count
    cdef object keep  # what the pointers point into

    def __cinit__(self, source, which, names, uint8_t tag):
        """
        Args:
            names: the columns to bind, in the order of their places.
            tag: of the field that holds the attributes in the message of a row.
        """
        table = source.table(which)
        self.count = len(table)
        self.keep = []
        memset(self.columns, 0, sizeof(self.columns))
        if not self.count:
            return
        self.attributes = AttributeWriter(table, tables.SCOPE_OF_TABLE[which], tag)
        for place, name in enumerate(names):
            field = tables.FIXED_SCHEMA[which].field(name)
            array = plain_array(table[name], field.type)
            if array.null_count and not field.nullable:
                raise CorruptionError(f"{array.null_count} nulls in {name}", key=which.value)
            if name == "entity_refs":
                array = encoded_dictionary(array, encode_entity_refs)
            bind(&self.columns[<Py_ssize_t> place], array, self.keep)

    cdef inline int put_text(self, Writer* out, uint8_t tag, int place, Py_ssize_t row) except -1 nogil:
        """Write a text or bytes field unless it is empty or null."""
        cdef const Column* column = &self.columns[place]
        cdef Py_ssize_t length
        cdef const uint8_t* data
        if not is_valid(column, row):
            return 0
        data = span_of(column, row if column.codes == NULL else column.codes[row], &length)
        return put_delimited(out, tag, data, length) if length else 0

    cdef inline int put_count(self, Writer* out, uint8_t tag, int place, Py_ssize_t row) except -1 nogil:
        """Write an unsigned 32-bit field unless it is 0."""
        cdef uint32_t value = int32_at(&self.columns[place], row)
        return put_integer(out, tag, value) if value else 0

    cdef inline int put_id(self, Writer* out, uint8_t tag, int place, Py_ssize_t row) except -1 nogil:
        """Write an ID of fixed length unless it is null."""
        cdef const Column* column = &self.columns[place]
        if not is_valid(column, row):
            return 0
        return put_delimited(out, tag, column.data + row * column.width, column.width)

    def check_spans(self, Py_ssize_t spans):
        """Check that the rows are sorted by the span to which they belong.

        Raises: CorruptionError, since rows out of order would be left out.
        """
        cdef Py_ssize_t row
        cdef int64_t span, last = 0
        for row in range(self.count):
            span = int64_at(&self.columns[E_SPAN], row)
            if not last <= span < spans:
                raise CorruptionError(f"row {row} belongs to span {span} of {spans}", key="span")
            last = span


cdef int write_event(Rows events, Writer* out, Py_ssize_t row) except -1 nogil:
    cdef Py_ssize_t event = begin(out, SPAN_EVENTS, PART_GUESS)
    cdef uint64_t time = int64_at(&events.columns[E_TIME], row)
    if time:
        put_fixed64(out, EVENT_TIME, time)
    events.put_text(out, EVENT_NAME, E_NAME, row)
    events.attributes.write(out, row)
    events.put_count(out, EVENT_DROPPED, E_DROPPED, row)
    return end(out, event, PART_GUESS)


cdef int write_link(Rows links, Writer* out, Py_ssize_t row) except -1 nogil:
    cdef Py_ssize_t link = begin(out, SPAN_LINKS, PART_GUESS)
    cdef uint32_t flags = int32_at(&links.columns[L_FLAGS], row)
    links.put_text(out, LINK_TRACE_ID, L_TRACE_ID, row)
    links.put_text(out, LINK_SPAN_ID, L_SPAN_ID, row)
    links.put_text(out, LINK_TRACE_STATE, L_TRACE_STATE, row)
    links.attributes.write(out, row)
    links.put_count(out, LINK_DROPPED, L_DROPPED, row)
    if flags:
        put_tag(out, LINK_FLAGS)
        put_fixed32(out, flags)
    return end(out, link, PART_GUESS)


cdef inline int put_tag(Writer* out, uint8_t tag) except -1 nogil:
    return put_bytes(out, &tag, 1)


cdef int write_status(Rows spans, Writer* out, Py_ssize_t row) except -1 nogil:
    cdef Py_ssize_t status
    cdef int32_t code
    if not is_valid(&spans.columns[S_STATUS_CODE], row):
        return 0
    status = begin(out, SPAN_STATUS, PART_GUESS)
    spans.put_text(out, STATUS_MESSAGE, S_STATUS_MESSAGE, row)
    code = int32_at(&spans.columns[S_STATUS_CODE], row)
    if code:
        put_integer(out, STATUS_CODE, <uint64_t> <int64_t> code)
    return end(out, status, PART_GUESS)


cdef int write_resource(Rows resources, Writer* out, Py_ssize_t row) except -1 nogil:
    cdef Py_ssize_t start, length
    cdef const uint8_t* data
    if not is_valid(&resources.columns[R_DROPPED], row):
        return 0
    start = begin(out, GROUP_OWNER, PART_GUESS)
    resources.attributes.write(out, row)
    resources.put_count(out, RESOURCE_DROPPED, R_DROPPED, row)
    if is_valid(&resources.columns[R_ENTITY_REFS], row):
        data = span_of(
            &resources.columns[R_ENTITY_REFS], resources.columns[R_ENTITY_REFS].codes[row], &length
        )
        put_bytes(out, data, length)
    return end(out, start, PART_GUESS)


cdef int write_scope(Rows scopes, Writer* out, Py_ssize_t row) except -1 nogil:
    cdef Py_ssize_t start
    if not is_valid(&scopes.columns[C_NAME], row):
        return 0
    start = begin(out, GROUP_OWNER, PART_GUESS)
    scopes.put_text(out, SCOPE_NAME, C_NAME, row)
    scopes.put_text(out, SCOPE_VERSION, C_VERSION, row)
    scopes.attributes.write(out, row)
    if is_valid(&scopes.columns[C_DROPPED], row):
        scopes.put_count(out, SCOPE_DROPPED, C_DROPPED, row)
    return end(out, start, PART_GUESS)


cdef class Owners:
    """Resources or scopes as encoded messages; each is encoded when a span first needs it."""

    cdef Rows rows
    cdef Writer messages
    cdef int64_t[::1] begins, ends
    cdef bint are_resources

    def __cinit__(self, Rows rows, bint are_resources):
        self.rows = rows
        self.are_resources = are_resources
        self.begins = np.full(rows.count, -1, np.int64)
        self.ends = np.empty(rows.count, np.int64)
        memset(&self.messages, 0, sizeof(self.messages))

    def __dealloc__(self):
        free(self.messages.data)

    cdef int put(self, Writer* out, Py_ssize_t row) except -1 nogil:
        """Write the field that holds the resource or scope, nothing if it is absent."""
        if self.begins[row] < 0:
            self.begins[row] = self.messages.size
            if self.are_resources:
                write_resource(self.rows, &self.messages, row)
            else:
                write_scope(self.rows, &self.messages, row)
            self.ends[row] = self.messages.size
        return put_bytes(
            out, self.messages.data + self.begins[row], self.ends[row] - self.begins[row]
        )


cdef class Encoder:
    """The tables bound for reading, and how far their events and links are written."""

    cdef Rows spans, events, links
    cdef Owners resources, scopes
    cdef Py_ssize_t next_event, next_link
    cdef Writer out

    def __cinit__(self, source):
        self.spans = Rows(source, tables.Table.SPANS, SPAN_COLUMNS, SPAN_ATTRIBUTES)
        self.events = Rows(source, tables.Table.EVENTS, EVENT_COLUMNS, EVENT_ATTRIBUTES)
        self.links = Rows(source, tables.Table.LINKS, LINK_COLUMNS, LINK_ATTRIBUTES)
        resources = Rows(source, tables.Table.RESOURCES, RESOURCE_COLUMNS, RESOURCE_ATTRIBUTES)
        scopes = Rows(source, tables.Table.SCOPES, SCOPE_COLUMNS, SCOPE_ATTRIBUTES)
        self.resources = Owners(resources, True)
        self.scopes = Owners(scopes, False)
        self.events.check_spans(self.spans.count)
        self.links.check_spans(self.spans.count)
        memset(&self.out, 0, sizeof(self.out))

    def __dealloc__(self):
        free(self.out.data)

    @property
    def count(self):
        """Spans that there are."""
        return self.spans.count

    def run(self, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t bytes_max):
        """Write some spans, those behind the ones written last: until there are so many bytes.

        Returns: where it ended, and the message.
        """
        self.out.size = 0
        with nogil:
            stop = self.write_spans(start, stop, bytes_max)
        if not self.out.size:
            return stop, b""
        return stop, PyBytes_FromStringAndSize(<char*> self.out.data, self.out.size)

    cdef Py_ssize_t write_spans(
        self, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t bytes_max
    ) except -1 nogil:
        cdef Writer* out = &self.out
        cdef Py_ssize_t row, group = 0, scope_group = 0
        cdef int32_t resource = -1, scope = -1, its_resource, its_scope
        for row in range(start, stop):
            its_resource = self.pointed_to(S_RESOURCE, self.resources.rows.count, row)
            its_scope = self.pointed_to(S_SCOPE, self.scopes.rows.count, row)
            if row > start and (its_resource != resource or its_scope != scope):
                self.scopes.rows.put_text(out, GROUP_SCHEMA_URL, C_SCHEMA_URL, scope)
                end(out, scope_group, GROUP_GUESS)
            if row > start and its_resource != resource:
                self.resources.rows.put_text(out, GROUP_SCHEMA_URL, R_SCHEMA_URL, resource)
                end(out, group, GROUP_GUESS)
            if its_resource != resource:
                group = begin(out, REQUEST_RESOURCE_SPANS, GROUP_GUESS)
                self.resources.put(out, its_resource)
            if its_resource != resource or its_scope != scope:
                scope_group = begin(out, GROUP_MEMBERS, GROUP_GUESS)
                self.scopes.put(out, its_scope)
            resource, scope = its_resource, its_scope
            self.write_span(self.spans, row)
            if out.size >= bytes_max:
                stop = row + 1
                break
        if stop > start:
            self.scopes.rows.put_text(out, GROUP_SCHEMA_URL, C_SCHEMA_URL, scope)
            end(out, scope_group, GROUP_GUESS)
            self.resources.rows.put_text(out, GROUP_SCHEMA_URL, R_SCHEMA_URL, resource)
            end(out, group, GROUP_GUESS)
        return stop

    cdef int32_t pointed_to(self, int place, Py_ssize_t count, Py_ssize_t row) except -1 nogil:
        """Read a row number of another table. Raises: CorruptionError if there is no such row."""
        cdef int32_t target = int32_at(&self.spans.columns[place], row)
        if not 0 <= target < count:
            with gil:
                name = SPAN_COLUMNS[place]
                raise CorruptionError(f"span {row} has {name} {target} of {count}", key="spans")
        return target

    cdef int write_span(self, Rows spans, Py_ssize_t row) except -1 nogil:
        cdef Writer* out = &self.out
        cdef Py_ssize_t span = begin(out, GROUP_MEMBERS, SPAN_GUESS)
        cdef uint64_t start = int64_at(&spans.columns[S_START_TIME], row)
        cdef uint64_t stop = start + <uint64_t> int64_at(&spans.columns[S_DURATION], row)
        cdef int32_t kind = int32_at(&spans.columns[S_KIND], row)
        cdef uint32_t flags = int32_at(&spans.columns[S_FLAGS], row)
        spans.put_id(out, SPAN_TRACE_ID, S_TRACE_ID, row)
        spans.put_id(out, SPAN_ID, S_SPAN_ID, row)
        spans.put_text(out, SPAN_TRACE_STATE, S_TRACE_STATE, row)
        spans.put_id(out, SPAN_PARENT_ID, S_PARENT_SPAN_ID, row)
        spans.put_text(out, SPAN_NAME, S_NAME, row)
        if kind:
            put_integer(out, SPAN_KIND, <uint64_t> <int64_t> kind)
        if start:
            put_fixed64(out, SPAN_START, start)
        if stop:
            put_fixed64(out, SPAN_END, stop)
        spans.attributes.write(out, row)
        spans.put_count(out, SPAN_DROPPED_ATTRIBUTES, S_DROPPED_ATTRIBUTES, row)
        while self.next_event < self.events.count and int64_at(&self.events.columns[E_SPAN], self.next_event) == row:
            write_event(self.events, out, self.next_event)
            self.next_event += 1
        spans.put_count(out, SPAN_DROPPED_EVENTS, S_DROPPED_EVENTS, row)
        while self.next_link < self.links.count and int64_at(&self.links.columns[L_SPAN], self.next_link) == row:
            write_link(self.links, out, self.next_link)
            self.next_link += 1
        spans.put_count(out, SPAN_DROPPED_LINKS, S_DROPPED_LINKS, row)
        write_status(spans, out, row)
        if flags:
            put_tag(out, SPAN_FLAGS)
            put_tag(out, 0x01)
            put_fixed32(out, flags)
        return end(out, span, SPAN_GUESS)


def encode(source) -> bytes:
    """Write the spans of ``tables`` as one ExportTraceServiceRequest, in table order.

    Raises: CorruptionError if the tables contradict themselves.
    """
    encoder = Encoder(source)
    return encoder.run(0, encoder.count, PY_SSIZE_T_MAX)[1]


def encode_parts(source, ends, Py_ssize_t bytes_max):
    """Write the spans of ``tables`` as one ExportTraceServiceRequest after the other.

    Raises: as ``encode``.
    """
    encoder = Encoder(source)
    cdef Py_ssize_t start = 0, stop
    for end in ends:
        stop = end
        assert start <= stop <= encoder.count, "ends ascend, to the number of spans"
        while start < stop:
            start, request = encoder.run(start, stop, bytes_max)
            yield start, request
