from libc.stdint cimport int64_t

from tracestore.kernel.check cimport Summary
from tracestore.kernel.head cimport Head
from tracestore.kernel.wire cimport Wire


cdef class SpanBuilder:
    cdef Head head
    cdef object lock
    cdef int decode(self, Wire start, Wire end) except -1
    cdef int note(self, const Summary* summary, int64_t size) except -1
