from libc.stdint cimport int64_t, uint64_t

from tracestore.kernel.wire cimport Wire

cdef struct Summary:
    int64_t spans
    uint64_t start_ns
    uint64_t end_ns
    int64_t zero_trace_ids
    int64_t zero_span_ids
    int64_t attribute_bytes  # of the largest KeyValue

cdef int check_request(Wire start, Wire end, bint ids_needed, Summary* summary) except -1 nogil
cdef Wire buffer_start(const unsigned char[::1] view)
