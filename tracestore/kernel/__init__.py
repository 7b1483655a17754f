"""The compiled kernel: what touches every byte of every span. Interface: ``__init__.pyi``."""

from tracestore.kernel.arrange import Arrangement, arrange, compact_codes
from tracestore.kernel.builder import SpanBuilder, build_tables
from tracestore.kernel.check import RequestCheck, check
from tracestore.kernel.encode import encode
from tracestore.kernel.frozen import FrozenSpans
from tracestore.kernel.hashing import hash64
from tracestore.kernel.limits import SCOPES, TRUNCATED, LimitedRequest, limit_request
from tracestore.kernel.live_traces import Admission, LiveTraces

__all__ = [
    "SCOPES",
    "TRUNCATED",
    "Admission",
    "Arrangement",
    "FrozenSpans",
    "LimitedRequest",
    "LiveTraces",
    "RequestCheck",
    "SpanBuilder",
    "arrange",
    "build_tables",
    "check",
    "compact_codes",
    "encode",
    "hash64",
    "limit_request",
]
