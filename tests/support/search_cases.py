"""Strategies: small traces, and queries that share their values, so that matches happen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span
from support.otlp import KINDS, STATUSES, request_of, resource_spans, scope_spans, span

BIG = 2**53
STRINGS = ["", "a", "ab", "b", "1", "nil", "true", "a\nb", "é", "00A", "0b"]
INTS = [0, 1, 2, -1, 7, BIG, BIG + 1, 2**63 - 1, -(2**63)]
FLOATS = [0.5, 1.0, 2.0, -1.0, -0.0, float(BIG), float("nan"), float("inf"), 1e300]
KEYS = ["a", "b", "service.name", "x y"]
NAMES = ["", "a", "ab", "get /a"]
TRACES = [1, 2, 0xAA << 64]

scalars = st.one_of(
    st.sampled_from(STRINGS), st.sampled_from(INTS), st.sampled_from(FLOATS), st.booleans()
)
values = st.one_of(
    scalars,
    scalars,
    st.lists(st.sampled_from(STRINGS), max_size=3),
    st.lists(st.sampled_from(INTS), max_size=3),
    st.lists(st.sampled_from(FLOATS), max_size=3),
    st.lists(st.booleans(), max_size=3),
    st.lists(scalars, max_size=3),
    st.just({"k": 1}),
    st.just(b"a"),
    st.just(AnyValue()),
    st.none(),
)
attributes = st.lists(st.tuples(st.sampled_from(KEYS), values), max_size=4)


@dataclass(frozen=True)
class Placed:
    """A span, what it belongs to, and the sources that hold it."""

    span: Span
    resource: list[tuple[str, Any]]
    scope: tuple[str, str, list[tuple[str, Any]]]
    sources: frozenset[int]

    def group(self) -> ResourceSpans:
        name, version, pairs = self.scope
        return resource_spans(
            [scope_spans([self.span], scope=name, version=version, attributes=pairs)],
            resource=self.resource,
        )


@st.composite
def placed_spans(draw: st.DrawFn, *, sources: int) -> list[Placed]:
    """Draw the spans of a few traces, spread over sources; some are in several."""
    resources = draw(st.lists(attributes, min_size=1, max_size=3))
    names = st.sampled_from(["", "io", "lib"])
    scopes = draw(st.lists(st.tuples(names, names, attributes), min_size=1, max_size=2))
    found: dict[tuple[int, int, str], Placed] = {}
    for _ in range(draw(st.integers(1, 12))):
        trace = draw(st.sampled_from(TRACES))
        own_id = draw(st.integers(1, 6))
        kind = draw(st.sampled_from(list(KINDS)))
        made = span(
            trace=trace,
            id=own_id,
            parent=draw(st.one_of(st.none(), st.integers(0, 7))),
            name=draw(st.sampled_from(NAMES)),
            kind=kind,
            status=draw(st.one_of(st.none(), st.sampled_from(list(STATUSES)))),
            status_message=draw(st.sampled_from(["", "a"])),
            start_ms=draw(st.sampled_from([0, 1, 5, 1000, 5000])),
            duration_ms=draw(st.sampled_from([-1, 0, 1, 2, 1000])),
            attributes=draw(attributes),
        )
        held = draw(st.sets(st.integers(0, sources - 1), min_size=1, max_size=2))
        found[trace, own_id, kind] = Placed(
            made, draw(st.sampled_from(resources)), draw(st.sampled_from(scopes)), frozenset(held)
        )
    return list(found.values())


def request_for(placed: list[Placed], source: int) -> bytes:
    """Make the request that one source was sent."""
    return request_of([each.group() for each in placed if source in each.sources])


# --- queries ---------------------------------------------------------------------------------

generic = st.sampled_from(
    [
        f"{scope}.{key}"
        for scope in ("", "span", "resource", "instrumentation")
        for key in ("a", "b", "service.name", '"x y"', "never")
    ]
)


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
    ]
)
id_fields = st.sampled_from(["trace:id", "span:id", "span:parentID"])
id_texts = st.sampled_from(
    ["1", "0000000000000001", "02", "AA0000000000000000", "0", "zz", "", "3"]
)
duration_fields = st.sampled_from(["duration", "traceDuration"])
int_fields = st.sampled_from(
    ["span:childCount", "nestedSetLeft", "nestedSetRight", "nestedSetParent"]
)
kinds = st.sampled_from(list(KINDS))
statuses = st.sampled_from(list(STATUSES))
number_operands = st.one_of(generic, numbers, duration_fields, int_fields)


def _joined(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map(" ".join)


arithmetic = st.one_of(
    _joined(number_operands, st.sampled_from(list("+-*/%^")), number_operands),
    generic.map(lambda field: f"- {field}"),
)
comparisons = st.one_of(
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
    _joined(generic, st.sampled_from(["= nil", "!= nil"])),
    _joined(arithmetic.map(lambda text: f"({text})"), st.sampled_from(["= nil", "!= nil"])),
)
expressions = st.recursive(
    st.one_of(comparisons, comparisons, comparisons, generic, st.sampled_from(["true", "false"])),
    lambda inner: st.one_of(
        _joined(inner, st.sampled_from(["&&", "||"]), inner),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"!({text})"),
    ),
    max_leaves=5,
)
queries = expressions.map(lambda text: "{ " + text + " }")
