"""The compiled kernel: what touches every byte of every span. Interface: ``__init__.pyi``."""

from tracestore.kernel.arrange import Arrangement, arrange, compact_codes
from tracestore.kernel.builder import SpanBuilder, build_tables
from tracestore.kernel.check import RequestCheck, check
from tracestore.kernel.encode import encode
from tracestore.kernel.frozen import FrozenSpans
from tracestore.kernel.hashing import hash64

__all__ = [
    "Arrangement",
    "FrozenSpans",
    "RequestCheck",
    "SpanBuilder",
    "arrange",
    "build_tables",
    "check",
    "compact_codes",
    "encode",
    "hash64",
]
