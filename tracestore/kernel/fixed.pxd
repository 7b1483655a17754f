from libc.stdint cimport int32_t, int64_t

from tracestore.kernel.head cimport Head

cdef fixed_array(Head* head, int table, object column, const int64_t[::1] order)
cdef dict trace_arrays(
    Head* head,
    int32_t traces,
    const int64_t[::1] first_span,
    const int64_t[::1] order,
    const int32_t[::1] nested_parent,
    const int32_t[::1] trace_order,
)
