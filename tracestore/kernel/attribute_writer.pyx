"""The attributes of the rows of one table, written in the order in which they were sent.

What is per column, per key or per distinct text is prepared in Python; what is per row is C. The order
of keys comes from ``attribute_order``, a dictionary with few entries: each is parsed once.
"""

import json

import numpy as np
import pyarrow as pa

from tracestore.errors import CorruptionError
from tracestore.kernel.any_value import delimited, encode_any, encode_overflow
from tracestore.model import tables

from libc.stdint cimport int32_t, uint8_t
from libc.stdlib cimport calloc, free

from tracestore.kernel.arrow_columns cimport (
    BOOL, BOOL_LIST, BYTES, FLOAT, FLOAT_LIST, NUMBER, NUMBER_LIST, RAW, TEXT, TEXT_LIST,
    Column, bind, bool_at, int64_at, is_valid, span_of,
)
from tracestore.kernel.arrow_columns import plain_array
from tracestore.kernel.writer cimport (
    Writer, begin, end, put_bytes, put_delimited, put_fixed64, put_integer,
)

cdef enum:  # tags of protobuf fields: number << 3 | wire type
    PAIR_VALUE = 0x12
    ANY_STRING = 0x0A
    ANY_BOOL = 0x10
    ANY_INT = 0x18
    ANY_DOUBLE = 0x21
    ANY_ARRAY = 0x2A
    ANY_BYTES = 0x3A
    ARRAY_VALUES = 0x0A


def encoded_dictionary(array, encode):
    """Replace the texts of a dictionary array by ``encode`` of them; only of those in use."""
    codes = array.indices.drop_null().unique().to_pylist()
    texts = array.dictionary
    encoded = [b""] * len(texts)
    for code in codes:
        encoded[code] = encode(texts[code].as_py())
    return pa.DictionaryArray.from_arrays(array.indices, pa.array(encoded, pa.binary()))


def pack(values, dtype=np.int32):
    """Make an array of integers from a list."""
    return np.array(values, dtype)


