from tracestore.kernel.head cimport Head
from tracestore.kernel.wire cimport Wire

cdef int decode_request(Head* head, Wire p, Wire end) except -1 nogil
