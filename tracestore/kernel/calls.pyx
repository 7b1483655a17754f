"""Which client span called which server span, by span IDs: one hash table a trace, no tree.

The tree (``relations``) will not do: a client span that no root reaches has a server span all the same, and
where two kinds share an ID the tree knows one of them. Runs without a client span cost a look. No
allocation in the loops; no GIL.

Source: wire contract, section 17.3 (the key of an edge).
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from tracestore.kernel.runs cimport check_runs

cdef enum:
    SERVER = 3  # 0: takes no part; 1, 2: a client, the lower one goes before


cdef inline int64_t place_of(uint64_t id, int64_t mask) noexcept nogil:
    """Spread every bit over the low ones. Source: the finaliser of MurmurHash3."""
    id = (id ^ id >> 33) * <uint64_t> 0xFF51AFD7ED558CCDULL
    id = (id ^ id >> 33) * <uint64_t> 0xC4CEB9FE1A85EC53ULL
    return <int64_t> (id ^ id >> 33) & mask


def pair_calls(
    const int32_t[::1] counts,
    const uint64_t[::1] ids,
    const uint64_t[::1] parents,
    const uint8_t[::1] sides,
):
    """Find the row of the client span above each server span: (N,) int32, -1 where there is none."""
    cdef Py_ssize_t rows = ids.shape[0], run, row, begin, end
    if parents.shape[0] != rows or sides.shape[0] != rows:
        raise ValueError(f"{rows} spans, {parents.shape[0]} parents and {sides.shape[0]} sides")
    check_runs(counts, rows)
    callers = np.full(rows, -1, np.int32)
    if rows == 0:
        return callers
    cdef int64_t longest = np.asarray(counts).max(initial=0), size = 8
    while size < 2 * longest:
        size *= 2
    cdef int32_t[::1] found = callers
    cdef int32_t[::1] table = np.full(size, -1, np.int32)
    cdef int64_t mask, place, clients
    cdef int32_t known
    with nogil:
        begin = 0
        for run in range(counts.shape[0]):
            end = begin + counts[run]
            clients = 0
            for row in range(begin, end):
                clients += sides[row] == 1 or sides[row] == 2
            if clients:
                mask = 8
                while mask < 2 * clients:
                    mask *= 2
                mask -= 1
                for row in range(begin, end):
                    if sides[row] != 1 and sides[row] != 2:
                        continue
                    place = place_of(ids[row], mask)
                    while table[place] >= 0 and ids[table[place]] != ids[row]:
                        place = (place + 1) & mask
                    known = table[place]
                    if known < 0 or sides[row] < sides[known]:
                        table[place] = <int32_t> row
                for row in range(begin, end):
                    if sides[row] != SERVER or parents[row] == 0:
                        continue
                    place = place_of(parents[row], mask)
                    while table[place] >= 0 and ids[table[place]] != parents[row]:
                        place = (place + 1) & mask
                    found[row] = table[place]
                for place in range(mask + 1):
                    table[place] = -1
            begin = end
    return callers
