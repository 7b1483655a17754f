"""How the process of a server uses memory: what suits large columns that come and go.

Defaults of the platform cost CPU here. glibc returns freed memory to the system at once, so that
each column faults its pages in anew, Arrow keeps a second heap beside it, and Python's collector
walks over all imported modules again and again, although they never become garbage. Together they
cost a seventh of the CPU of ingest (``bench/ingest.py``).
"""

from __future__ import annotations

import ctypes
import gc
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""Parameters of mallopt(3)."""
KEPT_BYTES = 256 * 1024 * 1024
"""Freed memory at the end of the heap that glibc keeps for the next column."""
MAPPED_BYTES_MIN = 2 * 1024 * 1024
"""Pieces from this size on are mapped by themselves, and go back when they are freed. Among the
small ones, large requests would leave gaps that nothing fits into: 200 MB with requests of 4 MB."""
ARENAS_MAX = 4
"""Heaps; threads beyond that share one, so that each does not keep memory of its own."""
COLLECT_AFTER = 50_000
"""Objects made before the collector looks at the youngest ones."""


def tune_process() -> None:
    """Set up allocator and collector. Call it when the imports are done; harmless elsewhere."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 50)
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another libc, which has its own ways
        return
    import pyarrow as pa  # here, since most commands do without it

    pa.set_memory_pool(pa.system_memory_pool())  # one allocator that reuses what all have freed
    mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
    mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES_MIN)
    mallopt(_M_ARENA_MAX, ARENAS_MAX)
