"""Search by tags, as it was before TraceQL -> TraceQL.

All conditions are of the trace, not of one span: each becomes a spanset, and ``&&`` joins them.
Where Tempo asks that attributes lie within one resource, they may be anywhere in the trace here.

Source: wire contract, sections 8.1 and 8.2; go-logfmt's decoder for the syntax and its errors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from traceql import nodes, render
from traceql.attributes import Attribute, Field, Intrinsic, Scope
from traceql.operators import Operator
from traceql.values import String
from tracestore.errors import InvalidRequestError

_SUBSTRING: dict[str, Field] = {
    "service.name": Attribute(Scope.RESOURCE, "service.name"),
    "name": Intrinsic.NAME,
    "root.service.name": Intrinsic.ROOT_SERVICE_NAME,
    "root.name": Intrinsic.ROOT_NAME,
}
_STATUSES = ("ok", "error")
_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")


def legacy_query(tags: Mapping[str, str], bounds: str = "") -> str:
    """Write a search without a query as one: of every trace, if nothing is asked.

    Args:
        bounds: a filter on the duration of the trace, or empty.
    """
    filters = [_filter(key, value) for key, value in tags.items()]
    return " && ".join([*filters, bounds] if bounds else filters) or "{ }"


def duration_filter(min_ns: int, max_ns: int) -> str:
    """Write bounds on a trace's duration as a filter; 0 is no bound, both belong to the range."""
    bounds = []
    if min_ns:
        bounds.append(f"traceDuration >= {min_ns}ns")
    if max_ns:
        bounds.append(f"traceDuration <= {max_ns}ns")
    return "{ " + " && ".join(bounds) + " }" if bounds else ""


def _filter(key: str, value: str) -> str:
    if key == "status.code":
        return f"{{ status = {value if value in _STATUSES else 'unset'} }}"
    if key in _SUBSTRING:
        pattern = "(?s).*" + _SPECIAL.sub(r"\\\g<0>", value) + ".*"
        return f"{{ {_comparison(_SUBSTRING[key], Operator.MATCH, pattern)} }}"
    sides = [
        _comparison(Attribute(scope, key), Operator.EQ, value)
        for scope in (Scope.SPAN, Scope.RESOURCE)
    ]
    return f"{{ {' || '.join(sides)} }}"


def _comparison(field: Field, operator: Operator, text: str) -> str:
    return render(nodes.Binary(operator, nodes.Reference(field), nodes.Literal(String(text))))


def parse_tags(text: str) -> dict[str, str]:
    """Read tags as logfmt. Raises: InvalidRequestError with the place."""
    tags: dict[str, str] = {}
    for line in text.split("\n"):
        for key, value in _pairs(line):
            if key in tags:
                raise InvalidRequestError(f"invalid tags: tag {key} has been set twice")
            tags[key] = value
    return tags


def _pairs(line: str) -> Iterator[tuple[str, str]]:
    position = 0
    while True:
        while position < len(line) and line[position] <= " ":
            position += 1
        if position == len(line):
            return
        key, position = _word(line, position, stops='="')
        if position < len(line) and (line[position] == '"' or not key):
            raise _unexpected(line, position)
        value = ""
        if position < len(line) and line[position] == "=":
            value, position = _value(line, position + 1)
        yield key, value


def _value(line: str, position: int) -> tuple[str, int]:
    if line.startswith('"', position):
        return _quoted(line, position)
    value, position = _word(line, position, stops='="')
    if position < len(line) and line[position] > " ":
        raise _unexpected(line, position)
    return value, position


def _word(line: str, position: int, *, stops: str) -> tuple[str, int]:
    begin = position
    while position < len(line) and line[position] > " " and line[position] not in stops:
        position += 1
    return line[begin:position], position


def _quoted(line: str, begin: int) -> tuple[str, int]:
    match = re.compile(r'"(?:[^"\\]|\\.)*"').match(line, begin)
    if match is None:
        raise _syntax_error("unterminated quoted value", line, len(line))
    try:
        value = json.loads(match[0], strict=False)
    except ValueError as error:
        raise _syntax_error("invalid quoted value", line, match.end()) from error
    return str(value), match.end()


def _unexpected(line: str, position: int) -> InvalidRequestError:
    return _syntax_error(f"unexpected {_GO_RUNES[line[position]]}", line, position)


def _syntax_error(message: str, line: str, position: int) -> InvalidRequestError:
    """Go counts bytes, from 1."""
    at = len(line[:position].encode(errors="replace")) + 1
    return InvalidRequestError(f"invalid tags: {message} at pos {at}")


_GO_RUNES = {"=": "'='", '"': "'\"'"}
