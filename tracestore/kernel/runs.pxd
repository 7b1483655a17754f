"""Shared with other modules of the kernel: what a run is."""

from libc.stdint cimport int32_t, int64_t, uint8_t


cdef int check_runs(const int32_t[::1] counts, Py_ssize_t rows) except -1

cdef const uint8_t[::1] pack_marks(mask, Py_ssize_t rows)

cdef bint has_mark(const uint8_t* bits, int64_t place, int64_t count) noexcept nogil
