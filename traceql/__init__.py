"""TraceQL, the language: text -> checked plan. Knows nothing of storage."""

from traceql.errors import CheckError, ParseError, QueryError, UnsupportedError
from traceql.nodes import Query
from traceql.parse import parse

__all__ = ["CheckError", "ParseError", "Query", "QueryError", "UnsupportedError", "parse"]
