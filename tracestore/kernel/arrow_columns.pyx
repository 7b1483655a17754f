"""Binds Arrow arrays of the types of ``model/tables.py`` to pointers, and brings others to those types.

After a way through Parquet or another program a text may be a plain or large string, a column may come
in chunks with a dictionary each, a table may be a slice: ``plain_array`` evens that out, so that the
loops see one layout. What is bound is checked once, here: codes lie inside their dictionary, offsets
ascend and lie inside their data.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracestore.errors import CorruptionError
from tracestore.model import tables

from libc.stdint cimport int32_t, uint8_t


cdef const uint8_t* address(object buffer, object keep) except? NULL:
    """Point at the first byte of an Arrow buffer, NULL if it is absent."""
    if buffer is None:
        return NULL
    keep.append(buffer)
    return <const uint8_t*> <size_t> buffer.address


def plain_array(column, kind):
    """Turn a column into one array of ``kind``, whatever it went through."""
    if isinstance(column, pa.ChunkedArray) and column.num_chunks == 1:
        column = column.chunk(0)
    if isinstance(column, pa.ChunkedArray):
        if pa.types.is_dictionary(column.type) and column.num_chunks > 1:
            column = column.unify_dictionaries()
        column = column.combine_chunks()
        if isinstance(column, pa.ChunkedArray):  # pyarrow keeps the chunks of an empty column
            column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], kind)
    if kind != tables.TEXT:
        return column if column.type == kind else column.cast(kind)
    if pa.types.is_dictionary(column.type):
        if column.type == tables.TEXT and not column.dictionary.null_count:
            return column
        column = column.cast(column.type.value_type)
    return pc.dictionary_encode(column if column.type == pa.string() else column.cast(pa.string()))


def check_offsets(array, offsets, Py_ssize_t end):
    """Assert that Arrow's offsets ascend within ``end``; a file may say anything."""
    if len(offsets) and (offsets[0] < 0 or offsets[len(offsets) - 1] > end or (np.diff(offsets) < 0).any()):
        raise CorruptionError(f"{array.type} column has offsets outside its data", key="columns")


cdef const int32_t* bind_offsets(object array, Py_ssize_t end, object keep) except? NULL:
    """Point at the offset of the first row of a variable-size array."""
    buffer = array.buffers()[1]
    if not len(array) or buffer is None:
        zero = np.zeros(1, np.int32)
        keep.append(zero)
        return <const int32_t*> <size_t> zero.ctypes.data
    offsets = np.frombuffer(buffer, np.int32)[array.offset : array.offset + len(array) + 1]
    check_offsets(array, offsets, end)
    return (<const int32_t*> address(buffer, keep)) + <Py_ssize_t> array.offset


cdef int bind_text(Column* column, object values, object keep) except -1:
    """Bind offsets and data of a string or binary array."""
    _, _, data = values.buffers()
    column.offsets = bind_offsets(values, 0 if data is None else data.size, keep)
    column.data = address(data, keep)
    return 0


cdef int bind_data(Column* column, object array, object keep) except -1:
    """Bind an array of fixed width."""
    if pa.types.is_boolean(array.type):
        column.kind = BOOL
        column.data = address(array.buffers()[1], keep)
        column.data_bit = array.offset
        return 0
    column.kind = FLOAT if pa.types.is_floating(array.type) else NUMBER
    column.width = array.type.bit_width // 8
    column.data = address(array.buffers()[1], keep)
    if column.data != NULL:
        column.data += <Py_ssize_t> array.offset * column.width
    return 0


cdef int bind_dictionary(Column* column, object array, object keep) except -1:
    indices = array.indices
    column.kind = RAW if pa.types.is_binary(array.dictionary.type) else TEXT
    column.entries = len(array.dictionary)
    bind_text(column, array.dictionary, keep)
    lowest, highest = (each.as_py() for each in pc.min_max(indices).values())
    if lowest is not None and not 0 <= lowest <= highest < column.entries:
        raise CorruptionError(
            f"dictionary of {column.entries} entries lacks code {highest}", key="columns"
        )
    column.codes = (<const int32_t*> address(indices.buffers()[1], keep)) + <Py_ssize_t> indices.offset
    return 0


cdef int bind_list(Column* column, object array, object keep) except -1:
    elements = array.values
    if elements.null_count:
        raise CorruptionError(f"{array.type} column has a null in a list", key="columns")
    column.codes = bind_offsets(array, len(elements), keep)
    if pa.types.is_string(elements.type):
        bind_text(column, elements, keep)
        column.kind = TEXT_LIST
        return 0
    bind_data(column, elements, keep)
    column.kind = {BOOL: BOOL_LIST, FLOAT: FLOAT_LIST, NUMBER: NUMBER_LIST}[column.kind]
    return 0


cdef int bind(Column* column, object array, object keep) except -1:
    """Point ``column`` at a non-empty array that ``plain_array`` made; ``keep`` must outlive it.

    Raises: CorruptionError if the array points outside itself.
    """
    column.validity = address(array.buffers()[0] if array.null_count else None, keep)
    column.bit = array.offset
    if pa.types.is_dictionary(array.type):
        bind_dictionary(column, array, keep)
    elif pa.types.is_list(array.type):
        bind_list(column, array, keep)
    elif pa.types.is_binary(array.type):
        bind_text(column, array, keep)
        column.kind = BYTES
    else:
        bind_data(column, array, keep)
    return 0
