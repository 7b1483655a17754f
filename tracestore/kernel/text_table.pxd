from tracestore.kernel.texts cimport Texts

cdef object text_array(const Texts* texts, Py_ssize_t start)