cdef class AttributeWriter:
    """Attribute columns, overflow column and order of one table, bound for row-wise reading."""

    def __cinit__(self, table: pa.Table, scope: tables.AttributeScope, uint8_t tag):
        """
        Args:
            table: any layout, sliced or chunked, but with rows.
            tag: of the field that holds the KeyValues in the message of a row.
        """
        self.tag = tag
        self.keep = []
        self.key_numbers = {}
        order = plain_array(table["attribute_order"], tables.TEXT)
        self.bind_columns(table)
        overflow = tables.overflow_name(scope)
        self.bind_overflow(table[overflow] if overflow in table.column_names else None, len(table))
        self.bind_order(order)
        self.find_only_columns(order)
        self.bind_keys()

    def __dealloc__(self):
        free(self.columns)

    def number_of(self, key):
        """Number a key by first mention. Columns come first, so that theirs lie together."""
        return self.key_numbers.setdefault(key, len(self.key_numbers))

    def bind_columns(self, table):
        """Bind the attribute columns that hold anything, those of a key side by side."""
        there = dict(zip(table.column_names, table.columns, strict=True))
        known = tables.equal_attribute_columns(table.schema)
        found = [c for c in known if there[c.name].null_count < len(table)]
        numbered = sorted(((self.number_of(c.key), c) for c in found), key=lambda pair: pair[0])
        self.columns = <Column*> calloc(max(len(numbered), 1), sizeof(Column))
        if self.columns == NULL:
            raise MemoryError("no memory for the columns of a table")
        self.count = len(numbered)
        for place, (number, column) in enumerate(numbered):
            array = plain_array(there[column.name], tables.ARROW_TYPE[column.type])
            if column.type == tables.AttributeType.ANY:
                array = encoded_dictionary(array, encode_any)
            bind(&self.columns[<Py_ssize_t> place], array, self.keep)
            self.columns[<Py_ssize_t> place].key = number
        numbers = [number for number, _ in numbered]
        self.first_column = pack(np.searchsorted(pack(numbers), np.arange(len(self.key_numbers) + 1)))

    def bind_overflow(self, column, rows):
        """Encode the entries of ``<scope>.*``; equal ones once."""
        self.entry_offsets = np.zeros(rows + 1, np.int32)
        keys, encoded, known = [], [], {}
        if column is not None and column.null_count < rows:
            lists = plain_array(column, tables.OVERFLOW)
            self.entry_offsets = np.concatenate(
                [[0], np.cumsum(lists.value_lengths().fill_null(0).to_numpy(False))]
            ).astype(np.int32)
            fields = lists.flatten().flatten()
            for entry in zip(*(field.to_pylist() for field in fields), strict=True):
                if entry not in known:
                    known[entry] = self.number_of(entry[0]), encode_overflow(*entry)
                number, content = known[entry]
                keys.append(number)
                encoded.append(content)
        self.entry_key = pack(keys)
        self.entry_bytes = pack([0, *np.cumsum([len(content) for content in encoded], dtype=np.int32)])
        self.entry_data = np.frombuffer(b"".join(encoded), np.uint8)

    def bind_order(self, order):
        """Parse each order in use into numbers of keys and which occurrence of it a place is."""
        self.has_order = order.null_count < len(order)
        if not self.has_order:
            return
        bind(&self.order, order, self.keep)
        lengths = np.zeros(len(order.dictionary) + 1, np.int32)
        keys, occurrences = [], []
        for code in sorted(order.indices.drop_null().unique().to_pylist()):
            seen = {}
            names = json.loads(order.dictionary[code].as_py())
            lengths[code + 1] = len(names)
            for key in names:
                keys.append(self.number_of(key))
                occurrences.append(seen.get(key, 0))
                seen[key] = seen.get(key, 0) + 1
        self.order_offsets = np.cumsum(lengths, dtype=np.int32)
        self.order_key, self.order_occurrence = pack(keys), pack(occurrences)

    def find_only_columns(self, order):
        """Find the one column, if any, that holds the attribute of a row without an order."""
        cdef Py_ssize_t c, i
        cdef int32_t row
        found = np.full(len(order), -1, np.int32)
        rows = np.flatnonzero(order.is_null().to_numpy(zero_copy_only=False)).astype(np.int32)
        self.only_column = found
        cdef int32_t[::1] unordered = rows
        with nogil:
            for c in range(self.count):
                for i in range(unordered.shape[0]):
                    row = unordered[i]
                    if is_valid(&self.columns[c], row):
                        self.only_column[row] = <int32_t> c

    def bind_keys(self):
        """Encode the key field of each key."""
        encoded = [delimited(1, key.encode()) if key else b"" for key in self.key_numbers]
        self.key_offsets = pack([0, *np.cumsum([len(key) for key in encoded], dtype=np.int32)])
        self.key_bytes = np.frombuffer(b"".join(encoded), np.uint8)
        columns = np.asarray(self.first_column)
        missing = len(encoded) + 1 - len(columns)
        self.first_column = np.concatenate([columns, np.full(missing, self.count, np.int32)]).astype(np.int32)

    cdef int write(self, Writer* out, Py_ssize_t row) except -1 nogil:
        """Write the attributes of a row in the order sent.

        Raises: CorruptionError if the order names an attribute that has no value anywhere.
        """
        cdef int32_t code, key
        cdef Py_ssize_t place, column, entry, following
        cdef bint in_order = True
        if not self.has_order or not is_valid(&self.order, row):
            return self.write_unordered(out, row)
        code = self.order.codes[row]
        following = self.entry_offsets[row]
        for place in range(self.order_offsets[code], self.order_offsets[code + 1]):
            key = self.order_key[place]
            column = self.find_column(key, row)
            if column >= 0 and self.order_occurrence[place] == 0:
                self.write_pair(out, &self.columns[column], row)
                continue
            if in_order and following < self.entry_offsets[row + 1] and self.entry_key[following] == key:
                entry = following  # entries stand in the order sent, unless a merge appended some
                following += 1
            else:
                in_order = False
                entry = self.find_entry(key, self.order_occurrence[place] - (column >= 0), row)
            self.write_entry(out, entry)
        return 0

    cdef int write_unordered(self, Writer* out, Py_ssize_t row) except -1 nogil:
        cdef Py_ssize_t entry
        if self.only_column[row] >= 0:
            self.write_pair(out, &self.columns[self.only_column[row]], row)
        for entry in range(self.entry_offsets[row], self.entry_offsets[row + 1]):
            self.write_entry(out, entry)
        return 0

    cdef Py_ssize_t find_column(self, int32_t key, Py_ssize_t row) except -2 nogil:
        """Find the column of ``key`` that is not null in ``row``; -1: none."""
        cdef Py_ssize_t column
        for column in range(self.first_column[key], self.first_column[key + 1]):
            if is_valid(&self.columns[column], row):
                return column
        return -1

    cdef Py_ssize_t find_entry(self, int32_t key, int32_t occurrence, Py_ssize_t row) except -2 nogil:
        """Find the ``occurrence``-th overflow entry of ``key`` in ``row``."""
        cdef Py_ssize_t entry
        for entry in range(self.entry_offsets[row], self.entry_offsets[row + 1]):
            if self.entry_key[entry] == key:
                if occurrence == 0:
                    return entry
                occurrence -= 1
        with gil:
            name = list(self.key_numbers)[key]
            raise CorruptionError(f"row {row} lacks the value of attribute {name!r}", key="attributes")

    cdef int write_entry(self, Writer* out, Py_ssize_t entry) except -1 nogil:
        cdef const uint8_t* data = NULL
        cdef Py_ssize_t length = self.entry_bytes[entry + 1] - self.entry_bytes[entry]
        if length:
            data = &self.entry_data[self.entry_bytes[entry]]
        return put_delimited(out, self.tag, data, length)

    cdef int write_pair(self, Writer* out, const Column* column, Py_ssize_t row) except -1 nogil:
        """Write one attribute that has a column of its own."""
        cdef Py_ssize_t length, value, pair
        cdef const uint8_t* data
        pair = begin(out, self.tag, 1)
        length = self.key_offsets[column.key + 1] - self.key_offsets[column.key]
        if length:
            put_bytes(out, &self.key_bytes[self.key_offsets[column.key]], length)
        if column.kind == RAW:
            data = span_of(column, column.codes[row], &length)
            put_delimited(out, PAIR_VALUE, data, length)
        else:
            value = begin(out, PAIR_VALUE, 1)
            write_value(out, column, row)
            end(out, value, 1)
        return end(out, pair, 1)


