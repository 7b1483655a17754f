"""One trace from several sources: found by ID, put together by the kernel, evaluated whole.

What a trace is does not depend on where its spans happen to lie: fragments are encoded and built
again into tables, which drops repeated spans and computes tree and root anew.
"""

from __future__ import annotations

from collections.abc import Sequence

from tracestore import kernel
from tracestore.errors import CorruptionError
from tracestore.model.tables import SpanTables
from tracestore.query.scan import SourceScan
from tracestore.query.tables_source import TablesSource


def locate(scans: Sequence[SourceScan], trace_id: bytes) -> list[tuple[SourceScan, int]]:
    """Find the sources that hold spans of a trace, with the row of each in ``traces``.

    Cost: a probe of the filter per source; of a source that may have it, a binary search.
    """
    found = []
    for scan in scans:
        if scan.filters is not None and not scan.filters.may_contain_trace(trace_id):
            continue
        row = scan.traces.find(trace_id)
        if row is not None:
            found.append((scan, row))
    return found


def merge(fragments: Sequence[SpanTables]) -> SpanTables:
    """Put the fragments of a trace together; of repeated spans the first stays."""
    return kernel.build_tables([kernel.encode(fragment) for fragment in fragments])


def read_whole(scans: Sequence[SourceScan], trace_id: bytes) -> TablesSource:
    """Read a trace from the sources that hold it, as a source of one trace.

    Raises: CorruptionError if a source that lists the trace does not give it.
    """
    fragments = []
    for scan in scans:
        fragment = scan.source.find_trace(trace_id, scan.stats)
        if fragment is None:
            raise CorruptionError(
                f"trace {trace_id.hex()} is listed but its spans are missing", key=scan.source.id
            )
        fragments.append(fragment)
    return TablesSource(merge(fragments), f"trace {trace_id.hex()}")
