"""The compiled kernel: what touches every byte of every span. Interface: ``__init__.pyi``."""

from tracestore.kernel.arrange import Arrangement, arrange, compact_codes
from tracestore.kernel.arrivals import (
    SPAN_DTYPE,
    arrived_keys,
    arrived_resources,
    arrived_spans,
    arrived_texts,
    arrived_value_texts,
    arrived_values,
)
from tracestore.kernel.builder import SpanBuilder, build_tables
from tracestore.kernel.calls import pair_calls
from tracestore.kernel.check import RequestCheck, check
from tracestore.kernel.edges import EDGE_DTYPE, EdgeStore
from tracestore.kernel.encode import encode, encode_parts
from tracestore.kernel.frozen import FrozenSpans
from tracestore.kernel.hashing import hash64
from tracestore.kernel.limits import SCOPES, TRUNCATED, LimitedRequest, limit_request
from tracestore.kernel.live_traces import Admission, LiveTraces
from tracestore.kernel.measure import (
    count_groups,
    extremes_of_groups,
    extremes_of_runs,
    number_by_first,
    split_runs,
    sum_exactly,
    sum_groups,
    sum_runs,
)
from tracestore.kernel.relations import (
    mask_ancestors,
    mask_children,
    mask_descendants,
    mask_parents,
    mask_siblings,
    parent_rows,
)
from tracestore.kernel.runs import count_marked, marked_runs, or_zero, run_numbers, spread_runs
from tracestore.kernel.shard import rank, shard
from tracestore.kernel.tally import (
    cell_keys,
    power_buckets,
    tally,
    tally_extremes,
    tally_sums,
)
from tracestore.kernel.text_table import TextTable

__all__ = [
    "EDGE_DTYPE",
    "SCOPES",
    "SPAN_DTYPE",
    "TRUNCATED",
    "Admission",
    "Arrangement",
    "EdgeStore",
    "FrozenSpans",
    "LimitedRequest",
    "LiveTraces",
    "RequestCheck",
    "SpanBuilder",
    "TextTable",
    "arrange",
    "arrived_keys",
    "arrived_resources",
    "arrived_spans",
    "arrived_texts",
    "arrived_value_texts",
    "arrived_values",
    "build_tables",
    "cell_keys",
    "check",
    "compact_codes",
    "count_groups",
    "count_marked",
    "encode",
    "encode_parts",
    "extremes_of_groups",
    "extremes_of_runs",
    "hash64",
    "limit_request",
    "marked_runs",
    "mask_ancestors",
    "mask_children",
    "mask_descendants",
    "mask_parents",
    "mask_siblings",
    "number_by_first",
    "or_zero",
    "pair_calls",
    "parent_rows",
    "power_buckets",
    "rank",
    "run_numbers",
    "shard",
    "split_runs",
    "spread_runs",
    "sum_exactly",
    "sum_groups",
    "sum_runs",
    "tally",
    "tally_extremes",
    "tally_sums",
]
