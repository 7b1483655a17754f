from libc.stdint cimport int32_t

from tracestore.kernel.texts cimport Texts

cdef object text_array(const Texts* texts, Py_ssize_t start)
cdef object texts_at(const Texts* texts, const int32_t[::1] numbers)
