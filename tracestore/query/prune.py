"""What certainly cannot match, by bounds, listed values and filters, without reading a column.

A proof speaks of one comparison with a literal. What it rules out becomes the constant false where
the filter is bound, and ``&&``, ``||`` and ``!`` around it keep their meaning.
"""

from __future__ import annotations

import pyarrow as pa

from traceql.operators import Operator
from traceql.values import ValueType
from tracestore.codec.filters import ColumnFilter
from tracestore.model.tables import AttributeType
from tracestore.query.predicates import Literal, mask_entries


def is_excluded(low: object, high: object, comparison: Operator, value: object) -> bool:
    """Tell whether no number from ``low`` to ``high`` can satisfy ``comparison value``.

    Anything but numbers proves nothing. Where ints and floats meet, the bounds are rounded as the
    values will be.
    """
    numbers = [_number(each) for each in (low, high, value)]
    if any(isinstance(number, float) for number in numbers):
        numbers = [None if number is None else float(number) for number in numbers]
    first, last, wanted = numbers
    if first is None or last is None or wanted is None:
        return False
    match comparison:
        case Operator.EQ:
            return not first <= wanted <= last
        case Operator.GT:
            return last <= wanted
        case Operator.GE:
            return last < wanted
        case Operator.LT:
            return first >= wanted
        case Operator.LE:
            return first > wanted
    return False


def _number(value: object) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    return value


def may_match(known: ColumnFilter, comparison: Operator, literal: Literal) -> bool:
    """Tell whether a value of the column may satisfy ``comparison literal``; False is certain."""
    if known.rows == 0:
        return False
    if literal.type == ValueType.STRING:
        if comparison == Operator.EQ:
            assert isinstance(literal.value, str)
            return _may_contain(known, literal.value)
        if known.listed is not None and known.type == AttributeType.STRING:
            values = known.listed.field("value")
            return bool(mask_entries(values, comparison, literal).any())
        return True
    if comparison == Operator.EQ and not _may_contain(known, literal.value):
        return False
    return not is_excluded(known.minimum, known.maximum, comparison, literal.value)


def _may_contain(known: ColumnFilter, value: str | int | float | bool) -> bool:
    if isinstance(value, str) and not value.isprintable() and _is_not_unicode(value):
        return False
    return known.may_contain(value)


def _is_not_unicode(text: str) -> bool:
    """Tell whether a query's text holds bytes that are not UTF-8; no stored text does."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def holds(default: str | int, comparison: Operator, literal: Literal) -> bool:
    """Tell whether what a missing value reads as satisfies ``comparison literal``."""
    if isinstance(default, str):
        if literal.type != ValueType.STRING:
            return False
        if comparison == Operator.EQ:
            return default == literal.value
        return bool(mask_entries(pa.array([default]), comparison, literal)[0])
    if comparison == Operator.NE:
        return default != literal.value
    return not is_excluded(default, default, comparison, literal.value)
