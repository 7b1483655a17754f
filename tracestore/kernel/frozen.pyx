"""``FrozenSpans``: what a builder held at one moment, as sorted tables whose columns are made on demand.

A snapshot is a number of rows: the builder only appends, so its first n rows stay what they are. Sorting is
done at once, on copies; a column is copied out, under the builder's lock, when it is first asked for.
"""

import bisect

import numpy as np
import pyarrow as pa

from tracestore.errors import CorruptionError
from tracestore.kernel.arrange import arrange
from tracestore.model.tables import (
    FIXED_SCHEMA,
    OVERFLOW,
    SCOPE_OF_TABLE,
    TRACE_ID,
    AttributeType,
    SpanTables,
    Table,
    name_columns,
    overflow_name,
)

from libc.stdint cimport int32_t, int64_t, uint8_t

from tracestore.kernel.builder cimport SpanBuilder
from tracestore.kernel.choose cimport choose_columns, find_columns
from tracestore.kernel.dense cimport column_array, gather, primitive_array
from tracestore.kernel.fixed cimport fixed_array, trace_arrays
from tracestore.kernel.head cimport (
    EVENTS,
    LINKS,
    RESOURCES,
    SCOPES,
    SPANS,
    EventRow,
    Head,
    LinkRow,
    ResourceRow,
    ScopeRow,
    SpanRow,
    row_size,
)
from tracestore.kernel.overflow cimport Leftovers, has_leftovers, overflow_array

FEW = 64  # rows are few if the table has so many times more
PARTS_MAX = 32  # reads of few rows before whole columns are made, and kept
TYPES = list(AttributeType)
NUMBERS = {
    Table.SPANS: SPANS,
    Table.EVENTS: EVENTS,
    Table.LINKS: LINKS,
    Table.RESOURCES: RESOURCES,
    Table.SCOPES: SCOPES,
}


cdef class View:
    """The rows of one table that a snapshot has, and where their attributes are."""

    cdef SpanBuilder builder
    cdef int number
    cdef readonly object schema
    cdef readonly Py_ssize_t rows
    cdef readonly dict made  # columns, by name
    cdef dict columns  # attribute column -> number of its sparse column
    cdef Py_ssize_t size  # rows of arrival
    cdef const int64_t[::1] order  # (rows + 1,) row of arrival of each row; one more: never empty
    cdef const int32_t[::1] position  # (size + 1,) its inverse, -1: left out
    cdef object is_own  # (columns,) uint8: sparse columns that are columns of the table

    def __init__(self, SpanBuilder builder, table, order, position):
        self.builder, self.number = builder, NUMBERS[table]
        self.rows, self.size = len(order), len(position)
        self.order, self.position = np.append(order, 0), np.append(position, np.int32(-1))
        self.made, self.columns = {}, {}
        self.schema = FIXED_SCHEMA[table]

    def fix(self, scope, wanted):
        """Take the attribute columns that are wanted, filled or not.

        The caller holds the builder's lock.

        Args:
            wanted: distinct pairs of key and type, and whether there is a column for the rest.
        """
        pairs, has_rest = wanted
        cdef Head* head = &self.builder.head
        there = find_columns(
            &head.attributes[self.number], self.size, self.position, self.rows, set(pairs)
        )
        self.is_own = np.zeros(head.attributes[self.number].columns_size + 1, np.uint8)
        for column in name_columns(scope, pairs):
            self.schema = self.schema.append(column.field())
            number = there.get((column.key, column.type))
            if number is None:
                self.made[column.name] = pa.nulls(self.rows, column.field().type)
            else:
                self.is_own[number] = 1
                self.columns[column.name] = number
        cdef Leftovers leftovers = self.leftovers()
        if has_rest:
            self.schema = self.schema.append(pa.field(overflow_name(scope), OVERFLOW))
        elif has_leftovers(&leftovers):
            raise CorruptionError(f"attributes that no column is for, in scope {scope.value}")

    def choose(self, scope, columns_max):
        """Choose the attribute columns. The caller holds the builder's lock."""
        cdef Head* head = &self.builder.head
        chosen = choose_columns(
            &head.attributes[self.number], self.size, self.position, self.rows, columns_max
        )
        self.is_own = np.zeros(head.attributes[self.number].columns_size + 1, np.uint8)
        named = name_columns(scope, [(key, TYPES[kind]) for key, kind, _ in chosen])
        for column, (_, _, number) in zip(named, chosen, strict=True):
            self.is_own[number] = 1
            self.columns[column.name] = number
            self.schema = self.schema.append(column.field())
        cdef Leftovers leftovers = self.leftovers()
        if has_leftovers(&leftovers):
            self.schema = self.schema.append(pa.field(overflow_name(scope), OVERFLOW))

    cdef Leftovers leftovers(self):
        cdef Head* head = &self.builder.head
        cdef Leftovers l
        cdef const uint8_t[::1] is_own = self.is_own
        l.attributes = &head.attributes[self.number]
        l.size, l.rows, l.columns = self.size, self.rows, len(self.is_own) - 1
        l.is_own, l.position, l.order = &is_own[0], &self.position[0], &self.order[0]
        l.shapes = <const char*>head.rows[self.number].data + shape_place(self.number)
        l.stride = row_size(self.number)
        return l

    def part(self, name, Py_ssize_t start, Py_ssize_t stop, position):
        """Get some rows of a column; unless it is there, only these are made, and not kept.

        Args:
            position: (size + 1,) row among these of each row of arrival, -1: none of them.
        """
        with self.builder.lock:
            if name not in self.made:
                order = np.append(np.asarray(self.order)[start:stop], 0)
                return self.make(name, order, position, stop - start)
        return self.made[name].slice(start, stop - start)

    def positions_of(self, Py_ssize_t start, Py_ssize_t stop):
        """Make the inverse of a part of the order."""
        position = np.full(self.size + 1, -1, np.int32)
        position[np.asarray(self.order)[start:stop]] = np.arange(stop - start, dtype=np.int32)
        return position

    def column(self, name):
        """Get a column, which is made now if nobody has asked for it."""
        if name in self.made:
            return self.made[name]
        with self.builder.lock:
            if name not in self.made:
                self.made[name] = self.make(name, self.order, self.position, self.rows)
        return self.made[name]

    cdef make(
        self, name, const int64_t[::1] order, const int32_t[::1] position, Py_ssize_t rows
    ):
        cdef Head* head = &self.builder.head
        cdef Leftovers leftovers
        if name in self.columns:
            return column_array(
                &head.attributes[self.number],
                self.columns[name],
                self.size,
                position,
                rows,
            )
        if name.endswith(".*"):
            leftovers = self.leftovers()
            leftovers.rows = rows
            leftovers.order, leftovers.position = &order[0], &position[0]
            return overflow_array(&leftovers)
        return fixed_array(head, self.number, name, order[:rows])


