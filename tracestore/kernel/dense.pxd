from libc.stdint cimport int32_t, int64_t

from tracestore.kernel.sparse cimport Attributes
from tracestore.kernel.texts cimport Texts

cdef gather(const void* base, int64_t stride, int width, const int64_t[::1] order)
cdef text_array(const Texts* texts, int32_t count, object kind=*)
cdef dictionary_array(object codes, object valid, object dictionary)
cdef primitive_array(object kind, object values, object valid=*)
cdef pack_valid(object mask)
cdef column_array(Attributes* a, int32_t number, int32_t size, const int32_t[::1] position, int64_t rows)
