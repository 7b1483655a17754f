"""A half-typed query -> the filter that its author surely means, for autocomplete.

Who types ``{ .a = "x" && .b = `` wants the values of ``.b`` on spans with ``.a = "x"``. What cannot
be understood is no filter: an error would only be in the way.

Source: TraceQL reference, "the filter q"; wire contract, section 9.4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from math import prod

from lark import Token
from lark.exceptions import LarkError

from traceql import nodes
from traceql.attributes import Field
from traceql.check import check
from traceql.errors import QueryError
from traceql.nodes import FieldExpression
from traceql.operands import NAMES
from traceql.operators import Operator
from traceql.parse import QUERY_BYTES_MAX, parse, scan
from traceql.values import Bool, Float, Int, String, Value

GROUPS_COUNTED_MAX = 1 << 32
"""Alternatives beyond which nobody counts on."""
GROUPS_PARTED_MAX = 4096
"""Alternatives that are looked at one by one."""

_TRUE = nodes.Literal(Bool(True))
_COMPARISONS = frozenset({"EQUALITY", "ORDER", "MATCH", "NOT_MATCH"})
_ENDS = frozenset({"RBRACE", "RPAR", "LOGICAL"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TagFilter:
    """What narrows names and values.

    Attributes:
        filter: checked, and never constantly true.
        groups: alternatives that it has when ``||`` is moved outwards, up to
            ``GROUPS_COUNTED_MAX``.
    """

    filter: nodes.Filter
    groups: int

    def demanded(self, tag: Field) -> tuple[tuple[Value, ...], nodes.Filter | None]:
        """Part the alternatives by whether they demand one value of ``tag``.

        Returns: the values demanded, each once, in text order: they are the answer to those
            alternatives; and the filter that is the rest of them, None if there is no rest. A
            filter with very many alternatives is not parted.
        """
        if self.groups > GROUPS_PARTED_MAX:
            return (), self.filter
        values: dict[Value, None] = {}
        rest: list[FieldExpression] = []
        for alternative in _alternatives(self.filter.expression):
            found = list(_demands(alternative, tag))
            if found:
                values |= dict.fromkeys(found[:1])
            else:
                rest.append(alternative)
        if not values:
            return (), self.filter
        return tuple(values), nodes.Filter(_joined(Operator.OR, rest)) if rest else None


def parse_tag_filter(text: str) -> TagFilter | None:
    """Read the filter of a query that may be half typed; None: no filter.

    Only a first stage ``{ … }`` counts, and of it only what compares: a name by itself may be the
    beginning of a longer one. Incomplete comparisons, texts without their closing quote among them,
    are taken as true, and missing closing braces are added.
    """
    if not text.strip() or len(text.encode(errors="replace")) > QUERY_BYTES_MAX:
        return None
    query = _parse(text)
    if query is None:
        query = _parse(_mended(text))
    first = None if query is None else _first_stage(query)
    if first is None:
        return None
    expression = _decided(first.expression)
    if expression == _TRUE:
        return None
    return TagFilter(
        filter=nodes.Filter(expression),
        groups=min(_count_groups(expression), GROUPS_COUNTED_MAX),
    )


def _parse(text: str) -> nodes.Query | None:
    try:
        query = parse(text)
        check(query, text)
    except QueryError:
        return None
    return query


def _first_stage(query: nodes.Query) -> nodes.Filter | None:
    body = query.body
    if isinstance(body, nodes.MetricsMath):
        return None
    pipeline = body.pipeline if isinstance(body, nodes.MetricsQuery) else body
    first = pipeline.stages[0]
    return first if isinstance(first, nodes.Filter) else None


# --- the text ------------------------------------------------------------------------------------


def _mended(text: str) -> str:
    """Replace incomplete comparisons before the first ``|`` by ``true``, and close braces."""
    tokens, end = _tokens(text)
    types = [token.type for token in tokens]
    stop = types.index("_PIPE") if "_PIPE" in types else len(tokens)
    is_cut = stop < len(tokens)
    parts: list[str] = []
    place = 0
    for first in range(stop - 1):
        name, comparison = tokens[first : first + 2]
        after = types[first + 2] if first + 2 < stop else None
        is_last = after is None and not is_cut
        if name.type not in NAMES or comparison.type not in _COMPARISONS:
            continue
        if not is_last and after not in _ENDS:
            continue
        parts += [text[place : name.start_pos], "true"]
        has_open_text = is_last and text[end:].lstrip()[:1] in _QUOTES
        place = len(text) if has_open_text else comparison.end_pos or 0
    missing = types.count("LBRACE") - types.count("RBRACE")
    return "".join([*parts, text[place:], " }" * missing])


_QUOTES = ('"', "`")


def _tokens(text: str) -> tuple[list[Token], int]:
    """Scan as far as there are tokens. Returns: them, and where the last of them ends."""
    tokens: list[Token] = []
    with suppress(LarkError):
        for token in scan(text):
            tokens.append(token)
    return tokens, (tokens[-1].end_pos or 0) if tokens else 0


# --- the tree ------------------------------------------------------------------------------------


def _decided(node: FieldExpression) -> FieldExpression:
    """Take what does not compare anything, but is a bare name, as true.

    Under ``!`` a part that is taken as true would make the filter stronger: then all of it is.
    """
    match node:
        case nodes.Reference():
            return _TRUE
        case nodes.Unary():
            return node if _decided(node.operand) == node.operand else _TRUE
        case nodes.Logical():
            parts = [_decided(operand) for operand in node.operands]
            if node.operator is Operator.OR:
                return _TRUE if _TRUE in parts else _joined(node.operator, parts)
            kept = [part for part in parts if part != _TRUE]
            return _joined(node.operator, kept) if kept else _TRUE
    return node


def _joined(operator: Operator, parts: Sequence[FieldExpression]) -> FieldExpression:
    return parts[0] if len(parts) == 1 else nodes.Logical(operator, tuple(parts))


def _count_groups(node: FieldExpression) -> int:
    match node:
        case nodes.Unary():
            return _count_groups(node.operand)
        case nodes.Logical():
            counts = [_count_groups(operand) for operand in node.operands]
            many = sum(counts) if node.operator is Operator.OR else prod(counts)
            return min(many, GROUPS_COUNTED_MAX)
    return 1


def _alternatives(node: FieldExpression) -> Iterator[FieldExpression]:
    """Move ``||`` outwards: yield what is joined by it then."""
    if not isinstance(node, nodes.Logical):
        yield node
    elif node.operator is Operator.OR:
        for operand in node.operands:
            yield from _alternatives(operand)
    else:
        for parts in product(*map(_alternatives, node.operands)):
            yield nodes.Logical(node.operator, parts)


def _demands(alternative: FieldExpression, tag: Field) -> Iterator[Value]:
    """Yield the values that a chain of ``&&`` demands of a tag."""
    if isinstance(alternative, nodes.Logical) and alternative.operator is Operator.AND:
        for operand in alternative.operands:
            yield from _demands(operand, tag)
    if not isinstance(alternative, nodes.Binary) or alternative.operator is not Operator.EQ:
        return
    left, right = alternative.left, alternative.right
    if isinstance(left, nodes.Literal):
        left, right = right, left
    if not (isinstance(left, nodes.Reference) and isinstance(right, nodes.Literal)):
        return
    if left.field == tag and isinstance(right.value, String | Int | Float | Bool):
        yield right.value
