"""TraceQL, the language: text -> checked plan. Knows nothing of storage.

>>> query = parse('{ status = error && resource.service.name = "shop" }')
>>> check(query)
>>> render(query)
'{ (status = error) && (resource.service.name = "shop") }'
"""

from traceql.check import check, static_type
from traceql.errors import CheckError, ParseError, QueryError, UnsupportedError
from traceql.lenient import TagFilter, parse_tag_filter
from traceql.nodes import Query
from traceql.parse import parse, parse_field
from traceql.plan import Condition, FetchPlan, FilterPlan, Question, plan, plan_filter
from traceql.regex import RegexShape, RequiredLiterals, Shape, classify_regex, required_literals
from traceql.render import render
from traceql.rewrite import rewrite

__all__ = [
    "CheckError",
    "Condition",
    "FetchPlan",
    "FilterPlan",
    "ParseError",
    "Query",
    "QueryError",
    "Question",
    "RegexShape",
    "RequiredLiterals",
    "Shape",
    "TagFilter",
    "UnsupportedError",
    "check",
    "classify_regex",
    "parse",
    "parse_field",
    "parse_tag_filter",
    "plan",
    "plan_filter",
    "render",
    "required_literals",
    "rewrite",
    "static_type",
]
