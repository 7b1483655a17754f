"""A search as text -> its syntax tree: precedence climbing over the tokens, and nothing clever.

Written from the TraceQL reference, section 2, above all 2.7; of the product it takes the classes of
the tree, which are values. It reads valid searches (no metrics), so that the naive evaluator needs
no parser of the product, and to check that one.
"""

from __future__ import annotations

from typing import Any

from support.naive_numbers import NIL, NUMERIC, Value, calculate, negated
from support.naive_tokens import (
    NotTraceQLError,
    Token,
    attribute_of,
    number_of,
    string_of,
    tokens_of,
)
from support.naive_traceql import compare_scalars, literal_value

from traceql import nodes
from traceql.attributes import Attribute, Intrinsic, Scope
from traceql.operators import Operator
from traceql.values import (
    Bool,
    Duration,
    Float,
    Int,
    Kind,
    KindValue,
    Status,
    StatusValue,
    String,
)

COMPARE = ("=", "!=", "<", "<=", ">", ">=")
RELATE = (
    *(">", "<", ">>", "<<", "~", "!>", "!<", "!>>", "!<<", "!~"),
    *("&>", "&<", "&>>", "&<<", "&~"),
)
LEVELS = {
    **dict.fromkeys(("&&", "||"), 2),
    **dict.fromkeys((*COMPARE, "=~", "!~", *RELATE), 3),
    **dict.fromkeys(("+", "-"), 4),
    **dict.fromkeys(("*", "/", "%"), 6),
    "^": 7,
}
SPELLINGS = {
    **{f"span:{word}": word for word in ("name", "duration", "status", "statusMessage", "kind")},
    "trace:duration": "traceDuration",
    "trace:rootName": "rootName",
    "trace:rootService": "rootServiceName",
}
SPANSETS = (nodes.Filter, nodes.SpansetOperation, nodes.Pipeline)


def parse_search(text: str) -> nodes.Pipeline:
    """Read a search, hints left aside. Raises: NotTraceQLError."""
    parser = _Parser(list(tokens_of(text)))
    stages = parser.stages()
    if parser.next not in ("end", "with"):
        raise NotTraceQLError(f"what is {parser.next}?")
    return _pipeline(stages)


def _pipeline(stages: list[Any]) -> nodes.Pipeline:
    inner: list[Any] = []
    for stage in stages:
        inner += stage.stages if isinstance(stage, nodes.Pipeline) else [stage]
    return nodes.Pipeline(tuple(inner))


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens

    @property
    def next(self) -> str:
        token = self.tokens[0]
        return token.text if token.kind in ("operator", "word") else token.kind

    def take(self, expected: str | None = None) -> str:
        if expected is not None and self.next != expected:
            raise NotTraceQLError(f"expected {expected}, not {self.tokens[0].text}")
        return self.tokens.pop(0).text

    # --- pipelines -------------------------------------------------------------------------------

    def stages(self) -> list[Any]:
        found = [self.stage()]
        while self.next == "|":
            self.take()
            found.append(self.stage())
        return found

    def stage(self) -> Any:
        if self.next not in ("by", "coalesce", "select"):
            return self.expression(0)
        word = self.take()
        self.take("(")
        made: Any = nodes.Coalesce()
        if word == "by":
            made = nodes.GroupBy(self.field(0))
        elif word == "select":
            fields = [self.field(8)]
            while self.next == ",":
                self.take()
                fields.append(self.field(8))
            made = nodes.Select(tuple(fields))
        self.take(")")
        return made

    def expression(self, level: int) -> Any:
        """A spanset, a scalar or a scalar filter: 2.1 and 2.2."""
        left = self.operand()
        while LEVELS.get(self.next, -1) >= level:
            symbol = self.take()
            right = self.expression(LEVELS[symbol] + (symbol != "^"))
            left = _joined(left, Operator(symbol), right)
        return left

    def operand(self) -> Any:
        if self.next == "-":
            self.take()
            return _literal(negated(literal_value(self.operand())))
        if self.next == "number":
            return _literal(Value(*number_of(self.take())))
        if self.next == "{":
            self.take()
            inside = _literal(Value("bool", True)) if self.next == "}" else self.field(0)
            self.take("}")
            return nodes.Filter(inside)
        if self.next == "(":
            self.take()
            stages = self.stages()
            self.take(")")
            return _parenthesised(stages)
        function = nodes.AggregateFunction(self.take())
        self.take("(")
        operand = None if self.next == ")" else self.field(0)
        self.take(")")
        return nodes.Aggregate(function, operand)

    # --- field expressions: 2.7 ------------------------------------------------------------------

    def field(self, level: int) -> Any:
        left = self.field_operand()
        while LEVELS.get(self.next, -1) >= level:
            symbol = self.take()
            if symbol in ("=", "!=") and self.next == "nil":
                self.take()
                left = _exists(left, symbol)
            else:
                left = _binary(left, symbol, self.field(LEVELS[symbol] + (symbol != "^")))
        return left

    def field_operand(self) -> Any:
        kind = self.tokens[0].kind
        match self.next:
            case "-":
                self.take()
                return _unary("-", self.field(5))
            case "!":
                self.take()
                return _unary("!", self.field(6))
            case "(":
                self.take()
                inside = self.field(0)
                self.take(")")
                return inside
            case "nil":
                return self.nil_first()
        text = self.take()
        match kind:
            case "number":
                return _literal(Value(*number_of(text)))
            case "string":
                return nodes.Literal(String(string_of(text)))
            case "attribute":
                of_parent, scope, name = attribute_of(text)
                return nodes.Reference(Attribute(Scope(scope), name, of_parent))
            case "word":
                return _word(text)
        raise NotTraceQLError(f"no operand: {text}")

    def nil_first(self) -> Any:
        self.take("nil")
        symbol = self.take()
        if self.next == "nil":
            self.take()
            return _literal(Value("bool", False))
        return _exists(self.field(4), symbol)


