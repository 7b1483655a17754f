"""Strategies: queries of the whole search language over the values of ``search_cases``.

A drawn query may be one that ``check`` refuses; nothing else is wrong with it.
"""

from __future__ import annotations

from hypothesis import strategies as st
from support.otlp import KINDS, STATUSES
from support.search_cases import INTS, STRINGS

# --- expressions ---------------------------------------------------------------------------------

_KEYS = ("a", "b", "n", "service.name", '"x y"', "never")


def _fields(*scopes: str) -> st.SearchStrategy[str]:
    return st.sampled_from([f"{scope}.{key}" for scope in scopes for key in _KEYS])


plain_fields = _fields("", "span", "resource", "instrumentation")
owned_fields = _fields("event", "link")
parent_fields = _fields("parent", "parent.span", "parent.resource")
generic = st.one_of(plain_fields, plain_fields, owned_fields, parent_fields)


def quoted(text: str) -> str:
    """Write a string literal."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


strings = st.sampled_from(STRINGS).map(quoted)
numbers = st.one_of(
    st.sampled_from([*(str(n) for n in INTS if n > -(2**63)), "minInt", "maxInt"]),
    st.sampled_from(["0.5", "1.0", "2.", "-1.0", "9007199254740992.0", "1e300"]),
)
durations = st.sampled_from(["0s", "1ms", "2ms", "1s", "1000000ns", "-1ms"])
patterns = st.sampled_from(
    ["a", "a.*", ".*b", ".*", ".+", "a|b", "(a|ab)", "[ab]", "a.b", "(?i)A", "", "get .*", ".*/.*"]
).map(quoted)
orders = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
equality = st.sampled_from(["=", "!="])
regex = st.sampled_from(["=~", "!~"])
string_fields = st.sampled_from(
    [
        "name",
        "statusMessage",
        "rootName",
        "rootServiceName",
        "instrumentation:name",
        "instrumentation:version",
        "event:name",
        "event:name",
    ]
)
id_fields = st.sampled_from(["trace:id", "span:id", "span:parentID", "link:traceID", "link:spanID"])
id_texts = st.sampled_from(
    [
        *("1", "0000000000000001", "02", "AA0000000000000000", "0", "zz", "", "3"),
        *("10000000000000001", "1" + 32 * "0", 40 * "0" + "2", 60 * "f"),
    ]
)
duration_fields = st.sampled_from(["duration", "traceDuration", "event:timeSinceStart"])
int_fields = st.sampled_from(
    ["span:childCount", "nestedSetLeft", "nestedSetRight", "nestedSetParent"]
)
kinds = st.sampled_from(list(KINDS))
statuses = st.sampled_from(list(STATUSES))
number_operands = st.one_of(generic, numbers, duration_fields, int_fields)


def _terse(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Give the same with a short repr: Hypothesis writes strategies out, nested ones at length."""
    return st.none().flatmap(lambda _: strategy)


