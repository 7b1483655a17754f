from libc.stdint cimport int32_t, int64_t

from tracestore.kernel.sparse cimport Attributes

cdef choose_columns(Attributes* a, int32_t size, const int32_t[::1] position, int64_t rows, int64_t columns_max)
cdef find_columns(
    Attributes* a, int32_t size, const int32_t[::1] position, int64_t rows, wanted
)