def _word(text: str) -> Any:
    if text in ("true", "false"):
        return nodes.Literal(Bool(text == "true"))
    if text in ("minInt", "maxInt"):
        return nodes.Literal(Int(-(2**63) if text == "minInt" else 2**63 - 1))
    if text in ("ok", "error", "unset"):
        return nodes.Literal(StatusValue(Status(text)))
    if text in ("unspecified", "internal", "server", "client", "producer", "consumer"):
        return nodes.Literal(KindValue(Kind(text)))
    try:
        return nodes.Reference(Intrinsic(SPELLINGS.get(text, text)))
    except ValueError as error:
        raise NotTraceQLError(f"unknown: {text}") from error


def _literal(value: Value) -> nodes.Literal:
    classes: dict[str, Any] = {"int": Int, "float": Float, "duration": Duration, "bool": Bool}
    return nodes.Literal(classes[value.type](value.value))


def _unary(symbol: str, operand: Any) -> Any:
    if isinstance(operand, nodes.Literal):
        value = literal_value(operand)
        if symbol == "-" and value.type in NUMERIC:
            return _literal(negated(value))
        if symbol == "!" and value.type == "bool":
            return _literal(Value("bool", not value.value))
    return nodes.Unary(Operator(symbol), operand)


def _exists(operand: Any, symbol: str) -> Any:
    if isinstance(operand, nodes.Literal):
        return _literal(Value("bool", symbol == "!="))
    return nodes.Exists(operand, negated=symbol == "=")


def _binary(left: Any, symbol: str, right: Any) -> Any:
    """Join two operands; what is constant and makes sense is evaluated at once: 2.5."""
    is_constant = isinstance(left, nodes.Literal) and isinstance(right, nodes.Literal)
    if is_constant and symbol not in ("=~", "!~"):
        value = _constant(literal_value(left), symbol, literal_value(right))
        if value != NIL:
            return _literal(value)
    if symbol in ("&&", "||"):
        return nodes.Logical(Operator(symbol), (left, right))
    return nodes.Binary(Operator(symbol), left, right)


def _constant(left: Value, symbol: str, right: Value) -> Value:
    both = {left.type, right.type}
    if symbol in ("&&", "||"):
        if both != {"bool"}:
            return NIL
        sides = (left.value, right.value)
        return Value("bool", all(sides) if symbol == "&&" else any(sides))
    if symbol not in COMPARE:
        return calculate(left, symbol, right)
    if not both <= NUMERIC and len(both) > 1:
        return NIL
    if not both <= {*NUMERIC, "string"} and symbol not in ("=", "!="):
        return NIL
    return Value("bool", compare_scalars(left, symbol, right))


def _joined(left: Any, operator: Operator, right: Any) -> Any:
    if isinstance(left, SPANSETS) and isinstance(right, SPANSETS):
        return nodes.SpansetOperation(operator, left, right)
    if operator.value in COMPARE:
        return nodes.ScalarFilter(operator, left, right)
    if isinstance(left, nodes.Literal) and isinstance(right, nodes.Literal):
        return _literal(calculate(literal_value(left), operator.value, literal_value(right)))
    return nodes.ScalarArithmetic(operator, left, right)


def _parenthesised(stages: list[Any]) -> Any:
    """What parentheses hold is what it is; several stages that end in an aggregate are a number."""
    last = stages[-1]
    if len(stages) > 1 and isinstance(last, nodes.Aggregate):
        return nodes.ScalarPipe(_pipeline(stages[:-1]), last)
    is_stage = isinstance(last, nodes.ScalarFilter | nodes.GroupBy | nodes.Coalesce | nodes.Select)
    return _pipeline(stages) if len(stages) > 1 or is_stage else last