def _joined(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map(" ".join)


arithmetic = _terse(
    st.one_of(
        _joined(number_operands, st.sampled_from(list("+-*/%^")), number_operands),
        generic.map(lambda field: f"- {field}"),
        _joined(st.just("-"), generic, st.sampled_from(list("*/%^+")), number_operands),
    )
)
comparisons = _terse(
    st.one_of(
        _joined(generic, orders, numbers),
        _joined(generic, orders, strings),
        _joined(generic, equality, st.sampled_from(["true", "false", "ok", "server"])),
        _joined(generic, orders, durations),
        _joined(generic, regex, patterns),
        _joined(numbers, orders, generic),
        _joined(strings, orders, generic),
        _joined(generic, orders, generic),
        _joined(string_fields, orders, strings),
        _joined(string_fields, regex, patterns),
        _joined(string_fields, orders, generic),
        _joined(id_fields, orders, id_texts.map(quoted)),
        _joined(id_fields, regex, patterns),
        _joined(id_fields, equality, generic),
        _joined(duration_fields, orders, st.one_of(durations, numbers)),
        _joined(int_fields, orders, numbers),
        _joined(st.just("kind"), equality, kinds),
        _joined(st.just("status"), equality, statuses),
        _joined(arithmetic, orders, number_operands),
        _joined(number_operands, orders, number_operands),
        _joined(st.one_of(durations, numbers), orders, duration_fields),
        _joined(strings, orders, string_fields),
        _joined(string_fields, orders, string_fields),
        _joined(id_fields, equality, id_fields),
        _joined(kinds, equality, st.just("kind")),
        _joined(st.sampled_from(["kind", "status"]), equality, generic),
        _joined(st.just("nil"), equality, generic),
        _joined(generic, st.sampled_from(["= nil", "!= nil"])),
        st.sampled_from(
            [
                "parent = nil",
                "parent != nil",
                "event:name != nil",
                "link:spanID != nil",
                "kind != nil",
            ]
        ),
        _joined(st.just("any"), equality, strings),
        _joined(st.just("any"), regex, patterns),
        _joined(strings, equality, st.just("any")),
        _joined(arithmetic.map(lambda text: f"({text})"), st.sampled_from(["= nil", "!= nil"])),
    )
)


@st.composite
def chains(draw: st.DrawFn) -> str:
    """Draw questions of one field that are asked as one: lists of texts, numbers or patterns."""
    field = draw(st.one_of(generic, string_fields))
    is_all = draw(st.booleans())
    kind, operators = draw(
        st.sampled_from([(strings, ("=", "!=")), (numbers, ("=", "!=")), (patterns, ("=~", "!~"))])
    )
    asked = draw(st.lists(kind, min_size=2, max_size=4))
    join = " && " if is_all else " || "
    return "(" + join.join(f"{field} {operators[is_all]} {each}" for each in asked) + ")"


expressions = _terse(
    st.recursive(
        st.one_of(
            comparisons,
            comparisons,
            comparisons,
            chains(),
            generic,
            generic.map(lambda field: f"!{field}"),
            st.sampled_from(["true", "false"]),
        ),
        lambda inner: st.one_of(
            _joined(inner, st.sampled_from(["&&", "||"]), inner),
            inner.map(lambda text: f"({text})"),
            inner.map(lambda text: f"!({text})"),
        ),
        max_leaves=5,
    )
)
filters = expressions.map(lambda text: "{ " + text + " }")

# --- spansets and pipelines ----------------------------------------------------------------------

BROAD_FILTERS = [
    "{}",
    "{ true }",
    "{ kind = server }",
    '{ name != "" }',
    "{ status != error }",
    "{ duration >= 1ms }",
    "{ !(.n > 0) }",
    "{ span:childCount > 0 }",
    "{ span:childCount = 0 }",
    "{ nestedSetLeft > 2 }",
    "{ parent != nil }",
]
broad_filters = st.sampled_from(BROAD_FILTERS)
simple_filters = _terse(
    st.one_of(
        filters,
        broad_filters,
        broad_filters,
        st.sampled_from(
            [
                "{}",
                "{ false }",
                "{ kind = server }",
                "{ kind = client }",
                "{ status = error }",
                '{ name = "a" }',
                "{ nestedSetParent < 0 }",
                "{ .n > 0 }",
                "{ parent = nil }",
            ]
        ),
    )
)
OPERATORS = [
    f"{prefix}{relation}" for relation in (">", "<", ">>", "<<", "~") for prefix in ("", "!", "&")
]
"""The structural ones."""
structural = st.sampled_from(OPERATORS)
measured = _terse(
    st.one_of(
        _fields("", "span", "resource", "event", "link", "parent").filter(
            lambda text: text.endswith(".n")
        ),
        st.sampled_from(
            [
                ".n + 1",
                "span.n * 2",
                "duration",
                "traceDuration",
                "span:childCount",
                "nestedSetLeft",
            ]
        ),
        st.sampled_from(["event:timeSinceStart", "-.n", ".never", "duration / 2", ".n ^ 2", ".a"]),
    )
)
aggregates = _terse(
    st.one_of(
        st.just("count()"),
        _joined(st.sampled_from(["avg(", "min(", "max(", "sum("]), measured, st.just(")")),
    )
)
bounds = st.sampled_from(["0", "1", "2", "3", "-1", "0.5", "1.5", "1ms", "1s", "1000000"])
scalar_pipes = _joined(st.just("("), simple_filters, st.just("|"), aggregates, st.just(")"))
scalars = st.one_of(
    aggregates,
    aggregates,
    _joined(aggregates, st.sampled_from(list("+-*/%")), st.one_of(bounds, aggregates)),
    scalar_pipes,
)
scalar_filters = _terse(
    st.one_of(
        _joined(aggregates, orders, bounds),
        _joined(scalars, orders, st.one_of(bounds, scalars)),
        _joined(bounds, orders, aggregates),
    )
)
group_bys = _terse(
    st.one_of(
        generic,
        st.sampled_from(
            [
                *("name", "status", "kind", "duration", "rootName", "span:id", "event:name"),
                *("trace:id", "instrumentation:version", "statusMessage", "link:spanID"),
            ]
        ),
        st.sampled_from(
            ["link:traceID", "event:timeSinceStart", "traceDuration", "span:childCount"]
        ),
        arithmetic,
        comparisons,
    )
).map(lambda text: f"by({text})")
selected = st.one_of(
    *(generic, string_fields, id_fields, duration_fields, int_fields),
    st.sampled_from(["status", "kind"]),
)
selects = st.lists(selected, min_size=1, max_size=3).map(lambda each: f"select({', '.join(each)})")


def _in_parentheses(text: str) -> str:
    return f"({text})"


_inner_pipelines = _joined(
    st.one_of(broad_filters, simple_filters),
    st.just("|"),
    st.one_of(simple_filters, scalar_filters, selects),
).map(_in_parentheses)
_grouping_pipelines = _joined(
    st.one_of(broad_filters, simple_filters), st.just("|"), group_bys
).map(_in_parentheses)
operands = _terse(
    st.one_of(broad_filters, broad_filters, broad_filters, simple_filters, _inner_pipelines)
)


def _operations(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    joined = st.one_of(inner, _grouping_pipelines)
    return st.one_of(
        _joined(inner, structural, inner).map(_in_parentheses),
        _joined(inner, structural, inner).map(_in_parentheses),
        _joined(joined, st.sampled_from(["&&", "||"]), joined).map(_in_parentheses),
    )


operations = _terse(st.recursive(operands, _operations, max_leaves=4))
stages = _terse(
    st.one_of(simple_filters, operations, scalar_filters, scalar_filters, group_bys, selects)
)
later_stages = st.one_of(stages, stages, stages, st.just("coalesce()"))


@st.composite
def pipelines(draw: st.DrawFn) -> str:
    """Draw one to four stages, the first most often a spanset."""
    first = draw(st.one_of(operations, operations, stages))
    return " | ".join([first, *draw(st.lists(later_stages, max_size=3))])


relations = _joined(broad_filters, structural, broad_filters)
telling_stages = st.one_of(scalar_filters, group_bys, selects)
plain_pipelines = _joined(st.one_of(broad_filters, relations), st.just("|"), telling_stages)


@st.composite
def filter_queries(draw: st.DrawFn) -> str:
    """Draw one ``{ … }`` with any expression."""
    return draw(filters)


@st.composite
def queries(draw: st.DrawFn) -> str:
    """Draw any search, half of them plain ones, which match more often."""
    return draw(st.one_of(relations, plain_pipelines, pipelines(), operations))


@st.composite
def failing_queries(draw: st.DrawFn) -> str:
    """Draw a structural operator of which a side may be several spansets: then it is an error."""
    return draw(_joined(_grouping_pipelines, structural, operands))