cdef int write_value(Writer* out, const Column* column, Py_ssize_t row) except -1 nogil:
    """Write the member of the AnyValue of a row."""
    cdef Py_ssize_t length
    cdef const uint8_t* data
    if column.kind == TEXT:
        data = span_of(column, column.codes[row], &length)
        return put_delimited(out, ANY_STRING, data, length)
    if column.kind == BYTES:
        data = span_of(column, row, &length)
        return put_delimited(out, ANY_BYTES, data, length)
    if column.kind == NUMBER:
        return put_integer(out, ANY_INT, int64_at(column, row))
    if column.kind == FLOAT:
        return put_fixed64(out, ANY_DOUBLE, int64_at(column, row))
    if column.kind == BOOL:
        return put_integer(out, ANY_BOOL, bool_at(column, row))
    return write_list(out, column, row)


cdef int write_list(Writer* out, const Column* column, Py_ssize_t row) except -1 nogil:
    """Write an array_value, whose elements are AnyValues."""
    cdef Py_ssize_t element, start, length
    cdef Py_ssize_t array = begin(out, ANY_ARRAY, 1)
    cdef const uint8_t* data
    for element in range(column.codes[row], column.codes[row + 1]):
        start = begin(out, ARRAY_VALUES, 1)
        if column.kind == TEXT_LIST:
            data = span_of(column, element, &length)
            put_delimited(out, ANY_STRING, data, length)
        elif column.kind == NUMBER_LIST:
            put_integer(out, ANY_INT, int64_at(column, element))
        elif column.kind == FLOAT_LIST:
            put_fixed64(out, ANY_DOUBLE, int64_at(column, element))
        else:
            put_integer(out, ANY_BOOL, bool_at(column, element))
        end(out, start, 1)
    return end(out, array, 1)