cdef int64_t shape_place(int number):
    cdef SpanRow span
    cdef EventRow event
    cdef LinkRow link
    cdef ResourceRow resource
    cdef ScopeRow scope
    if number == SPANS:
        return <char*>&span.shape - <char*>&span
    if number == EVENTS:
        return <char*>&event.shape - <char*>&event
    if number == LINKS:
        return <char*>&link.shape - <char*>&link
    if number == RESOURCES:
        return <char*>&resource.shape - <char*>&resource
    return <char*>&scope.shape - <char*>&scope


cdef class FrozenSpans:
    """Sorted, de-duplicated tables of a builder; each column is made when it is first asked for.

    Holds on to the builder, so that its memory lasts as long as a view of it.
    """

    cdef SpanBuilder builder
    cdef dict views
    cdef dict traces  # columns of the table traces, by name
    cdef bytes trace_ids  # ascending
    cdef readonly Py_ssize_t trace_count
    cdef Py_ssize_t parts_read  # how often few rows were asked for

    def __init__(self, SpanBuilder builder, attribute_columns_max, wanted=None, arrangement=None):
        self.builder, self.views = builder, {}
        with builder.lock:
            sizes = [builder.head.rows[table].size for table in range(len(NUMBERS))]
            inputs = None if arrangement else self.sort_keys(sizes[SPANS])
        if inputs:
            arrangement = arrange(*inputs)
        elif not builder.head.trace_ids.count == len(arrangement.trace_order) == 1:
            raise ValueError("an arrangement is that of one trace")
        elif not np.array_equal(np.sort(arrangement.order), np.arange(sizes[SPANS])):
            raise ValueError(f"an arrangement is that of all {sizes[SPANS]} spans, each once")
        positions = invert(arrangement.order, sizes[SPANS])
        with builder.lock:
            self.add_view(Table.SPANS, arrangement.order, positions)
            for table in (Table.EVENTS, Table.LINKS):
                self.add_children(table, sizes[NUMBERS[table]], positions)
            for table in (Table.RESOURCES, Table.SCOPES):
                size = sizes[NUMBERS[table]]
                self.add_view(table, np.arange(size), np.arange(size, dtype=np.int32))
            for table, view in self.views.items():
                if wanted is not None and table in wanted:
                    view.fix(SCOPE_OF_TABLE[table], wanted[table])
                else:
                    view.choose(SCOPE_OF_TABLE[table], attribute_columns_max)
            self.add_traces(arrangement)
        self.add_places(arrangement)

    cdef sort_keys(self, int64_t size):
        """Copy what the order of the spans depends on."""
        cdef Head* head = &self.builder.head
        cdef SpanRow* spans = <SpanRow*>head.rows[SPANS].data
        cdef int64_t stride = sizeof(SpanRow)
        rows = np.arange(size)
        traces = head.trace_ids.count
        ids = gather(head.trace_ids.bytes, 16, 16, np.arange(traces)).reshape(traces, 16)
        return (
            ids,
            gather(&spans.trace, stride, 4, rows).view(np.int32),
            gather(&spans.span_id, stride, 8, rows).view(np.uint64),
            gather(&spans.parent_id, stride, 8, rows).view(np.uint64),
            gather(&spans.kind, stride, 4, rows).view(np.int32),
            gather(&spans.start_ns, stride, 8, rows).view(np.int64),
        )

    cdef add_view(self, table, order, position):
        self.views[table] = View(self.builder, table, order, position)

    cdef add_children(self, table, int64_t size, positions):
        """Add events or links: in the order of their spans, without those whose span was left out."""
        cdef Head* head = &self.builder.head
        cdef int number = NUMBERS[table]
        cdef const char* rows = <const char*>head.rows[number].data
        cdef EventRow event
        cdef LinkRow link
        cdef int64_t place = <char*>&event.span - <char*>&event
        if number == LINKS:
            place = <char*>&link.span - <char*>&link
        spans = gather(rows + place, row_size(number), 4, np.arange(size)).view(np.int32)
        owners = positions[spans]
        order = np.argsort(owners, kind="stable")
        order = order[np.searchsorted(owners[order], 0) :]
        self.add_view(table, order, invert(order, size))
        self.views[table].made["span"] = pa.array(owners[order].astype(np.int64))

    cdef add_traces(self, arrangement):
        self.trace_count = len(arrangement.trace_order)
        self.traces = trace_arrays(
            &self.builder.head,
            self.trace_count,
            arrangement.first_span,
            arrangement.order,
            arrangement.nested_parent,
            arrangement.trace_order,
        )

    cdef add_places(self, arrangement):
        """Add the columns that follow from the order."""
        first = arrangement.first_span
        counts = np.diff(first)
        trace = np.repeat(np.arange(self.trace_count, dtype=np.int32), counts)
        self.traces["first_span"] = pa.array(first[: self.trace_count])
        self.traces["span_count"] = pa.array(counts.astype(np.int32))
        self.trace_ids = self.traces["trace_id"].buffers()[1].to_pybytes()
        made = self.views[Table.SPANS].made
        made["trace"] = pa.array(trace)
        ids = np.frombuffer(self.trace_ids, np.uint8)
        made["trace_id"] = primitive_array(
            TRACE_ID, gather_ids(ids, np.asarray(trace, np.int64))
        )
        for name in ("nested_left", "nested_right", "nested_parent", "child_count"):
            made[name] = pa.array(getattr(arrangement, name))

    def rows(self, table):
        """Count the rows of a table."""
        return self.trace_count if table == Table.TRACES else self.views[table].rows

    def schema(self, table):
        """Get the schema of a table, with its attribute columns."""
        return FIXED_SCHEMA[table] if table == Table.TRACES else self.views[table].schema

    def columns(self, table, names, Py_ssize_t start=0, stop=None):
        """Get columns, rows ``start`` to ``stop``. Thread-safe; results are cached per column."""
        schema = self.schema(table)
        kind = pa.schema([schema.field(name) for name in names])
        end = self.rows(table) if stop is None else stop
        if table == Table.TRACES:
            arrays = [self.traces[name] for name in names]
        elif 0 < (end - start) * FEW < self.rows(table) and self.parts_read < PARTS_MAX:
            return pa.Table.from_arrays(self.few_rows(table, names, start, end), schema=kind)
        else:
            arrays = [self.views[table].column(name) for name in names]
        cut = [array.slice(start, max(end - start, 0)) for array in arrays]
        return pa.Table.from_arrays(cut, schema=kind)

    def few_rows(self, table, names, start, stop):
        """Make few rows of columns: a trace of a head that grows all the time is not worth more."""
        self.parts_read += 1
        view = self.views[table]
        position = view.positions_of(start, stop)
        return [view.part(name, start, stop, position) for name in names]

    def find_trace(self, trace_id):
        """Row of ``traces``, by binary search."""
        ids = self.trace_ids
        row = bisect.bisect_left(
            range(self.trace_count), trace_id, key=lambda n: ids[16 * n : 16 * n + 16]
        )
        return row if ids[16 * row : 16 * row + 16] == trace_id else None

    def tables(self):
        """Get everything at once."""
        return SpanTables(
            **{table.value: self.columns(table, self.schema(table).names) for table in Table}
        )


cdef gather_ids(const uint8_t[::1] ids, const int64_t[::1] rows):
    return gather(&ids[0], 16, 16, rows) if rows.shape[0] else np.empty(0, np.uint8)


def invert(order, size):
    """Make the inverse of an order: int32, -1 for what it leaves out."""
    made = np.full(size, -1, np.int32)
    made[order] = np.arange(len(order), dtype=np.int32)
    return made
